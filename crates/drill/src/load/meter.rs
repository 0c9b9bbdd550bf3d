//! What a load measures: what was sent, what was answered, and how long that took, by the second.
//!
//! Not the clock and not the report. Publisher and reader tell it in batches, whoever does something
//! to the pipeline tells what, and whoever shows progress looks at it in between. Invariant: an
//! answer's latency is counted once, in the second in which it was read, and only if its cause was
//! due after the sale opened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use super::seen::{Seen, Wrong};
use super::{Answer, DeadLetter, LATE_MS};
use crate::load::WallClock;
use crate::report::Mark;

/// Longest latency that is told from a longer one, in milliseconds: an hour.
const LATENCY_MS_MAX: u64 = 3_600_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// One second of the sale.
#[derive(
    Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Second {
    /// Commands that were due in it.
    pub due: u64,
    /// Commands that were published in it.
    pub sent: u64,
    /// Of those, the ones that were published later than they were due by more than 10 ms.
    pub late: u64,
    /// Answers read in it.
    pub answered: u64,
    /// Median latency of these, in milliseconds.
    pub p50_ms: u64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u64,
    /// Commands that were published and not decided yet at its end, as far as answers tell.
    pub behind: u64,
}

/// Everything that was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// By the second, from the sale's opening.
    pub seconds: Vec<Second>,
    /// Latency in milliseconds of all answers.
    pub latency: Histogram<u64>,
    /// How late commands were published, in milliseconds.
    pub lateness: Histogram<u64>,
    /// Commands published.
    pub sent: u64,
    /// Of those, the late ones.
    pub late: u64,
    /// Commands that could not be delivered.
    pub failed: u64,
    /// Answers by their type.
    pub answers: BTreeMap<String, u64>,
    /// Rejected orders by reason.
    pub rejections: BTreeMap<String, u64>,
    /// Dead letters by code.
    pub dead_letters: BTreeMap<String, u64>,
    /// What was done to the pipeline.
    pub marks: Vec<Mark>,
    /// What the answers themselves show to be wrong.
    pub wrong: Wrong,
    /// For each of `marks`, the partitions of which nothing new has been heard since.
    silent: Vec<Vec<u32>>,
    current: Histogram<u64>,
    /// The second of `current`.
    current_second: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Meter {
    opens_at_ms: i64,
    /// For each partition the offset behind its last published record.
    published: Vec<AtomicU64>,
    /// For each partition the offset behind the last cause that an answer told of.
    decided: Vec<AtomicU64>,
    measured: Mutex<Measured>,
}

/// Answers that were read together.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    meter: &'a Meter,
    latencies: Vec<u64>,
    kinds: BTreeMap<String, u64>,
    rejections: BTreeMap<String, u64>,
    dead_letters: BTreeMap<String, u64>,
    reached: Vec<Reached>,
    /// Of all batches so far.
    seen: Seen,
}

/// How far the answers of a partition are.
#[derive(Debug)]
struct Reached {
    partition: u32,
    /// The offset behind the last cause.
    next: u64,
    /// The newest timestamp.
    timestamp_ms: i64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MS_MAX, DIGITS).expect("the bounds are valid ones")
}

impl Meter {
    /// A meter for a sale that opens at `opens_at_ms`; `ends` are the offsets at which the input's
    /// partitions end before.
    #[must_use]
    pub fn new(opens_at_ms: i64, ends: &[u64]) -> Meter {
        let offsets = || ends.iter().map(|end| AtomicU64::new(*end)).collect();
        Meter {
            opens_at_ms,
            published: offsets(),
            decided: offsets(),
            measured: Mutex::new(Measured {
                seconds: Vec::new(),
                latency: histogram(),
                lateness: histogram(),
                sent: 0,
                late: 0,
                failed: 0,
                answers: BTreeMap::new(),
                rejections: BTreeMap::new(),
                dead_letters: BTreeMap::new(),
                marks: Vec::new(),
                wrong: Wrong::default(),
                silent: Vec::new(),
                current: histogram(),
                current_second: 0,
            }),
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn measured(&self) -> Measured {
        let mut measured = self.lock().clone();
        measured.close_second();
        measured
    }

    /// Commands that were published and not decided yet, as far as answers tell.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let pairs = self.published.iter().zip(&self.decided);
        // Relaxed: each is a figure for itself.
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        pairs.map(|(published, decided)| load(published).saturating_sub(load(decided))).sum()
    }

    /// Partitions of the input.
    pub(super) fn partitions(&self) -> usize {
        self.published.len()
    }

    /// Answers read so far, those to the catalogue included.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.lock().answers.values().sum()
    }

    /// Takes note of something that was just done to the pipeline, and from then on of when each of
    /// these partitions answers a command that was due later.
    pub fn mark(&self, what: String, at_ms: i64, partitions: Vec<u32>) {
        let second = (at_ms - self.opens_at_ms) as f64 / 1_000.0;
        let mut measured = self.lock();
        measured.silent.push(partitions.clone());
        measured.marks.push(Mark { second, what, partitions, recovered_ms: None });
    }

    /// Takes note of a record that is about to be published, so that no answer can overtake it.
    pub(super) fn publishing(&self, partition: u32) {
        // Relaxed: as in `behind`. Only the partition's publisher writes it, and the record reaches the
        // reader by way of the log.
        self.published[partition as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of records due at `due_ms` that were published by `now_ms`.
    pub(super) fn sent(&self, due_ms: i64, now_ms: i64, records: u64) {
        let late_ms = (now_ms - due_ms).max(0);
        let late = if late_ms > LATE_MS { records } else { 0 };
        let (due, sent) = (self.second(due_ms), self.second(now_ms));
        let mut measured = self.lock();
        measured.sent += records;
        measured.late += late;
        measured.lateness.saturating_record_n(late_ms.unsigned_abs(), records);
        measured.second(due).due += records;
        measured.second(sent).sent += records;
        measured.second(sent).late += late;
    }

    /// Takes note of so many more records that could not be delivered.
    pub(super) fn failed(&self, failed: u64) {
        self.lock().failed += failed;
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            meter: self,
            latencies: Vec::new(),
            kinds: BTreeMap::new(),
            rejections: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            reached: Vec::new(),
            seen: Seen::new(self.published.len()),
        }
    }

    /// Takes a batch in that was read by `now_ms`, and leaves it empty.
    pub(super) fn answered(&self, batch: &mut Batch<'_>, now_ms: i64) {
        for Reached { partition, next, .. } in &batch.reached {
            // Relaxed: as in `behind`.
            if let Some(decided) = self.decided.get(*partition as usize) {
                decided.fetch_max(*next, Ordering::Relaxed);
            }
        }
        let (second, behind) = (self.second(now_ms), self.behind());
        if batch.kinds.is_empty() && batch.latencies.is_empty() && behind == 0 {
            // Nothing is told of the time after the last answer.
            return;
        }
        let mut measured = self.lock();
        measured.turn_to(second);
        for latency in batch.latencies.drain(..) {
            measured.latency.saturating_record(latency);
            measured.current.saturating_record(latency);
        }
        measured.second(second).behind = behind;
        measured.wrong = batch.seen.wrong();
        for Reached { partition, timestamp_ms, .. } in batch.reached.drain(..) {
            // An answer that is not to be timed may have any timestamp from before the opening.
            let due_ms = timestamp_ms.saturating_sub(self.opens_at_ms);
            measured.heard_of(partition, due_ms, now_ms - self.opens_at_ms);
        }
        add(&mut measured.answers, &mut batch.kinds);
        add(&mut measured.rejections, &mut batch.rejections);
        add(&mut measured.dead_letters, &mut batch.dead_letters);
    }

    /// The second of the sale; what lies before it counts as its first.
    fn second(&self, at_ms: i64) -> usize {
        usize::try_from((at_ms - self.opens_at_ms) / 1_000).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        // Whoever panicked left whole figures behind.
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(to: &mut BTreeMap<String, u64>, from: &mut BTreeMap<String, u64>) {
    for (name, count) in std::mem::take(from) {
        *to.entry(name).or_default() += count;
    }
}

impl Measured {
    /// A partition has answered, by `now_ms`, what was due at `due_ms`, both after the opening.
    fn heard_of(&mut self, partition: u32, due_ms: i64, now_ms: i64) {
        for (mark, silent) in self.marks.iter_mut().zip(&mut self.silent) {
            let marked_ms = (mark.second * 1_000.0).round() as i64;
            if silent.is_empty() || due_ms <= marked_ms {
                continue;
            }
            silent.retain(|number| *number != partition);
            if silent.is_empty() {
                mark.recovered_ms = Some((now_ms - marked_ms).max(0).unsigned_abs());
            }
        }
    }

    fn second(&mut self, second: usize) -> &mut Second {
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Second::default);
        }
        &mut self.seconds[second]
    }

    fn turn_to(&mut self, second: usize) {
        if second != self.current_second {
            self.close_second();
            self.current.reset();
            self.current_second = second;
        }
    }

    /// Writes down the percentiles of the second that is being answered.
    fn close_second(&mut self) {
        let current = &self.current;
        if current.is_empty() {
            return;
        }
        let figures = (
            current.len(),
            current.value_at_quantile(0.5),
            current.value_at_quantile(0.99),
            current.max(),
        );
        let second = self.second(self.current_second);
        (second.answered, second.p50_ms, second.p99_ms, second.max_ms) = figures;
    }
}

impl Batch<'_> {
    /// Takes one answer in.
    pub(super) fn answer(&mut self, answer: &Answer<'_>, clock: &WallClock) {
        if let Some(DeadLetter { code, offset }) = answer.dead_letter {
            count(&mut self.dead_letters, code);
            count(&mut self.kinds, "dead letter");
            self.reach(answer, "dead letter", offset);
        } else if let Some(value) = answer.value {
            let kind = text_of(value, b"{\"type\":\"").unwrap_or("unreadable");
            count(&mut self.kinds, kind);
            if kind == "hold.rejected" {
                count(
                    &mut self.rejections,
                    text_of(value, b"\"reason\":\"").unwrap_or("unreadable"),
                );
            }
            if let Some(offset) = number_of(value, b"\"offset\":") {
                self.reach(answer, kind, offset);
            }
        }
        if answer.timestamp_ms >= self.meter.opens_at_ms {
            let latency = clock.now_ms() - answer.timestamp_ms;
            self.latencies.push(latency.max(0).unsigned_abs());
        }
    }

    /// Only the newest of a partition matters, and its answers come in order.
    fn reach(&mut self, answer: &Answer<'_>, kind: &str, offset: u64) {
        let Answer { partition, timestamp_ms, .. } = *answer;
        let Some(published) = self.meter.published.get(partition as usize) else { return };
        // Relaxed: as in `behind`.
        self.seen.answer(partition, kind, offset, published.load(Ordering::Relaxed));
        match self.reached.iter_mut().find(|reached| reached.partition == partition) {
            Some(reached) => {
                reached.next = reached.next.max(offset + 1);
                reached.timestamp_ms = reached.timestamp_ms.max(timestamp_ms);
            }
            None => self.reached.push(Reached { partition, next: offset + 1, timestamp_ms }),
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => _ = counts.insert(name.to_owned(), 1),
    }
}

/// What follows `before`, up to a quote. The pipeline's own outputs have no space between tokens.
fn text_of<'a>(value: &'a [u8], before: &[u8]) -> Option<&'a str> {
    let rest = behind(value, before)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

fn number_of(value: &[u8], before: &[u8]) -> Option<u64> {
    let rest = behind(value, before)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

fn behind<'a>(value: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    let at = value.windows(before.len()).position(|window| window == before)?;
    Some(&value[at + before.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENS_AT: i64 = 1_762_790_400_000;

    fn answer(value: &[u8], timestamp_ms: i64) -> Answer<'_> {
        Answer { partition: 1, timestamp_ms, value: Some(value), dead_letter: None }
    }

    #[test]
    fn what_is_published_late_is_counted_where_it_was_due_and_where_it_was_sent() {
        let meter = Meter::new(OPENS_AT, &[0]);
        meter.sent(OPENS_AT + 500, OPENS_AT + 510, 7);
        meter.sent(OPENS_AT + 990, OPENS_AT + 1_001, 5);
        let measured = meter.measured();
        assert_eq!((measured.sent, measured.late, measured.lateness.max()), (12, 5, 11));
        assert_eq!(measured.lateness.value_at_quantile(0.5), 10);
        assert_eq!((measured.seconds[0].due, measured.seconds[0].sent), (12, 7));
        assert_eq!((measured.seconds[1].due, measured.seconds[1].sent), (0, 5));
        assert_eq!((measured.seconds[0].late, measured.seconds[1].late), (0, 5));
    }

    #[test]
    fn answers_are_told_by_type_and_reason_and_by_what_they_leave_undecided() {
        let meter = Meter::new(OPENS_AT, &[0, 10]);
        (0..5).for_each(|_| meter.publishing(1));
        assert_eq!(meter.behind(), 5);
        let clock = WallClock::new();
        let mut batch = meter.batch();
        let rejected = br#"{"type":"hold.rejected","offset":12,"order_id":"x","merchant_id":1,"buyer_id":2,"reason":"out_of_stock","sku":3,"at":4}"#;
        batch.answer(&answer(br#"{"type":"hold.placed","offset":11,"at":4}"#, 5), &clock);
        batch.answer(&answer(rejected, 5), &clock);
        let dead_letter = Some(DeadLetter { code: "invalid", offset: 13 });
        let letter = Answer { partition: 1, timestamp_ms: 5, value: None, dead_letter };
        batch.answer(&letter, &clock);
        meter.answered(&mut batch, OPENS_AT);
        let measured = meter.measured();
        assert_eq!(meter.behind(), 1);
        let kinds = ["dead letter", "hold.placed", "hold.rejected"];
        assert!(measured.answers.keys().eq(kinds), "{:?}", measured.answers);
        assert_eq!(measured.rejections["out_of_stock"], 1);
        assert_eq!(measured.dead_letters["invalid"], 1);
        // Answers to what was due before the sale opened say nothing about its latency.
        assert_eq!(measured.latency.len(), 0);
    }

    #[test]
    fn a_second_has_the_percentiles_of_the_answers_that_were_read_in_it() {
        let meter = Meter::new(OPENS_AT, &[0]);
        for (second, latencies) in [(0, 1..=100), (1, 201..=300)] {
            let mut batch = meter.batch();
            batch.latencies = latencies.collect();
            meter.answered(&mut batch, OPENS_AT + second * 1_000 + 999);
        }
        let measured = meter.measured();
        let figures = |second: usize| {
            let Second { answered, p50_ms, p99_ms, max_ms, .. } = measured.seconds[second].clone();
            (answered, p50_ms, p99_ms, max_ms)
        };
        assert_eq!(figures(0), (100, 50, 99, 100));
        assert_eq!(figures(1), (100, 250, 299, 300));
        assert_eq!(measured.latency.len(), 200);
        assert_eq!(measured.latency.max(), 300);
    }

    /// Old answers that are still under way when a process dies are no sign of life.
    #[test]
    fn a_partition_has_recovered_with_its_first_answer_to_what_was_due_later() {
        let meter = Meter::new(OPENS_AT, &[0; 3]);
        (0..9).for_each(|_| (0..3).for_each(|partition| meter.publishing(partition)));
        meter.mark("kill".to_owned(), OPENS_AT + 5_000, vec![0, 2]);
        let mut batch = meter.batch();
        let clock = WallClock::new();
        let mut heard = |partition, due_ms, now_ms| {
            let value = Some(br#"{"type":"hold.placed","offset":1,"at":4}"#.as_slice());
            let timestamp_ms = OPENS_AT + due_ms;
            batch.answer(&Answer { partition, timestamp_ms, value, dead_letter: None }, &clock);
            meter.answered(&mut batch, OPENS_AT + now_ms);
            meter.measured().marks[0].recovered_ms
        };
        assert_eq!(heard(0, 5_000, 5_400), None, "due when it was killed");
        assert_eq!(heard(1, 5_100, 5_500), None, "another one's partition");
        assert_eq!(heard(0, 5_100, 5_600), None, "one of two");
        assert_eq!(heard(2, 5_200, 5_900), Some(900));
        assert_eq!(heard(0, 6_000, 6_100), Some(900), "told once");
    }
    /// Answers of a replay without pace carry the earliest timestamp there is, so that none is timed.
    #[test]
    fn an_answer_that_is_not_timed_ends_a_fault() {
        let meter = Meter::new(OPENS_AT, &[0; 2]);
        meter.publishing(1);
        meter.mark("kill".to_owned(), OPENS_AT + 5_000, vec![1]);
        let mut batch = meter.batch();
        let placed = br#"{"type":"hold.placed","offset":0,"at":4}"#;
        batch.answer(&answer(placed, i64::MIN), &WallClock::new());
        meter.answered(&mut batch, OPENS_AT + 5_400);
        let measured = meter.measured();
        assert_eq!((measured.answers["hold.placed"], measured.latency.len()), (1, 0));
        assert_eq!(measured.marks[0].recovered_ms, None);
    }
}
