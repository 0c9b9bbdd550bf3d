//! `floodgate audit`: every output of a pipeline on Kafka, derived again and compared.
//!
//! Reading and rules only: the judgement is the plain model's. Invariant: committed offsets are read
//! before the outputs, so that a running pipeline is judged up to one moment.

use std::time::Duration;

use anyhow::Context;
use kafka::reader::{OwnedRecord, PartitionReader};
use kafka::{KafkaOffsets, Settings};
use model::{AuditReport, InputRecord, OutputRecord, PartitionLog};
use pipeline::log::{LogError, Offsets, Partition};

use crate::arguments::{self, Format};
use crate::configuration::Overrides;
use crate::connection;
use crate::exit::Exit;
use crate::judge;
use crate::print::{grouped, say};

/// Longest wait for an open transaction to be decided before the audit begins.
const COMMITTED_WAIT: Duration = Duration::from_secs(30);

/// Audits all partitions; exit code 1 unless every figure is 0.
pub(crate) fn run(arguments: &arguments::Audit) -> anyhow::Result<Exit> {
    let configuration =
        connection::configuration_of_tool(&arguments.connection, &mut Overrides::default())?;
    let (settings, mut offsets) = connection::offsets(&configuration)?;
    let partitions = offsets.partition_count()?;
    let rules = judge::rules(&configuration.rules(partitions));
    let all: Vec<Partition> = (0..partitions).collect();
    let committed = offsets.committed(&all, COMMITTED_WAIT).context("committed offsets")?;
    let mut report = AuditReport::default();
    for (partition, committed) in all.into_iter().zip(committed) {
        let committed = committed.offset.map_or(0, |offset| offset.0);
        let log = open(&settings, &mut offsets, partition, committed)?;
        report.add(model::audit_partition(&rules, log)?);
        if arguments.format == Format::Text {
            say(&format!("partition {partition}: {} records audited", grouped(committed)));
        }
    }
    print(&report, arguments.format)?;
    Ok(if report.verdict.clean() { Exit::Well } else { Exit::DoesNotHold })
}

type Read<T> = Box<dyn Iterator<Item = Result<T, LogError>>>;

fn open(
    settings: &Settings,
    offsets: &mut KafkaOffsets,
    partition: Partition,
    committed: u64,
) -> Result<PartitionLog<Read<InputRecord>, Read<OutputRecord>>, LogError> {
    let starts_at = offsets.input_bounds(partition)?.oldest.0;
    let outputs = |topic| read_outputs(settings, topic, partition);
    let input = PartitionReader::start(settings, &settings.topics.orders, partition, starts_at)?;
    Ok(PartitionLog {
        partition,
        input_topic: settings.topics.orders.clone(),
        starts_at,
        committed,
        inputs: Box::new(input.map(|record| record.map(input_record))),
        status: outputs(wire::Topic::Status)?,
        settled: outputs(wire::Topic::Settled)?,
        dead_letters: outputs(wire::Topic::DeadLetters)?,
        gmv: outputs(wire::Topic::Gmv)?,
    })
}

fn read_outputs(
    settings: &Settings,
    topic: wire::Topic,
    partition: Partition,
) -> Result<Read<OutputRecord>, LogError> {
    let reader = PartitionReader::start(settings, settings.topics.output(topic), partition, 0)?;
    let topic = judge::topic(topic);
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

fn print(report: &AuditReport, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => say(&serde_json::to_string(report).context("report")?),
        Format::Text => {
            let verdict = &report.verdict;
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
            report.findings.iter().for_each(|finding| say(finding));
        }
    }
    Ok(())
}
