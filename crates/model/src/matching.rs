//! Expected against actual outputs of one topic partition, one input record at a time.
//!
//! Every actual output is accounted for exactly once: it is the expected one, one of those again,
//! another one in the place of an expected one, or one that nothing explains.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::record::{Headers, Output, OutputRecord, Topic};
use crate::verdict::{Fault, Findings};

/// How many judged outputs are remembered, so that one that comes again much later, after the
/// outputs of a whole transaction, is still told apart from one that nothing explains.
const REMEMBERED_MAX: usize = 1_000_000;
/// How much of an output is shown in a finding, in characters.
const SHOWN_MAX: usize = 300;

const MESSAGE_HEADER: &str = "__connect.errors.exception.message";

#[derive(Debug)]
pub(crate) struct Matcher {
    topic: Topic,
    /// The highest output offset that an expected output was found at.
    position: Option<u64>,
    /// Cause and hash of the outputs judged last.
    remembered: BTreeSet<(u64, u64)>,
}

impl Matcher {
    pub(crate) fn new(topic: Topic) -> Matcher {
        Matcher { topic, position: None, remembered: BTreeSet::new() }
    }

    /// Judges the outputs of the input record at `cause`, and returns the actual ones that are not
    /// mere repetitions.
    pub(crate) fn judge(
        &mut self,
        cause: u64,
        expected: &[&Output],
        actual: Vec<OutputRecord>,
        findings: &mut Findings,
    ) -> Vec<OutputRecord> {
        for record in &actual {
            self.remember(cause, record);
        }
        let (unmet, left) = self.match_equal(cause, expected, &actual, findings);
        let mut strange = Vec::new();
        let mut repeated = BTreeSet::new();
        for index in left {
            let record = &actual[index];
            let again = expected.iter().any(|output| same(output, record))
                || actual[..index]
                    .iter()
                    .any(|earlier| fingerprint(earlier) == fingerprint(record));
            if again {
                self.repeated(cause, record, findings);
                repeated.insert(index);
            } else {
                strange.push(record);
            }
        }
        self.pair_off(cause, &unmet, &strange, findings);
        let kept = |(index, record)| (!repeated.contains(&index)).then_some(record);
        actual.into_iter().enumerate().filter_map(kept).collect()
    }

    /// Judges an output that comes after the outputs of its cause have been judged, or whose cause
    /// is not an input record. Returns whether it is more than a repetition.
    pub(crate) fn judge_stray(
        &self,
        cause: u64,
        record: &OutputRecord,
        findings: &mut Findings,
    ) -> bool {
        if self.remembered.contains(&(cause, fingerprint(record))) {
            self.repeated(cause, record, findings);
            return false;
        }
        findings.add(Fault::Different, self.topic, Some(record.offset), || {
            format!("nothing explains it here; it names input {cause}: {}", shown(&record.value))
        });
        true
    }

    /// Finds each expected output among the actual ones. Returns the expected that were not found
    /// and the indexes of the actual that are left.
    fn match_equal<'a>(
        &mut self,
        cause: u64,
        expected: &[&'a Output],
        actual: &[OutputRecord],
        findings: &mut Findings,
    ) -> (Vec<&'a Output>, Vec<usize>) {
        let mut left: Vec<usize> = (0..actual.len()).collect();
        let mut unmet = Vec::new();
        for output in expected {
            match left.iter().position(|index| same(output, &actual[*index])) {
                Some(found) => {
                    let index = left.remove(found);
                    self.check_position(cause, &actual[index], findings);
                }
                None => unmet.push(*output),
            }
        }
        (unmet, left)
    }

    fn check_position(&mut self, cause: u64, record: &OutputRecord, findings: &mut Findings) {
        match self.position {
            Some(position) if record.offset < position => {
                findings.add(Fault::Different, self.topic, Some(record.offset), || {
                    format!("the output of input {cause} comes before its turn")
                });
            }
            _ => self.position = Some(record.offset),
        }
    }

    /// What is left on both sides is paired in order; what is left over is lost or unexplained.
    fn pair_off(
        &self,
        cause: u64,
        unmet: &[&Output],
        strange: &[&OutputRecord],
        findings: &mut Findings,
    ) {
        let topic = self.topic;
        for (output, record) in unmet.iter().zip(strange) {
            findings.add(Fault::Different, topic, Some(record.offset), || {
                let what = difference(output, record);
                format!("the output of input {cause} has another {what}")
            });
        }
        for output in unmet.iter().skip(strange.len()) {
            findings.add(Fault::Lost, topic, None, || {
                format!("the output of input {cause} is missing: {}", shown(&output.value))
            });
        }
        for record in strange.iter().skip(unmet.len()) {
            findings.add(Fault::Different, topic, Some(record.offset), || {
                format!("nothing explains this output of input {cause}: {}", shown(&record.value))
            });
        }
    }

    fn repeated(&self, cause: u64, record: &OutputRecord, findings: &mut Findings) {
        findings.add(Fault::Duplicated, self.topic, Some(record.offset), || {
            format!("the output of input {cause} is there again: {}", shown(&record.value))
        });
    }

    fn remember(&mut self, cause: u64, record: &OutputRecord) {
        self.remembered.insert((cause, fingerprint(record)));
        if self.remembered.len() > REMEMBERED_MAX {
            self.remembered.pop_first();
        }
    }
}

/// Whether `record` is what `output` says.
fn same(output: &Output, record: &OutputRecord) -> bool {
    output.key == record.key
        && output.value == record.value
        && same_timestamp(output, record)
        && same_headers(&output.headers, &record.headers)
}

/// While T is 0 an output has the time of its writing, which nothing tells.
pub(crate) fn same_timestamp(output: &Output, record: &OutputRecord) -> bool {
    output.timestamp == 0 || output.timestamp == record.timestamp
}

/// Headers are compared in order. The message of a dead letter is free text.
fn same_headers(expected: &Headers, actual: &Headers) -> bool {
    // The last one: a publisher's own header of that name stands before it and is no free text.
    let message = expected.iter().rposition(|(name, _)| name == MESSAGE_HEADER);
    expected.len() == actual.len()
        && expected.iter().zip(actual).enumerate().all(|(index, (expected, actual))| {
            let is_free = message == Some(index) && actual.1.is_some();
            expected.0 == actual.0 && (is_free || expected.1 == actual.1)
        })
}

fn fingerprint(record: &OutputRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&record.key, &record.value, record.timestamp, &record.headers).hash(&mut hasher);
    hasher.finish()
}

/// In words, where `record` departs from `output`.
fn difference(output: &Output, record: &OutputRecord) -> String {
    if output.value != record.value {
        format!("value: expected {}, found {}", shown(&output.value), shown(&record.value))
    } else if output.key != record.key {
        format!("key: expected {}, found {}", shown(&output.key), shown(&record.key))
    } else if !same_timestamp(output, record) {
        format!("timestamp: expected {}, found {}", output.timestamp, record.timestamp)
    } else {
        let names = |headers: &Headers| {
            let texts: Vec<String> =
                headers.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
            texts.join(" ")
        };
        format!("headers: expected {}, found {}", names(&output.headers), names(&record.headers))
    }
}

/// The beginning of a key or value, for a finding.
pub(crate) fn shown(bytes: &Option<Vec<u8>>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let text = String::from_utf8_lossy(bytes);
    let mut start: String = text.chars().take(SHOWN_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}
