//! `floodgate audit`: every output of a pipeline on Kafka, derived again and compared.
//!
//! Reading and rules only: the judgement is the plain model's. Where the input no longer reaches back
//! to its beginning, the model goes on from the oldest usable snapshot, and what it found there is
//! believed; the report says so. Invariant: committed offsets are read before the outputs, and the
//! outputs once nothing is undecided of what stood in them, so that a pipeline is judged up to one
//! moment, whether it runs or has just died.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use drill::translation::{model_rules, topic_of};
use kafka::reader::{OwnedRecord, PartitionReader};
use ledger::units::Offset;
use model::{
    AuditReport, InputRecord, OutputRecord, PartitionLog, PartitionVerdict, PlainPartition,
};
use pipeline::log::{LogError, Offsets, Partition};
use pipeline::opening::{describe_skipped, oldest_snapshot};
use serde::Serialize;

use crate::arguments::{self, Format};
use crate::exit::Exit;
use crate::handover;
use crate::print::{grouped, say};
use crate::tools::Tools;

/// Longest wait for the committed offsets, which an open transaction may hold up.
const COMMITTED_WAIT: Duration = Duration::from_secs(30);
/// How long beyond its timeout a transaction in the outputs may stay open: brokers look for those that
/// have timed out every 10 s (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
const UNDECIDED_GRACE: Duration = Duration::from_secs(30);
/// Pause between two looks at an open transaction.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Where the audit of a partition begins, and why.
#[derive(Debug, Serialize)]
struct Beginning {
    partition: Partition,
    starts_at: u64,
    /// The same, if it is a snapshot's.
    from_snapshot: Option<u64>,
    why: Why,
    /// The oldest offset that the input still has.
    input_begins_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// The input reaches back to its beginning.
    InputIsWhole,
    /// It does not.
    InputIsTruncated,
    /// Somebody wanted a snapshot.
    AskedFor,
}

/// What is printed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) audit: AuditReport,
    beginnings: Vec<Beginning>,
}

/// Audits all partitions; exit code 1 unless every figure is 0.
pub(crate) fn run(arguments: &arguments::Audit) -> anyhow::Result<Exit> {
    let mut tools = Tools::new(&arguments.connection, arguments.snapshots.as_ref())?;
    let report = judge(&mut tools, arguments.from_snapshot, |sentence| {
        if arguments.format == Format::Text {
            say(sentence);
        }
    })?;
    print(&report, arguments.format)?;
    Ok(if report.audit.verdict.clean() { Exit::Well } else { Exit::DoesNotHold })
}

/// Audits all partitions; `on_partition` learns how each was audited.
pub(crate) fn judge(
    tools: &mut Tools,
    wants_snapshot: bool,
    mut on_partition: impl FnMut(&str),
) -> anyhow::Result<Report> {
    let all: Vec<Partition> = (0..tools.partitions).collect();
    let committed = tools.offsets.committed(&all, COMMITTED_WAIT).context("committed offsets")?;
    await_decided(tools)?;
    let mut report = Report::default();
    for (partition, committed) in all.into_iter().zip(committed) {
        let committed = committed.offset.unwrap_or_default();
        let (beginning, model) = begin(tools, partition, committed, wants_snapshot)?;
        let log = open(tools, &beginning, committed)?;
        let verdict = match model {
            Some(model) => model::audit_partition_from(model, log)?,
            None => model::audit_partition(&model_rules(&tools.pipeline.rules), log)?,
        };
        on_partition(&sentence(&beginning, &verdict));
        report.audit.add(verdict);
        report.beginnings.push(beginning);
    }
    Ok(report)
}

/// Waits until nothing that stands in the outputs now belongs to an open transaction. That of a process
/// which died stays open until the broker ends it, and hides what others have committed behind it.
fn await_decided(tools: &Tools) -> anyhow::Result<()> {
    let timeout = Duration::from_millis(tools.settings.transaction_timeout_ms.into());
    let deadline = Instant::now() + timeout + UNDECIDED_GRACE;
    for partition in 0..tools.partitions {
        for topic in wire::Topic::ALL {
            await_decided_in(tools, topic, partition, deadline)?;
        }
    }
    Ok(())
}

fn await_decided_in(
    tools: &Tools,
    topic: wire::Topic,
    partition: Partition,
    deadline: Instant,
) -> anyhow::Result<()> {
    let end = tools.offsets.output_end(topic, partition)?;
    let mut told_of = None;
    loop {
        let stable = tools.offsets.output_stable_end(topic, partition)?;
        if stable >= end {
            return Ok(());
        }
        let name = tools.settings.topics.output(topic);
        let open = format!("{name} {partition}: a transaction is open from offset {} on", stable.0);
        ensure!(
            Instant::now() < deadline,
            "{open}, and hides what was committed behind it. The broker should have ended it by now; \
             docs/runbook.md, FloodgateOutputBlocked, says how to find and end it"
        );
        if told_of.replace(stable) != Some(stable) {
            tracing::warn!("{open}; waiting until it is decided");
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// Decides where the audit of a partition begins; with a model that stands there, unless that is
/// offset 0.
fn begin(
    tools: &mut Tools,
    partition: Partition,
    committed: Offset,
    wants_snapshot: bool,
) -> anyhow::Result<(Beginning, Option<PlainPartition>)> {
    let oldest = tools.offsets.input_bounds(partition)?.oldest;
    let is_truncated = oldest > Offset(0);
    let (mut skipped, mut model) = (Vec::new(), None);
    if is_truncated || wants_snapshot {
        model = model_at_snapshot(tools, partition, oldest, committed, &mut skipped)?;
    }
    if is_truncated && model.is_none() {
        bail!(
            "the input of partition {partition} begins at offset {}, and there is no usable snapshot \
             between there and the committed offset {} ({}): what follows cannot be derived. Name \
             the pipeline's snapshots with --snapshots, or restore one",
            oldest.0,
            committed.0,
            describe_skipped(&skipped)
        );
    }
    let from_snapshot = model.as_ref().map(|(Offset(offset), _)| *offset);
    let why = match from_snapshot {
        None => Why::InputIsWhole,
        Some(_) if is_truncated => Why::InputIsTruncated,
        Some(_) => Why::AskedFor,
    };
    let (starts_at, input_begins_at) = (from_snapshot.unwrap_or(0), oldest.0);
    let beginning = Beginning { partition, starts_at, from_snapshot, why, input_begins_at };
    Ok((beginning, model.map(|(_, model)| model)))
}

/// The plain model as it stands at the oldest snapshot that can be used.
fn model_at_snapshot(
    tools: &Tools,
    partition: Partition,
    oldest: Offset,
    committed: Offset,
    skipped: &mut Vec<String>,
) -> anyhow::Result<Option<(Offset, PlainPartition)>> {
    let (place, rules) = (tools.pipeline.place(partition), tools.pipeline.rules);
    let found = oldest_snapshot(&tools.store()?, &place, oldest..=committed, &rules, skipped)?;
    let Some((header, mut ledger)) = found else { return Ok(None) };
    ensure!(
        header.rules.partitions == rules.partitions,
        "the snapshot is of {} partitions, the topics have {}",
        header.rules.partitions,
        rules.partitions
    );
    // As a worker does that goes on from it.
    ledger.set_rules(rules);
    let model = handover::model_of(&ledger, model_rules(&rules), partition);
    Ok(Some((header.offset, model)))
}

type Read<T> = Box<dyn Iterator<Item = Result<T, LogError>>>;

fn open(
    tools: &Tools,
    beginning: &Beginning,
    committed: Offset,
) -> Result<PartitionLog<Read<InputRecord>, Read<OutputRecord>>, LogError> {
    let Beginning { partition, starts_at, .. } = *beginning;
    let orders = &tools.settings.topics.orders;
    let input = PartitionReader::start(&tools.settings, orders, partition, starts_at)?;
    let outputs = |topic| read_outputs(tools, topic, beginning);
    Ok(PartitionLog {
        partition,
        input_topic: orders.clone(),
        starts_at,
        committed: committed.0,
        inputs: Box::new(input.map(|record| record.map(input_record))),
        status: outputs(wire::Topic::Status)?,
        settled: outputs(wire::Topic::Settled)?,
        dead_letters: outputs(wire::Topic::DeadLetters)?,
        gmv: outputs(wire::Topic::Gmv)?,
    })
}

/// All outputs. Only with a snapshot may the oldest be gone: those that are missed will be told.
fn read_outputs(
    tools: &Tools,
    topic: wire::Topic,
    beginning: &Beginning,
) -> Result<Read<OutputRecord>, LogError> {
    let (settings, partition) = (&tools.settings, beginning.partition);
    let name = settings.topics.output(topic);
    let reader = match beginning.from_snapshot {
        Some(_) => PartitionReader::start_at_oldest(settings, name, partition)?,
        None => PartitionReader::start(settings, name, partition, 0)?,
    };
    let topic = topic_of(topic);
    Ok(Box::new(reader.map(move |record| record.map(|record| output_record(topic, record)))))
}

fn input_record(record: OwnedRecord) -> InputRecord {
    let OwnedRecord { offset, timestamp, key, value, headers } = record;
    InputRecord { offset, timestamp, key, value, headers }
}

fn output_record(topic: model::Topic, record: OwnedRecord) -> OutputRecord {
    let OwnedRecord { offset, timestamp, key, value, headers } = record;
    OutputRecord { offset, topic, key, value, timestamp, headers }
}

/// What is said of one partition.
fn sentence(beginning: &Beginning, verdict: &PartitionVerdict) -> String {
    let Beginning { partition, starts_at, why, input_begins_at, .. } = beginning;
    let inputs = grouped(verdict.verdict.inputs);
    let unchecked = grouped(verdict.verdict.outputs_not_checked);
    let snapshot = format!("from the snapshot at offset {starts_at} on");
    let not_checked = format!("{unchecked} outputs of earlier ones were not checked");
    let how = match why {
        Why::InputIsWhole => "from the beginning".to_owned(),
        Why::AskedFor => format!("{snapshot}, as asked; {not_checked}"),
        Why::InputIsTruncated => format!(
            "{snapshot}, since the input reaches back to offset {input_begins_at} only; {not_checked}"
        ),
    };
    format!("partition {partition}: {inputs} records audited {how}")
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => say(&serde_json::to_string(report).context("report")?),
        Format::Text => {
            let verdict = &report.audit.verdict;
            let sentence = format!(
                "{} oversold, {} lost, {} duplicated, {} miscounted, {} different, of {} inputs and \
                 {} outputs",
                verdict.oversold,
                verdict.lost,
                verdict.duplicated,
                verdict.miscounted,
                verdict.different,
                grouped(verdict.inputs),
                grouped(verdict.outputs)
            );
            say(&sentence);
            report.audit.findings.iter().for_each(|finding| say(finding));
        }
    }
    Ok(())
}
