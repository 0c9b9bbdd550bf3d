//! Counter records against the model's counters (contract section 6).
//!
//! Every record is checked at the input offset it names, as the audit passes it; at the end the
//! last record of every counter must be up to date. The rhythm of the records is the pipeline's own,
//! so how often a counter was written is no fault, and writing unchanged totals again is none.

use std::collections::HashMap;

use crate::counters::{Counter, CounterKey, Counters};
use crate::matching::{same_timestamp, shown};
use crate::record::{Output, OutputRecord, Topic};
use crate::verdict::{Fault, Findings};

#[derive(Debug)]
pub(crate) struct CounterJudge {
    /// The first input offset that is judged.
    starts_at: u64,
    /// The last record of each counter, by record key.
    last: HashMap<Vec<u8>, LastRecord>,
}

/// The record that a reader of the compacted topic ends up with.
#[derive(Clone, Copy, Debug)]
struct LastRecord {
    position: u64,
    cause: u64,
    judgement: Judgement,
}

#[derive(Clone, Copy, Debug)]
struct Judgement {
    /// Whether it says what it should.
    right: bool,
    /// Whether a wrong one has been counted already.
    judged: bool,
}

/// How far the model has come: the last applied input record, and T.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) applied: Option<u64>,
    pub(crate) at: u64,
}

impl LastRecord {
    /// What is wrong with it at the end that has not been counted yet.
    fn fault(&self, counter: &Counter) -> Option<&'static str> {
        match (self.judgement.right, self.judgement.judged) {
            (true, _) if self.cause < counter.changed_at => Some("is outdated"),
            (false, false) => Some("is outdated or wrong"),
            _ => None,
        }
    }
}

impl CounterJudge {
    /// For records of inputs from this offset on.
    pub(crate) fn starting_at(starts_at: u64) -> CounterJudge {
        CounterJudge { starts_at, last: HashMap::new() }
    }

    /// Judges a record that names `cause`, an offset below the next input record's.
    pub(crate) fn judge(
        &mut self,
        cause: u64,
        record: &OutputRecord,
        counters: &Counters,
        progress: Progress,
        findings: &mut Findings,
    ) {
        let found = find(record, counters);
        if cause < self.starts_at && progress.applied.is_none() {
            // What stood at its own offset is not known; but if its counter has not changed since,
            // it has to say what stands now.
            let right = found.is_some_and(|(key, _)| {
                let at = u64::try_from(record.timestamp).unwrap_or(0);
                counters.record(&key, cause, at).is_some_and(|expected| same(&expected, record))
            });
            self.note(cause, record, Judgement { right, judged: false }, findings);
            return;
        }
        // One that comes after its turn can still be checked while its counter has not changed
        // since; the time that belongs to its cause is then only known from the record itself.
        let late = progress.applied.is_some_and(|applied| cause < applied);
        let outdated =
            late && found.as_ref().is_some_and(|(_, counter)| counter.changed_at > cause);
        if outdated {
            findings.add(Fault::Different, Topic::Gmv, Some(record.offset), || {
                format!("comes long after its turn: {}", shown(&record.value))
            });
        }
        let at = if late { u64::try_from(record.timestamp).unwrap_or(0) } else { progress.at };
        let expected = found.and_then(|(key, _)| counters.record(&key, cause, at));
        let right = outdated || expected.as_ref().is_some_and(|expected| same(expected, record));
        if !right {
            findings.add(Fault::Miscounted, Topic::Gmv, Some(record.offset), || match &expected {
                Some(expected) => {
                    format!("expected {}, found {}", shown(&expected.value), shown(&record.value))
                }
                None => format!("there is no such counter: {}", shown(&record.key)),
            });
        }
        self.note(cause, record, Judgement { right, judged: true }, findings);
    }

    /// Keeps the record if it is the last one of its key so far.
    fn note(
        &mut self,
        cause: u64,
        record: &OutputRecord,
        judgement: Judgement,
        findings: &mut Findings,
    ) {
        let Some(key) = &record.key else { return };
        let this = LastRecord { position: record.offset, cause, judgement };
        match self.last.get_mut(key) {
            // Records are judged by cause: one of a later cause must not stand further ahead.
            Some(last) if last.position > record.offset => {
                findings.add(Fault::Different, Topic::Gmv, Some(record.offset), || {
                    format!("counter {} is written out of order", shown(&record.key))
                });
            }
            Some(last) => *last = this,
            None => {
                self.last.insert(key.clone(), this);
            }
        }
    }

    /// Judges the last records. `was_written_later` tells whether a counter has a record for an
    /// input that is not judged, which may have replaced the one that would be missed here.
    pub(crate) fn finish(
        &self,
        counters: &Counters,
        was_written_later: impl Fn(&[u8]) -> bool,
        findings: &mut Findings,
    ) {
        for (key, counter) in counters.iter() {
            let key = counters.key_text(key);
            let fault = match self.last.get(key.as_bytes()) {
                None => Some("is missing"),
                Some(last) => last.fault(counter),
            };
            let Some(fault) = fault else { continue };
            if !was_written_later(key.as_bytes()) {
                findings.add(Fault::Miscounted, Topic::Gmv, None, || {
                    format!("the last record of counter {key} {fault}")
                });
            }
        }
    }
}

/// Whether `record`, whose key is the counter's, is what `expected` says.
fn same(expected: &Output, record: &OutputRecord) -> bool {
    expected.value == record.value
        && same_timestamp(expected, record)
        && expected.headers == record.headers
}

/// The counter that a record's key names.
fn find<'a>(record: &OutputRecord, counters: &'a Counters) -> Option<(CounterKey, &'a Counter)> {
    let text = std::str::from_utf8(record.key.as_deref()?).ok()?;
    let (_, key) = CounterKey::parse(text)?;
    if counters.key_text(&key) != text {
        return None;
    }
    let counter = counters.get(&key)?;
    Some((key, counter))
}
