//! What every implementation of the log port has to do, as tests over a [`Harness`].
//!
//! Not tests of Kafka or of the embedded log: `log_kafka` and `log_embedded` run these same
//! functions over both, and that is what makes the embedded log a stand-in for Kafka. Invariant: no
//! test sleeps or measures time; each polls until a condition holds, and fails with all that it saw
//! when it does not hold for very long.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use ledger::units::{Millis, Offset};
use pipeline::log::{
    CommitOutcome, Committed, Event, InputBounds, Log, LogError, Offsets, Partition,
    PartitionCommit,
};
use wire::{Outputs, Topic};

/// After this long a condition counts as never holding.
pub(crate) const NEVER: Duration = Duration::from_secs(60);
/// How long one poll may wait.
const POLL: Duration = Duration::from_millis(20);
/// How long a question to the log may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A log of its own for one test, with five empty topics and a group without members.
pub(crate) trait Harness {
    /// The log under test.
    type Log: Log;
    /// The questions under test.
    type Offsets: Offsets;
    /// An upstream system.
    type Publisher: Publisher;

    /// A log that has not joined yet.
    fn log(&self, transactional_id: &str) -> Self::Log;
    fn offsets(&self) -> Self::Offsets;
    /// A publisher whose records come in transactions.
    fn publisher(&self) -> Self::Publisher;
    /// Appends to the input outside transactions.
    fn append(&self, partition: Partition, records: &[NewRecord]);
    /// Drops the input before an offset.
    fn trim_input(&self, partition: Partition, before: Offset);
    /// The committed outputs of a partition, oldest first.
    fn outputs(&self, topic: Topic, partition: Partition) -> Vec<Seen>;
    /// Leaves a transaction open in which this commit is pending; what is returned commits it.
    fn pending_commit(&self, commit: PartitionCommit) -> Box<dyn FnOnce() + '_>;
}

/// A transactional publisher.
pub(crate) trait Publisher {
    fn begin(&mut self);
    fn append(&mut self, partition: Partition, records: &[NewRecord]);
    fn commit(&mut self);
    fn abort(&mut self);
}

/// What a publisher appends.
#[derive(Debug, Clone)]
pub(crate) struct NewRecord {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl NewRecord {
    fn of(value: &str) -> NewRecord {
        NewRecord {
            timestamp: 1_700_000_000_000,
            key: Some(b"7".to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        }
    }
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: Partition,
    pub(crate) offset: u64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Seen {
    fn text(&self) -> String {
        String::from_utf8(self.value.clone().unwrap_or_default()).unwrap()
    }
}

/// An event, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
    Lost(Vec<Partition>),
    Record(Seen),
    End(Partition, u64),
    OutOfRange(Partition, u64),
}

/// A log with everything it handed on so far.
pub(crate) struct Worker<L> {
    pub(crate) log: L,
    pub(crate) kept: Vec<Kept>,
}

impl<L: Log> Worker<L> {
    /// A log with a producer that has not joined yet.
    pub(crate) fn new(harness: &impl Harness<Log = L>, transactional_id: &str) -> Worker<L> {
        Worker::on(harness.log(transactional_id))
    }

    /// The same with a log of the caller's.
    pub(crate) fn on(log: L) -> Worker<L> {
        let mut worker = Worker { log, kept: Vec::new() };
        worker.replace_producer();
        worker
    }

    /// A log that owns partitions 0 to `partitions` − 1, the only member of its group.
    pub(crate) fn owning(harness: &impl Harness<Log = L>, partitions: Partition) -> Worker<L> {
        let mut worker = Worker::new(harness, "worker");
        worker.log.join().unwrap();
        worker.until("everything is assigned", |worker| {
            worker.assigned() == (0..partitions).collect()
        });
        worker
    }

    pub(crate) fn replace_producer(&mut self) {
        let started = Instant::now();
        while let Err(error) = self.log.replace_producer(Duration::from_secs(1)) {
            let passing = matches!(error, LogError::Retry(_)) && started.elapsed() < NEVER;
            assert!(passing, "{error}");
        }
    }

    pub(crate) fn poll(&mut self) {
        let kept = &mut self.kept;
        match self.log.poll(POLL, &mut |event| keep(kept, &event)) {
            Ok(_) | Err(LogError::Retry(_)) => {}
            Err(error) => panic!("{error}; seen so far: {kept:#?}"),
        }
    }

    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < NEVER, "never: {what}; seen: {:#?}", self.kept);
            self.poll();
        }
    }

    /// What is assigned according to the events so far and the releases that followed them.
    pub(crate) fn assigned(&self) -> BTreeSet<Partition> {
        let mut assigned = BTreeSet::new();
        for kept in &self.kept {
            match kept {
                Kept::Assigned(partitions) => assigned.extend(partitions),
                Kept::Revoked(partitions) | Kept::Lost(partitions) => {
                    assigned.retain(|partition| !partitions.contains(partition));
                }
                _ => {}
            }
        }
        assigned
    }

    pub(crate) fn revoked(&self) -> Vec<Partition> {
        let revoked = |kept: &Kept| match kept {
            Kept::Revoked(partitions) => partitions.clone(),
            _ => Vec::new(),
        };
        self.kept.iter().flat_map(revoked).collect()
    }

    pub(crate) fn records(&self) -> Vec<Seen> {
        let record = |kept: &Kept| match kept {
            Kept::Record(seen) => Some(seen.clone()),
            _ => None,
        };
        self.kept.iter().filter_map(record).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.records().iter().map(Seen::text).collect()
    }

    /// The position of the last end that was told of a partition.
    pub(crate) fn end(&self, partition: Partition) -> Option<u64> {
        self.kept.iter().rev().find_map(|kept| match kept {
            Kept::End(ended, position) if *ended == partition => Some(*position),
            _ => None,
        })
    }

    pub(crate) fn start(&mut self, partition: Partition, offset: u64) {
        self.log.start(partition, Offset(offset)).unwrap();
    }

    /// Begins a transaction with these outputs to one topic.
    pub(crate) fn produce(&mut self, topic: Topic, partition: Partition, values: &[&str]) {
        self.log.begin().unwrap();
        self.log.produce(&outputs(topic, partition, values), 0).unwrap();
    }
}

/// Polls two workers in turn, releasing at once what either is asked for.
pub(crate) fn until_both<L: Log>(
    a: &mut Worker<L>,
    b: &mut Worker<L>,
    what: &str,
    holds: impl Fn(&Worker<L>, &Worker<L>) -> bool,
) {
    let started = Instant::now();
    while !holds(a, b) {
        assert!(started.elapsed() < NEVER, "never: {what}; {:#?} and {:#?}", a.kept, b.kept);
        for worker in [&mut *a, &mut *b] {
            let before = worker.revoked().len();
            worker.poll();
            worker.log.release(&worker.revoked()[before..]).unwrap();
        }
    }
}

fn keep(kept: &mut Vec<Kept>, event: &Event<'_>) {
    match event {
        Event::Assigned(partitions) => kept.push(Kept::Assigned(partitions.to_vec())),
        Event::Revoked(partitions) => kept.push(Kept::Revoked(partitions.to_vec())),
        Event::Lost(partitions) => kept.push(Kept::Lost(partitions.to_vec())),
        Event::Records { partition, records } => {
            assert!(!records.is_empty(), "an event without records");
            for record in *records {
                assert_eq!(record.partition, *partition);
                kept.push(Kept::Record(seen(record)));
            }
        }
        Event::End { partition, position } => kept.push(Kept::End(*partition, position.0)),
        Event::OutOfRange { partition, oldest } => {
            kept.push(Kept::OutOfRange(*partition, oldest.0));
        }
    }
}

/// Copies a record.
pub(crate) fn seen(record: &wire::Record<'_>) -> Seen {
    let mut headers = Vec::new();
    record.headers.each(&mut |name, value| {
        headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
    });
    Seen {
        partition: record.partition,
        offset: record.offset.0,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers,
    }
}

pub(crate) fn outputs(topic: Topic, partition: Partition, values: &[&str]) -> Outputs {
    let mut outputs = Outputs::new();
    for value in values {
        outputs.push(topic, partition, Millis(1_000), Some(b"7"), Some(value.as_bytes()));
    }
    outputs
}

pub(crate) fn numbered(count: usize) -> Vec<NewRecord> {
    (0..count).map(|number| NewRecord::of(&number.to_string())).collect()
}

pub(crate) fn commit_of(partition: Partition, offset: u64, metadata: &str) -> PartitionCommit {
    PartitionCommit { partition, offset: Offset(offset), metadata: metadata.to_owned() }
}

pub(crate) fn committed(harness: &impl Harness, partition: Partition) -> Committed {
    let mut answer = harness.offsets().committed(&[partition], ANSWER).unwrap();
    assert_eq!(answer.len(), 1);
    answer.remove(0)
}

pub(crate) fn texts(harness: &impl Harness, topic: Topic, partition: Partition) -> Vec<String> {
    harness.outputs(topic, partition).iter().map(Seen::text).collect()
}

/// The names of all tests; each is made a test of its own by [`conformance_tests`].
macro_rules! for_each_conformance_test {
    ($make:ident) => {
        $make! {
            records_come_in_order_from_the_offset_asked_for
            nothing_is_read_before_start
            keys_values_timestamps_and_headers_come_as_they_were_written
            records_of_open_and_aborted_transactions_are_hidden
            the_end_lies_beyond_markers_and_comes_again_after_further_records
            partitions_are_read_side_by_side
            a_partition_can_be_started_again_elsewhere
            a_stopped_partition_hands_nothing_on
            an_offset_that_is_gone_is_told_with_the_oldest_there_is
            outputs_offset_and_metadata_appear_together
            outputs_keep_key_timestamp_and_headers
            a_thousand_outputs_of_one_transaction_keep_their_order
            reading_goes_on_while_a_transaction_ends
            what_was_not_committed_goes_with_its_producer
            a_newer_producer_fences_the_older_one
            a_partition_that_is_not_owned_cannot_be_committed
            committed_waits_until_a_pending_commit_is_decided
            a_rebalance_hands_every_record_to_one_worker_only
            a_revoked_partition_works_on_until_it_is_released
            who_leaves_is_asked_for_everything_and_the_other_gets_it
            a_refused_partition_is_not_read_and_not_given_to_others
            a_refused_partition_that_the_group_takes_away_is_told_as_lost
            ticks_arrive
            bounds_and_emptiness_count_open_transactions
        }
    };
}

pub(crate) fn records_come_in_order_from_the_offset_asked_for(harness: &impl Harness) {
    harness.append(0, &numbered(2_000));
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 700);
    worker.until("the end", |worker| worker.end(0) == Some(2_000));
    let offsets: Vec<u64> = worker.records().iter().map(|seen| seen.offset).collect();
    assert_eq!(offsets, (700..2_000).collect::<Vec<_>>());
    assert_eq!(worker.records()[0].text(), "700");
    assert_eq!(worker.log.readable_end(0), Some(Offset(2_000)));
    assert_eq!(worker.log.readable_end(1), None);
}

pub(crate) fn nothing_is_read_before_start(harness: &impl Harness) {
    harness.append(0, &numbered(10));
    harness.append(1, &numbered(10));
    let mut worker = Worker::owning(harness, 2);
    worker.start(1, 0);
    worker.until("the end", |worker| worker.end(1) == Some(10));
    assert!(worker.records().iter().all(|seen| seen.partition == 1));
    assert_eq!(worker.end(0), None);
}

pub(crate) fn keys_values_timestamps_and_headers_come_as_they_were_written(harness: &impl Harness) {
    let full = NewRecord {
        timestamp: 1_699_999_999_999,
        key: Some(b"42".to_vec()),
        value: Some(b"{}".to_vec()),
        headers: vec![
            ("trace".to_owned(), Some(b"a".to_vec())),
            ("trace".to_owned(), Some(b"b".to_vec())),
            ("none".to_owned(), None),
        ],
    };
    let bare = NewRecord { timestamp: 5, key: None, value: None, headers: Vec::new() };
    harness.append(0, &[full.clone(), bare.clone()]);
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    worker.until("the end", |worker| worker.end(0) == Some(2));
    for (seen, written) in worker.records().iter().zip([full, bare]) {
        assert_eq!(seen.timestamp, written.timestamp);
        assert_eq!(seen.key, written.key);
        assert_eq!(seen.value, written.value);
        assert_eq!(seen.headers, written.headers);
    }
}

pub(crate) fn records_of_open_and_aborted_transactions_are_hidden(harness: &impl Harness) {
    let mut publisher = harness.publisher();
    harness.append(0, &[NewRecord::of("plain")]);
    publisher.begin();
    publisher.append(0, &[NewRecord::of("aborted")]);
    publisher.abort();
    publisher.begin();
    publisher.append(0, &[NewRecord::of("late")]);
    harness.append(0, &[NewRecord::of("behind")]);

    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    // 0 plain, 1 aborted, 2 its marker, 3 late and open: nothing from there on can be read.
    worker.until("the end", |worker| worker.end(0) == Some(3));
    assert_eq!(worker.texts(), ["plain"]);
    publisher.commit();
    worker.until("the end", |worker| worker.end(0) == Some(6));
    assert_eq!(worker.texts(), ["plain", "late", "behind"]);
}

pub(crate) fn the_end_lies_beyond_markers_and_comes_again_after_further_records(
    harness: &impl Harness,
) {
    let mut publisher = harness.publisher();
    publisher.begin();
    publisher.append(0, &[NewRecord::of("a"), NewRecord::of("b")]);
    publisher.commit();
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    worker.until("the end", |worker| worker.end(0) == Some(3));
    harness.append(0, &[NewRecord::of("c")]);
    worker.until("the next end", |worker| worker.end(0) == Some(4));
    let offsets: Vec<u64> = worker.records().iter().map(|seen| seen.offset).collect();
    assert_eq!(offsets, [0, 1, 3]);
    publisher.begin();
    publisher.append(0, &[NewRecord::of("gone")]);
    publisher.abort();
    worker.until("the end without a record", |worker| worker.end(0) == Some(6));
    assert_eq!(worker.records().len(), 3);
}

pub(crate) fn partitions_are_read_side_by_side(harness: &impl Harness) {
    harness.append(0, &numbered(5_000));
    harness.append(1, &numbered(5_000));
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    worker.start(1, 0);
    worker
        .until("both ends", |worker| worker.end(0) == Some(5_000) && worker.end(1) == Some(5_000));
    for partition in [0, 1] {
        let records = worker.records();
        let offsets = records.iter().filter(|seen| seen.partition == partition);
        assert!(offsets.map(|seen| seen.offset).eq(0..5_000));
    }
}

pub(crate) fn a_partition_can_be_started_again_elsewhere(harness: &impl Harness) {
    harness.append(0, &numbered(3_000));
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    worker.until("some records", |worker| !worker.records().is_empty());
    for from in [2_500, 10] {
        // Whatever was fetched for the earlier start may not come any more.
        worker.start(0, from);
        worker.kept.clear();
        worker.until("the end", |worker| worker.end(0) == Some(3_000));
        let offsets: Vec<u64> = worker.records().iter().map(|seen| seen.offset).collect();
        assert_eq!(offsets, (from..3_000).collect::<Vec<_>>());
    }
}

pub(crate) fn a_stopped_partition_hands_nothing_on(harness: &impl Harness) {
    harness.append(0, &numbered(3_000));
    harness.append(1, &numbered(3_000));
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    worker.until("some records", |worker| !worker.records().is_empty());
    worker.log.stop(0).unwrap();
    worker.kept.clear();
    worker.start(1, 0);
    worker.until("the other's end", |worker| worker.end(1) == Some(3_000));
    assert!(worker.records().iter().all(|seen| seen.partition == 1));
    // It is still assigned: it can be started, and committed.
    worker.start(0, 2_999);
    worker.until("its end", |worker| worker.end(0) == Some(3_000));
    worker.log.begin().unwrap();
    assert_eq!(worker.log.commit(&[commit_of(0, 3_000, "")]), CommitOutcome::Committed);
}

pub(crate) fn an_offset_that_is_gone_is_told_with_the_oldest_there_is(harness: &impl Harness) {
    harness.append(0, &numbered(100));
    harness.trim_input(0, Offset(40));
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 39);
    worker.until("it is told", |worker| worker.kept.contains(&Kept::OutOfRange(0, 40)));
    assert_eq!(worker.records(), []);
    worker.start(0, 40);
    worker.until("the end", |worker| worker.end(0) == Some(100));
    assert_eq!(worker.records().len(), 60);
}

pub(crate) fn outputs_offset_and_metadata_appear_together(harness: &impl Harness) {
    harness.append(0, &numbered(10));
    let mut worker = Worker::owning(harness, 2);
    worker.produce(Topic::Settled, 0, &["s1", "s2"]);
    worker.log.produce(&outputs(Topic::Gmv, 0, &["g"]), 0).unwrap();
    assert_eq!(texts(harness, Topic::Settled, 0), [""; 0]);
    assert_eq!(committed(harness, 0), Committed { offset: None, metadata: String::new() });

    let metadata = "m".repeat(4_000);
    let outcome = worker.log.commit(&[commit_of(0, 10, &metadata)]);
    assert_eq!(outcome, CommitOutcome::Committed);
    assert_eq!(texts(harness, Topic::Settled, 0), ["s1", "s2"]);
    assert_eq!(texts(harness, Topic::Gmv, 0), ["g"]);
    assert_eq!(committed(harness, 0), Committed { offset: Some(Offset(10)), metadata });
    assert_eq!(committed(harness, 1).offset, None);

    // The first outputs can be left out.
    worker.log.begin().unwrap();
    worker.log.produce(&outputs(Topic::Settled, 0, &["s2", "s3"]), 1).unwrap();
    assert_eq!(worker.log.commit(&[commit_of(0, 11, "n")]), CommitOutcome::Committed);
    assert_eq!(texts(harness, Topic::Settled, 0), ["s1", "s2", "s3"]);
    assert_eq!(committed(harness, 0).metadata, "n");
}

pub(crate) fn outputs_keep_key_timestamp_and_headers(harness: &impl Harness) {
    let mut worker = Worker::owning(harness, 2);
    let mut outputs = Outputs::new();
    outputs.push(Topic::DeadLetters, 1, Millis(0), None, None);
    outputs.header("code", Some(b"invalid"));
    outputs.header("none", None);
    outputs.push(Topic::DeadLetters, 1, Millis(12), Some(b""), Some(b"v"));
    worker.log.begin().unwrap();
    worker.log.produce(&outputs, 0).unwrap();
    assert_eq!(worker.log.commit(&[commit_of(1, 0, "")]), CommitOutcome::Committed);

    let seen = harness.outputs(Topic::DeadLetters, 1);
    assert_eq!(seen.len(), 2);
    assert_eq!((&seen[0].key, &seen[0].value), (&None, &None));
    let headers = [("code".to_owned(), Some(b"invalid".to_vec())), ("none".to_owned(), None)];
    assert_eq!(seen[0].headers, headers);
    assert_eq!(seen[1].timestamp, 12);
    assert_eq!((&seen[1].key, &seen[1].value), (&Some(Vec::new()), &Some(b"v".to_vec())));
}

pub(crate) fn a_thousand_outputs_of_one_transaction_keep_their_order(harness: &impl Harness) {
    let mut worker = Worker::owning(harness, 2);
    let values: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for round in 1..=3 {
        worker.produce(Topic::Status, 0, &values);
        assert_eq!(worker.log.commit(&[commit_of(0, round, "")]), CommitOutcome::Committed);
    }
    assert_eq!(texts(harness, Topic::Status, 0), values.repeat(3));
}

pub(crate) fn reading_goes_on_while_a_transaction_ends(harness: &impl Harness) {
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    let mut next = 0;
    for round in 1..=5 {
        worker.produce(Topic::Settled, 0, &["settled"]);
        worker.log.end(&[commit_of(0, round, "")]);
        assert!(worker.log.begin().is_err(), "one transaction at a time");
        // What comes meanwhile is handed on before anybody asks what became of the transaction.
        harness.append(0, &numbered(10));
        next += 10;
        worker.until("what came meanwhile", |worker| worker.records().len() == next);
        let mut outcome = None;
        while outcome.is_none() {
            outcome = worker.log.ended(POLL);
        }
        assert_eq!(outcome, Some(CommitOutcome::Committed));
        assert_eq!(worker.log.ended(Duration::ZERO), None, "it is told once");
        assert_eq!(committed(harness, 0).offset, Some(Offset(round)));
    }
    assert_eq!(texts(harness, Topic::Settled, 0), ["settled"; 5]);

    // A new producer has nothing to tell of what the old one was asked.
    worker.produce(Topic::Settled, 0, &["in doubt"]);
    worker.log.end(&[commit_of(0, 6, "")]);
    worker.replace_producer();
    assert_eq!(worker.log.ended(Duration::ZERO), None);
}

pub(crate) fn what_was_not_committed_goes_with_its_producer(harness: &impl Harness) {
    let mut worker = Worker::owning(harness, 2);
    worker.produce(Topic::Settled, 0, &["kept"]);
    assert_eq!(worker.log.commit(&[commit_of(0, 1, "one")]), CommitOutcome::Committed);
    worker.produce(Topic::Settled, 0, &["dropped"]);
    worker.replace_producer();
    worker.produce(Topic::Settled, 0, &["again"]);
    assert_eq!(worker.log.commit(&[commit_of(0, 2, "two")]), CommitOutcome::Committed);
    assert_eq!(texts(harness, Topic::Settled, 0), ["kept", "again"]);
    assert_eq!(committed(harness, 0).metadata, "two");
}

pub(crate) fn a_newer_producer_fences_the_older_one(harness: &impl Harness) {
    let mut old = Worker::owning(harness, 2);
    old.produce(Topic::Settled, 0, &["old"]);
    let mut new = Worker::new(harness, "worker");
    let outcome = old.log.commit(&[commit_of(0, 1, "old")]);
    assert!(matches!(outcome, CommitOutcome::Fenced(_)), "{outcome:?}");
    new.produce(Topic::Settled, 0, &["new"]);
    assert_eq!(new.log.commit(&[]), CommitOutcome::Committed);
    assert_eq!(texts(harness, Topic::Settled, 0), ["new"]);
    assert_eq!(committed(harness, 0).offset, None);
}

pub(crate) fn a_partition_that_is_not_owned_cannot_be_committed(harness: &impl Harness) {
    let mut stranger = Worker::new(harness, "stranger");
    stranger.produce(Topic::Settled, 0, &["stolen"]);
    let outcome = stranger.log.commit(&[commit_of(0, 1, "stolen")]);
    assert!(!is_committed(&outcome), "{outcome:?}");

    let mut worker = Worker::owning(harness, 2);
    worker.log.release(&[1]).unwrap();
    worker.produce(Topic::Settled, 0, &["half"]);
    let outcome = worker.log.commit(&[commit_of(0, 1, ""), commit_of(1, 1, "")]);
    assert!(!is_committed(&outcome), "{outcome:?}");

    stranger.replace_producer();
    worker.replace_producer();
    assert_eq!(texts(harness, Topic::Settled, 0), [""; 0]);
    assert_eq!(committed(harness, 0).offset, None);
}

pub(crate) fn is_committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed | CommitOutcome::CommittedSuspect(_))
}

pub(crate) fn committed_waits_until_a_pending_commit_is_decided(harness: &impl Harness) {
    let decide = harness.pending_commit(commit_of(0, 5, "pending"));
    let mut offsets = harness.offsets();
    let early = offsets.committed(&[0], Duration::from_millis(300));
    assert!(matches!(early, Err(LogError::Retry(_))), "{early:?}");
    decide();
    let committed = offsets.committed(&[0, 1], ANSWER).unwrap();
    assert_eq!(committed[0].offset, Some(Offset(5)));
    assert_eq!(committed[0].metadata, "pending");
    assert_eq!(committed[1].offset, None);
}

pub(crate) fn a_rebalance_hands_every_record_to_one_worker_only(harness: &impl Harness) {
    harness.append(0, &numbered(100));
    harness.append(1, &numbered(100));
    let mut first = Worker::owning(harness, 2);
    for partition in [0, 1] {
        first.start(partition, 0);
    }
    first.until("both ends", |worker| [0, 1].iter().all(|p| worker.end(*p) == Some(100)));
    first.log.begin().unwrap();
    let commits = [commit_of(0, 100, "0"), commit_of(1, 100, "1")];
    assert_eq!(first.log.commit(&commits), CommitOutcome::Committed);

    let mut second = Worker::new(harness, "second");
    second.log.join().unwrap();
    until_both(&mut first, &mut second, "one partition for each", |first, second| {
        first.assigned().len() == 1 && second.assigned().len() == 1
    });
    let moved = *second.assigned().first().unwrap();
    let stayed = *first.assigned().first().unwrap();
    assert_ne!(moved, stayed);
    harness.append(0, &numbered(10));
    harness.append(1, &numbered(10));
    first.kept.retain(|kept| !matches!(kept, Kept::Record(_)));
    second.start(moved, committed(harness, moved).offset.unwrap().0);
    until_both(&mut first, &mut second, "both ends", |first, second| {
        first.end(stayed) == Some(110) && second.end(moved) == Some(110)
    });
    for (worker, partition) in [(&first, stayed), (&second, moved)] {
        let records = worker.records();
        assert!(records.iter().all(|seen| seen.partition == partition), "{records:?}");
        assert!(records.iter().map(|seen| seen.offset).eq(100..110), "{records:?}");
    }
    for (worker, partition) in [(&mut first, stayed), (&mut second, moved)] {
        worker.produce(Topic::Settled, partition, &["done"]);
        let outcome = worker.log.commit(&[commit_of(partition, 110, "")]);
        assert_eq!(outcome, CommitOutcome::Committed);
    }
}

pub(crate) fn a_revoked_partition_works_on_until_it_is_released(harness: &impl Harness) {
    harness.append(0, &numbered(10));
    harness.append(1, &numbered(10));
    let mut first = Worker::owning(harness, 2);
    for partition in [0, 1] {
        first.start(partition, 0);
    }
    let mut second = Worker::new(harness, "second");
    second.log.join().unwrap();
    let started = Instant::now();
    while first.revoked().is_empty() {
        assert!(started.elapsed() < NEVER, "nothing is revoked: {:#?}", first.kept);
        first.poll();
        second.poll();
    }
    let revoked = first.revoked()[0];
    harness.append(revoked, &numbered(5));
    first.until("it is read on", |worker| worker.end(revoked) == Some(15));
    first.produce(Topic::Settled, revoked, &["late"]);
    let outcome = first.log.commit(&[commit_of(revoked, 15, "late")]);
    assert_eq!(outcome, CommitOutcome::Committed);
    assert_eq!(second.assigned(), BTreeSet::new());

    let all = first.revoked();
    first.log.release(&all).unwrap();
    first.log.begin().unwrap();
    let outcome = first.log.commit(&[commit_of(revoked, 16, "too late")]);
    assert!(!is_committed(&outcome), "{outcome:?}");
    first.replace_producer();
    until_both(&mut first, &mut second, "the other has it", |_, second| {
        second.assigned().contains(&revoked)
    });
    assert_eq!(committed(harness, revoked).metadata, "late");
}

pub(crate) fn who_leaves_is_asked_for_everything_and_the_other_gets_it(harness: &impl Harness) {
    harness.append(0, &numbered(10));
    let mut first = Worker::owning(harness, 2);
    first.start(0, 0);
    first.log.leave().unwrap();
    first.until("all is revoked", |worker| worker.revoked().len() == 2);
    // Until it is released it is the leaver's, who can finish its work.
    first.until("the end", |worker| worker.end(0) == Some(10));
    first.produce(Topic::Settled, 0, &["last"]);
    assert_eq!(first.log.commit(&[commit_of(0, 10, "last")]), CommitOutcome::Committed);
    first.log.release(&[0]).unwrap();
    first.log.release(&[1]).unwrap();

    let mut second = Worker::new(harness, "second");
    second.log.join().unwrap();
    until_both(&mut first, &mut second, "the other has everything", |_, second| {
        second.assigned().len() == 2
    });
    assert_eq!(first.assigned(), BTreeSet::new());
    drop(first);
    second.start(0, 10);
    second.until("the end", |worker| worker.end(0) == Some(10));
    assert_eq!(second.records(), []);
}

pub(crate) fn a_refused_partition_is_not_read_and_not_given_to_others(harness: &impl Harness) {
    harness.append(0, &numbered(10));
    harness.append(1, &numbered(10));
    let mut worker = Worker::owning(harness, 2);
    worker.start(0, 0);
    worker.start(1, 0);
    worker.log.release(&[0]).unwrap();
    worker.until("the other's end", |worker| worker.end(1) == Some(10));
    worker.kept.retain(|kept| matches!(kept, Kept::Assigned(_)));
    harness.append(0, &numbered(10));
    harness.append(1, &numbered(10));
    worker.until("the other's next end", |worker| worker.end(1) == Some(20));
    assert!(worker.records().iter().all(|seen| seen.partition == 1));
    assert_eq!(worker.revoked(), [0; 0]);
    worker.log.begin().unwrap();
    assert_eq!(worker.log.commit(&[commit_of(1, 20, "")]), CommitOutcome::Committed);
}

pub(crate) fn a_refused_partition_that_the_group_takes_away_is_told_as_lost(
    harness: &impl Harness,
) {
    let mut first = Worker::owning(harness, 2);
    first.log.release(&[0, 1]).unwrap();
    let mut second = Worker::new(harness, "second");
    second.log.join().unwrap();
    until_both(&mut first, &mut second, "one partition for each", |first, second| {
        first.assigned().len() == 1 && second.assigned().len() == 1
    });
    let moved: Vec<Partition> = second.assigned().into_iter().collect();
    assert!(first.kept.contains(&Kept::Lost(moved)), "{:#?}", first.kept);
    assert_eq!(first.revoked(), [0; 0], "nothing is owed");
}

pub(crate) fn ticks_arrive(harness: &impl Harness) {
    let mut worker = Worker::owning(harness, 2);
    worker.start(1, 0);
    worker.log.append_tick(1).unwrap();
    worker.until("the tick", |worker| !worker.records().is_empty());
    let tick = &worker.records()[0];
    assert_eq!((tick.text().as_str(), &tick.key), (r#"{"type":"tick"}"#, &None));
    assert_eq!((tick.partition, tick.offset), (1, 0));
}

pub(crate) fn bounds_and_emptiness_count_open_transactions(harness: &impl Harness) {
    let mut offsets = harness.offsets();
    assert_eq!(offsets.partition_count(), Ok(2));
    assert_eq!(offsets.cluster_id().unwrap(), harness.offsets().cluster_id().unwrap());
    assert_eq!(offsets.outputs_are_empty(0), Ok(true));
    assert_eq!(offsets.input_bounds(0), Ok(InputBounds { oldest: Offset(0), next: Offset(0) }));

    let mut publisher = harness.publisher();
    publisher.begin();
    publisher.append(0, &numbered(3));
    let bounds = offsets.input_bounds(0).unwrap();
    assert_eq!(bounds, InputBounds { oldest: Offset(0), next: Offset(3) });
    publisher.commit();
    harness.trim_input(0, Offset(2));
    assert_eq!(offsets.input_bounds(0).unwrap().oldest, Offset(2));

    let mut worker = Worker::owning(harness, 2);
    worker.produce(Topic::Status, 0, &["open"]);
    let started = Instant::now();
    while offsets.outputs_are_empty(0).unwrap() {
        // Whether it waits with sending until the commit is the log's own business.
        if started.elapsed() > Duration::from_secs(2) {
            assert_eq!(worker.log.commit(&[]), CommitOutcome::Committed);
        }
        assert!(started.elapsed() < NEVER, "the output is not seen");
        worker.poll();
    }
    assert_eq!(offsets.outputs_are_empty(1), Ok(true));
}
