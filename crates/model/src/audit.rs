//! The audit: every output of a partition derived again from its input and compared.
//!
//! It reads input and outputs in step, one record at a time, and keeps what the model keeps, a
//! bounded look ahead in each output topic, and the last record of each counter. It reads nothing
//! itself and calls nobody but the iterators that it is given.

use std::ops::Range;

use thiserror::Error;

use crate::lookahead::Lookahead;
use crate::matching::Matcher;
use crate::miscounted::{CounterJudge, Progress};
use crate::oversold::{AnnouncedStock, Oversold};
use crate::partition::PlainPartition;
use crate::record::{InputRecord, Output, OutputRecord, Topic};
use crate::rules::Rules;
use crate::verdict::{Fault, Findings, PartitionVerdict};

/// One partition as it stands in the log: its input and the same partition of the output topics,
/// all as a `read_committed` reader sees them, in offset order.
///
/// To judge a pipeline that is running, read `committed` first, then the output topics up to ends
/// that are taken after it. Every iterator must end; none may wait for records that are not there.
#[derive(Debug)]
pub struct PartitionLog<I, O> {
    /// The partition's number.
    pub partition: u32,
    /// The input topic's name, which dead letters carry.
    pub input_topic: String,
    /// The input offset that the audit begins at: 0, or that of the state that it goes on from.
    pub starts_at: u64,
    /// The committed offset: only inputs below it are judged, and outputs of others are ignored.
    pub committed: u64,
    /// The input records from `starts_at` on.
    pub inputs: I,
    /// `orders.status` from its beginning, or at least from the first output of `starts_at` on.
    pub status: O,
    /// `orders.settled`, the same.
    pub settled: O,
    /// `orders.dlq`, the same.
    pub dead_letters: O,
    /// `gmv` from its beginning, compacted or not.
    pub gmv: O,
}

/// Why an audit came to no verdict. `E` is the error of the caller's iterators.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuditError<E> {
    /// A record could not be read.
    #[error("reading the log failed: {0}")]
    Read(E),
    /// The input does not reach back to offset 0, and there is no state to start from.
    #[error(
        "the input of partition {partition} starts at offset {starts_at}: without what came before, \
         or the state that it led to, nothing that follows can be derived"
    )]
    NoBeginning {
        /// The partition.
        partition: u32,
        /// Its first offset.
        starts_at: u64,
    },
    /// The caller's input records do not ascend.
    #[error("input record {offset} of partition {partition} comes out of order")]
    InputOutOfOrder {
        /// The partition.
        partition: u32,
        /// The offset that is not above the one before it.
        offset: u64,
    },
}

/// Derives every output of the partition again, from its beginning, and compares it with what is
/// there.
///
/// # Errors
/// See [`AuditError`]; a log that holds faults is no error but a verdict.
pub fn audit_partition<I, O, E>(
    rules: &Rules,
    log: PartitionLog<I, O>,
) -> Result<PartitionVerdict, AuditError<E>>
where
    I: IntoIterator<Item = Result<InputRecord, E>>,
    O: Iterator<Item = Result<OutputRecord, E>>,
{
    let PartitionLog { partition, starts_at, .. } = log;
    if starts_at > 0 {
        return Err(AuditError::NoBeginning { partition, starts_at });
    }
    audit_partition_from(PlainPartition::new(rules.clone(), partition), log)
}

/// The same from the middle of the partition's life: `model` stands before the input record at
/// `starts_at`. Outputs of earlier input are counted, but not judged.
///
/// # Errors
/// See [`AuditError`]; a log that holds faults is no error but a verdict.
pub fn audit_partition_from<I, O, E>(
    model: PlainPartition,
    log: PartitionLog<I, O>,
) -> Result<PartitionVerdict, AuditError<E>>
where
    I: IntoIterator<Item = Result<InputRecord, E>>,
    O: Iterator<Item = Result<OutputRecord, E>>,
{
    let PartitionLog { partition, starts_at, committed, .. } = log;
    let judged = starts_at..committed;
    let mut audit = PartitionAudit {
        stock: AnnouncedStock::of(&model),
        model: model.with_input_topic(&log.input_topic),
        applied: None,
        topics: [
            TopicAudit::new(Topic::Status, judged.clone(), log.status),
            TopicAudit::new(Topic::Settled, judged.clone(), log.settled),
            TopicAudit::new(Topic::DeadLetters, judged.clone(), log.dead_letters),
        ],
        gmv: Lookahead::new(Topic::Gmv, judged, log.gmv),
        counters: CounterJudge::starting_at(starts_at),
        findings: Findings::new(partition),
    };
    for record in log.inputs {
        let record = record.map_err(AuditError::Read)?;
        let offset = record.offset;
        if offset >= committed {
            break;
        }
        if audit.applied.map_or(offset < starts_at, |applied| offset <= applied) {
            return Err(AuditError::InputOutOfOrder { partition, offset });
        }
        audit.step(&record).map_err(AuditError::Read)?;
    }
    audit.finish(committed).map_err(AuditError::Read)?;
    let Findings { verdict, sentences: findings, .. } = audit.findings;
    Ok(PartitionVerdict { partition, starts_at, committed, verdict, findings })
}

/// An audit in progress.
struct PartitionAudit<O> {
    model: PlainPartition,
    /// The last input offset that was applied.
    applied: Option<u64>,
    /// The topics whose outputs are matched one by one, status before settled: an order of one
    /// input record that settles on placement may sell what the same record's sweep released.
    topics: [TopicAudit<O>; 3],
    gmv: Lookahead<O>,
    counters: CounterJudge,
    stock: AnnouncedStock,
    findings: Findings,
}

struct TopicAudit<O> {
    topic: Topic,
    ahead: Lookahead<O>,
    matcher: Matcher,
}

impl<O, E> TopicAudit<O>
where
    O: Iterator<Item = Result<OutputRecord, E>>,
{
    fn new(topic: Topic, judged: Range<u64>, records: O) -> TopicAudit<O> {
        let ahead = Lookahead::new(topic, judged, records);
        TopicAudit { topic, ahead, matcher: Matcher::new(topic) }
    }

    /// Judges what is left over from before `cause_end`, outputs that no input record caused or
    /// that come too late. Returns those that are not mere repetitions.
    fn judge_strays(
        &mut self,
        cause_end: u64,
        findings: &mut Findings,
    ) -> Result<Vec<OutputRecord>, E> {
        let mut told = Vec::new();
        while let Some(caused) = self.ahead.next_below(cause_end, findings)? {
            if self.matcher.judge_stray(caused.cause, &caused.record, findings) {
                told.push(caused.record);
            }
        }
        Ok(told)
    }

    /// Judges the outputs of the input record at `cause`. Returns those that are not mere
    /// repetitions.
    fn judge(
        &mut self,
        cause: u64,
        expected: &[Output],
        findings: &mut Findings,
    ) -> Result<Vec<OutputRecord>, E> {
        let mut actual = Vec::new();
        let mut told = Vec::new();
        while let Some(caused) = self.ahead.next_below(cause + 1, findings)? {
            // Reading on may bring strays of earlier causes into sight.
            if caused.cause == cause {
                actual.push(caused.record);
            } else if self.matcher.judge_stray(caused.cause, &caused.record, findings) {
                told.push(caused.record);
            }
        }
        let expected: Vec<&Output> =
            expected.iter().filter(|output| output.topic == self.topic).collect();
        told.extend(self.matcher.judge(cause, &expected, actual, findings));
        Ok(told)
    }
}

impl<O, E> PartitionAudit<O>
where
    O: Iterator<Item = Result<OutputRecord, E>>,
{
    /// Applies the next input record and judges its outputs.
    fn step(&mut self, record: &InputRecord) -> Result<(), E> {
        let cause = record.offset;
        self.judge_everything_below(cause)?;
        let expected = self.model.apply(record);
        self.applied = Some(cause);
        self.findings.verdict.inputs += 1;
        for (merchant_id, change) in self.model.accepted_stock() {
            self.stock.stocked(*merchant_id, change);
        }
        for topic in &mut self.topics {
            let told = topic.judge(cause, &expected, &mut self.findings)?;
            watch_stock(&mut self.stock, topic.topic, &told, &mut self.findings);
        }
        Ok(())
    }

    /// Judges what comes after the last input record, and the final counters.
    fn finish(&mut self, committed: u64) -> Result<(), E> {
        self.judge_everything_below(committed)?;
        let gmv = &self.gmv;
        let was_written_later = |key: &[u8]| gmv.has_later(key);
        self.counters.finish(self.model.counters(), was_written_later, &mut self.findings);
        Ok(())
    }

    /// Everything that was caused before the next input record at `cause_end` and is not judged
    /// yet: strays, and the counter records that the model's counters can now be compared with.
    fn judge_everything_below(&mut self, cause_end: u64) -> Result<(), E> {
        for topic in &mut self.topics {
            let told = topic.judge_strays(cause_end, &mut self.findings)?;
            watch_stock(&mut self.stock, topic.topic, &told, &mut self.findings);
        }
        let progress = Progress { applied: self.applied, at: self.model.time() };
        while let Some(caused) = self.gmv.next_below(cause_end, &mut self.findings)? {
            let counters = self.model.counters();
            let findings = &mut self.findings;
            self.counters.judge(caused.cause, &caused.record, counters, progress, findings);
        }
        Ok(())
    }
}

/// Follows a topic's outputs in the account of announced stock.
fn watch_stock(
    stock: &mut AnnouncedStock,
    topic: Topic,
    told: &[OutputRecord],
    findings: &mut Findings,
) {
    // The value of a dead letter is what someone sent, not what was announced.
    for record in told.iter().filter(|_| topic != Topic::DeadLetters) {
        if let Some(oversold) = stock.announced(record) {
            let Oversold { merchant_id, sku, location, on_hand } = oversold;
            findings.add(Fault::Oversold, topic, Some(record.offset), || {
                format!(
                    "takes SKU {sku} at location {location} of merchant {merchant_id} to \
                     {on_hand} on_hand"
                )
            });
        }
    }
}
