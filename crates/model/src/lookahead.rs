//! One output topic partition, read in step with the input: a bounded look ahead, sorted by the
//! input offset that caused each record.
//!
//! Records normally come in the order of their causes, so nothing waits here for long. The look
//! ahead is for those that do not: one that was moved, or whose cause was damaged, is still found
//! near its place and does not hide the records behind it. Memory is bounded by [`RECORDS_MAX`]
//! records and [`BYTES_MAX`] bytes (and one record).

use std::collections::{BTreeMap, HashSet};
use std::iter::Fuse;
use std::ops::Range;

use crate::record::{OutputRecord, Topic};
use crate::verdict::{Fault, Findings, Verdict};

/// More than the outputs that one input record can cause (1,024 releases and its own).
const RECORDS_MAX: usize = 4_096;
/// More bytes than the outputs that one input record can cause.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The header that names a dead letter's cause.
const OFFSET_HEADER: &str = "__connect.errors.offset";

/// An output record and the input offset that it says caused it.
#[derive(Debug)]
pub(crate) struct Caused {
    pub(crate) cause: u64,
    pub(crate) record: OutputRecord,
}

#[derive(Debug)]
pub(crate) struct Lookahead<I> {
    topic: Topic,
    /// Outputs of other inputs are not judged.
    judged: Range<u64>,
    /// Whether an output of a judged input, or of a later one, has come.
    has_begun: bool,
    records: Fuse<I>,
    /// By cause, then by offset in the output partition.
    ahead: BTreeMap<(u64, u64), OutputRecord>,
    bytes: usize,
    /// The keys of counter records that were not judged, because of later inputs.
    later_keys: HashSet<Vec<u8>>,
}

impl<I, E> Lookahead<I>
where
    I: Iterator<Item = Result<OutputRecord, E>>,
{
    pub(crate) fn new(topic: Topic, judged: Range<u64>, records: I) -> Lookahead<I> {
        Lookahead {
            topic,
            judged,
            has_begun: false,
            records: records.fuse(),
            ahead: BTreeMap::new(),
            bytes: 0,
            later_keys: HashSet::new(),
        }
    }

    /// The next record, by cause, of those in sight that were caused before `cause_end`.
    pub(crate) fn next_below(
        &mut self,
        cause_end: u64,
        findings: &mut Findings,
    ) -> Result<Option<Caused>, E> {
        self.fill(findings)?;
        let Some(first) = self.ahead.first_entry() else { return Ok(None) };
        let (cause, _) = *first.key();
        if cause >= cause_end {
            return Ok(None);
        }
        let record = first.remove();
        self.bytes -= size_of_record(&record);
        Ok(Some(Caused { cause, record }))
    }

    /// Whether the counter of `key` was written again for an input that is not judged.
    pub(crate) fn has_later(&self, key: &[u8]) -> bool {
        self.later_keys.contains(key)
    }

    fn fill(&mut self, findings: &mut Findings) -> Result<(), E> {
        while self.ahead.len() < RECORDS_MAX && self.bytes < BYTES_MAX {
            let Some(record) = self.records.next().transpose()? else { return Ok(()) };
            self.sort_in(record, findings);
        }
        Ok(())
    }

    fn sort_in(&mut self, record: OutputRecord, findings: &mut Findings) {
        let cause = cause_of(self.topic, &record);
        self.has_begun |= cause.is_some_and(|cause| cause >= self.judged.start);
        match cause {
            Some(cause) if cause >= self.judged.end => {
                if self.topic == Topic::Gmv {
                    self.later_keys.extend(record.key);
                }
            }
            // Outputs stand in the order of their causes: what names an earlier one further on is
            // judged, and found to be unexplained.
            Some(_) if !self.has_begun && self.topic != Topic::Gmv => {
                findings.verdict.outputs_not_checked += 1;
            }
            Some(cause) => {
                let Verdict { outputs, outputs_not_checked, .. } = &mut findings.verdict;
                *(if self.has_begun { outputs } else { outputs_not_checked }) += 1;
                self.bytes += size_of_record(&record);
                self.ahead.insert((cause, record.offset), record);
            }
            None => {
                findings.verdict.outputs += 1;
                findings.add(Fault::Different, self.topic, Some(record.offset), || {
                    "the record does not say which input caused it".to_owned()
                });
            }
        }
    }
}

/// The input offset that a record names as its cause: a header of a dead letter (the last of that
/// name, as the original may have had its own), the field `offset` of every other output.
fn cause_of(topic: Topic, record: &OutputRecord) -> Option<u64> {
    let text = if topic == Topic::DeadLetters {
        let header = record.headers.iter().rev().find(|(name, _)| name == OFFSET_HEADER)?;
        std::str::from_utf8(header.1.as_deref()?).ok()?
    } else {
        // Searched for as text, so that a record with damage elsewhere still has a cause. No string
        // of an output can hold a quotation mark, so it is the field that is found.
        let value = std::str::from_utf8(record.value.as_deref()?).ok()?;
        let (_, rest) = value.split_once("\"offset\":")?;
        rest.split(|character: char| !character.is_ascii_digit()).next()?
    };
    text.parse().ok()
}

fn size_of_record(record: &OutputRecord) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize =
        record.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
    length(&record.key) + length(&record.value) + headers
}
