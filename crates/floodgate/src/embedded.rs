//! A pipeline in this process, on the embedded log: what `demo` and `drill rehearse` have in common.
//!
//! The workers are those of `settle`, with its loop and its codecs; only the log is another.
//! Invariant: records carry the time that their publisher gave them, and nothing expires by the wall
//! clock, neither a session nor a transaction.

use std::sync::Arc;

use drill::traffic::Sent;
use drill::translation::{input_of, model_rules, output_of};
use ledger::rules::Rules;
use ledger::units::Offset;
use model::{AuditReport, PartitionLog};
use pipeline::embedded::{
    EmbeddedBroker, EmbeddedLog, EmbeddedOffsets, Isolation, NewRecord, Settings, Timestamps, Topic,
};
use pipeline::log::{LogError, Partition};
use pipeline::opening::Pipeline;
use pipeline::settings::WorkerSettings;
use pipeline::stock_view::StockViews;
use pipeline::store::ObjectSnapshots;
use wire::{NoHeaders, Record};

use crate::fleet::{Connect, Plan};

/// The consumer group.
pub(crate) const GROUP: &str = "embedded";
/// The input topic.
pub(crate) const INPUT: &str = "orders";

/// An empty log.
pub(crate) fn broker(partitions: u32) -> Arc<EmbeddedBroker> {
    EmbeddedBroker::new(Settings {
        partitions,
        input_timestamps: Timestamps::CreateTime,
        session_timeout_ms: None,
        transaction_timeout_ms: None,
    })
}

/// What the workers share; their snapshots are in memory.
pub(crate) fn plan(rules: Rules) -> anyhow::Result<Plan> {
    Ok(Plan {
        pipeline: Pipeline {
            cluster: "embedded".to_owned(),
            group: GROUP.to_owned(),
            topic: INPUT.to_owned(),
            rules,
        },
        // The traffic carries its own time.
        settings: WorkerSettings { ticks: false, ..WorkerSettings::default() },
        store: Arc::new(ObjectSnapshots::in_memory()?),
        views: Arc::new(StockViews::default()),
    })
}

/// Makes workers' members of the group.
pub(crate) struct OnEmbedded(pub(crate) Arc<EmbeddedBroker>);

impl Connect for OnEmbedded {
    type Log = EmbeddedLog;
    type Offsets = EmbeddedOffsets;

    fn connect(&self, worker: usize) -> Result<(EmbeddedLog, EmbeddedOffsets), LogError> {
        let id = format!("{GROUP}-{worker}");
        Ok((self.0.member(GROUP, &id), self.0.offsets(GROUP)))
    }
}

/// Publishes a record.
pub(crate) fn append(broker: &EmbeddedBroker, sent: &Sent) {
    let record = NewRecord {
        timestamp: sent.timestamp_ms,
        key: sent.key(),
        value: sent.value(),
        headers: &NoHeaders,
    };
    broker.append(sent.partition, &[record]);
}

/// Derives every output again from the input, as far as `ends` of its partitions, and compares.
pub(crate) fn audit(
    broker: &EmbeddedBroker,
    rules: Rules,
    ends: &[Offset],
) -> anyhow::Result<AuditReport> {
    let rules = model_rules(&rules);
    let mut report = AuditReport::default();
    for (partition, Offset(committed)) in (0..).zip(ends.iter().copied()) {
        let outputs = |topic| read_outputs(broker, topic, partition);
        let log = PartitionLog {
            partition,
            input_topic: INPUT.to_owned(),
            starts_at: 0,
            committed,
            inputs: read_inputs(broker, partition),
            status: outputs(wire::Topic::Status),
            settled: outputs(wire::Topic::Settled),
            dead_letters: outputs(wire::Topic::DeadLetters),
            gmv: outputs(wire::Topic::Gmv),
        };
        report.add(model::audit_partition(&rules, log)?);
    }
    Ok(report)
}

type Read<T> = std::vec::IntoIter<Result<T, std::convert::Infallible>>;

fn read_inputs(broker: &EmbeddedBroker, partition: Partition) -> Read<model::InputRecord> {
    let mut records = Vec::new();
    let mut keep = |record: &Record<'_>| records.push(Ok(input_of(record)));
    broker.read(Topic::Input, partition, Offset(0), Isolation::ReadCommitted, &mut keep);
    records.into_iter()
}

fn read_outputs(
    broker: &EmbeddedBroker,
    topic: wire::Topic,
    partition: Partition,
) -> Read<model::OutputRecord> {
    let mut records = Vec::new();
    let mut keep = |record: &Record<'_>| records.push(Ok(output_of(topic, record)));
    let place = Topic::Output(topic);
    broker.read(place, partition, Offset(0), Isolation::ReadCommitted, &mut keep);
    records.into_iter()
}
