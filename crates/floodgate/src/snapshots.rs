//! `floodgate snapshot list` and `adopt`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kafka::reader::{OwnedRecord, PartitionReader};
use kafka::{KafkaOffsets, Settings};
use ledger::effect::DeadLetter;
use ledger::units::Offset;
use pipeline::adoption::{Adoption, Written};
use pipeline::engine::Engine;
use pipeline::log::{Offsets, Partition};
use pipeline::metadata::{CommitMetadata, RulesHash};
use pipeline::opening::newest_snapshot;
use pipeline::snapshot::{self, Header};
use pipeline::store::SnapshotStore;
use serde::Serialize;
use serde_json::json;
use wire::{Headers, Record, Topic};

use crate::arguments::{Format, SnapshotAdopt, SnapshotList};
use crate::exit::Exit;
use crate::print::{grouped, say};
use crate::tools::Tools;

const COMMITTED_WAIT: Duration = Duration::from_secs(30);
/// How much longer than a session a member that has died may be counted.
const DEPARTURE_MARGIN: Duration = Duration::from_secs(3);
/// Between two questions for the group's members.
const MEMBERS_INTERVAL: Duration = Duration::from_millis(200);
const STOP_ALL: &str = "every settle of the group has to be stopped for an adoption";

/// A snapshot as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    partition: Partition,
    offset: u64,
    bytes: u64,
    /// What is wrong with it, if it cannot be used.
    damage: Option<String>,
}

/// Lists what is kept; exit code 1 if something of it cannot be used.
pub(crate) fn list(arguments: &SnapshotList) -> anyhow::Result<Exit> {
    let tools = Tools::new(&arguments.connection, arguments.snapshots.as_ref())?;
    let store = tools.store()?;
    let mut listed = Vec::new();
    for partition in 0..tools.partitions {
        let place = tools.pipeline.place(partition);
        for offset in store.list(&place)? {
            let bytes = store.read(&place, offset)?;
            let damage = snapshot::decode(&place, offset, &bytes).err();
            let (offset, bytes) = (offset.0, bytes.len() as u64);
            let damage = damage.map(|damage| damage.to_string());
            listed.push(Listed { partition, offset, bytes, damage });
        }
    }
    match arguments.format {
        Format::Json => say(&json!({ "snapshots": listed }).to_string()),
        Format::Text if listed.is_empty() => say("no snapshots"),
        Format::Text => listed.iter().for_each(print),
    }
    let usable = listed.iter().all(|listed| listed.damage.is_none());
    Ok(if usable { Exit::Well } else { Exit::DoesNotHold })
}

fn print(listed: &Listed) {
    let Listed { partition, offset, bytes, damage } = listed;
    let state = damage.as_deref().unwrap_or("usable");
    say(&format!("partition {partition}, offset {offset}, {} bytes: {state}", grouped(bytes)));
}

/// Commits where a partition goes on, if snapshot, outputs and input agree.
pub(crate) fn adopt(arguments: &SnapshotAdopt) -> anyhow::Result<Exit> {
    let mut tools = Tools::new(&arguments.connection, arguments.snapshots.as_ref())?;
    let partition = arguments.partition;
    ensure!(partition < tools.partitions, "the topics have {} partitions", tools.partitions);
    refuse_if_committed(&mut tools.offsets, partition)?;
    await_departures(&tools)?;

    let (header, engine) = newest(&tools, partition)?;
    let written = written_since(&tools.settings, partition, header.offset)?;
    let mut adoption = Adoption::new(partition, engine, written);
    replay(&tools, partition, header.offset, &mut adoption)?;
    let commit = adoption.finish(RulesHash::of(&tools.pipeline.rules), header.offset)?;

    tools.offsets.set_committed(&commit).context(STOP_ALL)?;
    let (snapshot, offset) = (header.offset.0, commit.offset.0);
    match arguments.format {
        Format::Json => say(&json!({
            "partition": partition, "snapshot": snapshot, "committed": offset,
        })
        .to_string()),
        Format::Text => say(&format!(
            "partition {partition} goes on at offset {offset}, from the snapshot at {snapshot}; every \
             output between the two was derived again and agrees"
        )),
    }
    Ok(Exit::Well)
}

fn refuse_if_committed(offsets: &mut KafkaOffsets, partition: Partition) -> anyhow::Result<()> {
    let committed = offsets.committed(&[partition], COMMITTED_WAIT)?;
    let ours = committed.iter().find(|found| found.metadata.parse::<CommitMetadata>().is_ok());
    if let Some(Offset(offset)) = ours.and_then(|found| found.offset) {
        bail!("partition {partition} has a commit of ours at offset {offset}: nothing is lost");
    }
    Ok(())
}

/// Waits until the group has no member: one that has just been stopped or killed is counted until
/// the broker has heard of it, or its session has ended.
fn await_departures(tools: &Tools) -> anyhow::Result<()> {
    let longest =
        Duration::from_millis(tools.settings.session_timeout_ms.into()) + DEPARTURE_MARGIN;
    let deadline = Instant::now() + longest;
    let mut told = false;
    loop {
        let members = tools.offsets.members()?.join(", ");
        if members.is_empty() {
            return Ok(());
        }
        if !told {
            tracing::warn!(members, ?longest, "the group has members; waiting for them to be gone");
            told = true;
        }
        ensure!(Instant::now() < deadline, "{STOP_ALL}; the group still has {members}");
        std::thread::sleep(MEMBERS_INTERVAL);
    }
}

fn newest(tools: &Tools, partition: Partition) -> anyhow::Result<(Header, Engine)> {
    let (store, pipeline) = (tools.store()?, &tools.pipeline);
    let place = pipeline.place(partition);
    let mut skipped = Vec::new();
    let found = newest_snapshot(&store, &place, Offset(u64::MAX), &mut skipped)?;
    skipped.iter().for_each(|skipped| say(&format!("snapshot is passed over: {skipped}")));
    let (header, ledger) = found.with_context(|| {
        format!(
            "no usable snapshot below {place}; restore one, or start a new group and new topics"
        )
    })?;
    ensure!(
        header.rules.partitions == pipeline.rules.partitions,
        "the snapshot is of {} partitions, the topics have {}",
        header.rules.partitions,
        pipeline.rules.partitions
    );
    let engine = pipeline.engine_from(partition, &header, ledger);
    Ok((header, engine))
}

/// Reads what the output topics hold of records from `since` on.
fn written_since(
    settings: &Settings,
    partition: Partition,
    since: Offset,
) -> anyhow::Result<Written> {
    let mut written = Written::default();
    for topic in Topic::ALL {
        let name = settings.topics.output(topic);
        for record in PartitionReader::start_at_oldest(settings, name, partition)? {
            let record = record?;
            let cause = cause_of(topic, &record)
                .with_context(|| format!("{name} {partition}, offset {}", record.offset))?;
            if cause >= since {
                let code = dead_letter(&record);
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                written.note(topic, code, key, value, cause);
            }
        }
    }
    Ok(written)
}

/// The input offset that an output names as its cause.
fn cause_of(topic: Topic, record: &OwnedRecord) -> Option<Offset> {
    if topic == Topic::DeadLetters {
        return header(record, "__connect.errors.offset")?.parse().ok().map(Offset);
    }
    let value: serde_json::Value = serde_json::from_slice(record.value.as_ref()?).ok()?;
    value["offset"].as_u64().map(Offset)
}

fn dead_letter(record: &OwnedRecord) -> Option<DeadLetter> {
    let code = header(record, "__connect.errors.exception.class.name")?;
    DeadLetter::ALL.into_iter().find(|candidate| candidate.code() == code)
}

/// The last header of that name: ours stand behind the publisher's.
fn header<'a>(record: &'a OwnedRecord, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().rev().find(|(candidate, _)| candidate == name)?;
    std::str::from_utf8(value.as_ref()?).ok()
}

fn replay(
    tools: &Tools,
    partition: Partition,
    from: Offset,
    adoption: &mut Adoption,
) -> anyhow::Result<()> {
    let until = adoption.until();
    if until <= from {
        return Ok(());
    }
    let topic = &tools.settings.topics.orders;
    for record in PartitionReader::start(&tools.settings, topic, partition, from.0)? {
        let record = record?;
        if record.offset >= until.0 {
            break;
        }
        adoption.replay(&[Record {
            partition,
            offset: Offset(record.offset),
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &OwnedHeaders(&record.headers),
        }]);
    }
    Ok(())
}

#[derive(Debug)]
struct OwnedHeaders<'a>(&'a [(String, Option<Vec<u8>>)]);

impl Headers for OwnedHeaders<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}
