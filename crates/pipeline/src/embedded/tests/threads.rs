//! Many threads at once, as in the demo. Waits here end by what another thread does; the long ones
//! only keep a defect from hanging the test for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn await_sleeper(broker: &EmbeddedBroker) {
    while !broker.activity.has_sleepers() {
        thread::yield_now();
    }
}

#[test]
fn a_waiting_poll_is_woken_by_a_record() {
    let broker = broker(1);
    let mut log = reader_of(&broker);
    poll(&mut log);
    let waiting = thread::spawn(move || log.poll(LONG, &mut |_| ()));
    await_sleeper(&broker);
    append(&broker, 0, &["a"]);
    assert_eq!(waiting.join().unwrap(), Ok(1));
}

#[test]
fn a_waiting_poll_is_woken_by_the_group() {
    let broker = broker(1);
    let mut first = reader_of(&broker);
    poll(&mut first);
    let waiting = thread::spawn(move || {
        let mut told = Vec::new();
        first.poll(LONG, &mut |event| told.push(Told::of(event))).unwrap();
        told
    });
    await_sleeper(&broker);
    broker.expire_session(MemberId(0));
    assert_eq!(waiting.join().unwrap()[0], Told::Lost(vec![0]));
}

#[test]
fn a_waiting_question_is_woken_by_the_decision() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("EndTransaction", Verdict::ApplyLate(retry("timed out")));
    transact(&mut log, &["a"], up_to(0, 1));
    let mut offsets = broker.offsets(GROUP);
    let waiting = thread::spawn(move || offsets.committed(&[0], LONG));
    await_sleeper(&broker);
    assert!(broker.deliver_late(0));
    assert_eq!(waiting.join().unwrap().unwrap()[0].offset, Some(Offset(1)));
}

/// Where it waits after all, this test never ends.
#[test]
fn a_lone_thread_does_not_wait_for_itself() {
    let script = Script::default();
    let broker = EmbeddedBroker::simulated(Settings::default(), Box::new(script.clone()));
    let mut log = reader_of(&broker);
    poll(&mut log);
    assert_eq!(log.poll(Duration::MAX, &mut |_| ()), Ok(0));
    script.expect("EndTransaction", Verdict::FailBefore(retry("timed out")));
    transact(&mut log, &["a"], up_to(0, 1));
    let answer = broker.offsets(GROUP).committed(&[0], Duration::MAX);
    assert!(matches!(answer, Err(LogError::Retry(_))));
}

const PARTITIONS: u32 = 4;
const RECORDS: u64 = 20_000;

/// Publishers write while three workers, two of which join on the way, pass every record through:
/// each arrives once, in order.
#[test]
fn nothing_is_lost_or_doubled_among_threads() {
    let broker = broker(PARTITIONS);
    let passed = Arc::new(AtomicU64::new(0));
    thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let broker = &broker;
            scope.spawn(move || publish(broker, partition));
        }
        for number in 0..3 {
            let (broker, passed) = (&broker, &passed);
            scope.spawn(move || pass_through(broker, number, passed));
        }
    });
    for partition in 0..PARTITIONS {
        let expected = (0..RECORDS).map(|number| number.to_string());
        assert!(shown(&broker, partition).into_iter().eq(expected), "partition {partition}");
        assert_eq!(
            broker.bounds(SETTLED, partition).last_stable,
            broker.bounds(SETTLED, partition).next
        );
        assert_eq!(committed(&broker, partition), Ok(Some(Offset(RECORDS))));
    }
}

fn publish(broker: &EmbeddedBroker, partition: Partition) {
    for number in 0..RECORDS {
        append(broker, partition, &[&number.to_string()]);
    }
}

/// Ends the other workers' loops when one fails, so that the test fails and does not hang.
struct EndAllOnPanic<'a>(&'a AtomicU64);

impl Drop for EndAllOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(u64::MAX / 2, Ordering::Relaxed);
        }
    }
}

fn pass_through(broker: &Arc<EmbeddedBroker>, number: u64, passed: &AtomicU64) {
    let _guard = EndAllOnPanic(passed);
    while passed.load(Ordering::Relaxed) < number * RECORDS {
        thread::yield_now();
    }
    let mut log = worker(broker, &format!("worker-{number}"));
    let mut offsets = broker.offsets(GROUP);
    while passed.load(Ordering::Relaxed) < RECORDS * u64::from(PARTITIONS) {
        let mut outputs = Outputs::new();
        let mut commits = BTreeMap::new();
        let (mut assigned, mut revoked) = (Vec::new(), Vec::new());
        let wait = Duration::from_millis(1);
        let handed_on = log.poll(wait, &mut |event| match event {
            Event::Assigned(partitions) => assigned.extend_from_slice(partitions),
            Event::Revoked(partitions) => revoked.extend_from_slice(partitions),
            Event::Records { partition, records } => {
                for record in records {
                    let topic = outputs::Topic::Settled;
                    outputs.push(topic, partition, Millis(0), None, record.value);
                    commits.insert(partition, up_to(partition, record.offset.0 + 1));
                }
            }
            Event::End { .. } => {}
            other => panic!("{other:?}"),
        });
        log.begin().unwrap();
        log.produce(&outputs, 0).unwrap();
        let commits: Vec<PartitionCommit> = commits.into_values().collect();
        assert_eq!(log.commit(&commits), CommitOutcome::Committed);
        log.release(&revoked).unwrap();
        for (partition, at) in assigned.iter().zip(offsets.committed(&assigned, LONG).unwrap()) {
            log.start(*partition, at.offset.unwrap_or(Offset(0))).unwrap();
        }
        // Only the test's own count; what it counts is read through the log's locks.
        passed.fetch_add(handed_on.unwrap() as u64, Ordering::Relaxed);
    }
}
