//! Lost requests, lost answers, and requests that arrive when nobody waits for them any more.

use std::sync::OnceLock;

use super::*;

fn transaction(why: &str) -> LogError {
    LogError::Transaction(why.to_owned())
}

/// The hazard for which a producer is replaced after every suspicious commit.
#[test]
fn a_late_commit_decides_the_next_transaction_of_the_same_producer() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("EndTransaction", Verdict::ApplyTwice("connection lost".to_owned()));
    let suspect = CommitOutcome::CommittedSuspect("connection lost".to_owned());
    assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), suspect);

    log.begin().unwrap();
    log.produce(&settled(0, &["half"]), 0).unwrap();
    assert!(broker.deliver_late(0));
    assert_eq!(shown(&broker, 0), ["a", "half"], "torn: outputs without their offset");
    assert_eq!(committed(&broker, 0), Ok(Some(Offset(1))));
    let error = log.produce(&settled(0, &["rest"]), 0).unwrap_err();
    assert!(matches!(error, LogError::Transaction(_)), "{error}");
}

#[test]
fn a_late_commit_decides_nothing_once_the_producer_is_replaced() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("EndTransaction", Verdict::ApplyTwice("connection lost".to_owned()));
    transact(&mut log, &["a"], up_to(0, 1));
    log.replace_producer(Duration::ZERO).unwrap();
    log.begin().unwrap();
    log.produce(&settled(0, &["half"]), 0).unwrap();
    assert!(!broker.deliver_late(0));
    assert_eq!(shown(&broker, 0), ["a"]);
    log.produce(&settled(0, &["rest"]), 0).unwrap();
    assert_eq!(log.commit(&[up_to(0, 2)]), CommitOutcome::Committed);
    assert_eq!(shown(&broker, 0), ["a", "half", "rest"]);
}

/// The coordinator takes the real commit for the repetition of what the straggler did, so that even
/// the client that is torn is told that all is well.
#[test]
fn a_commit_that_a_late_one_anticipated_is_answered_as_done() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("EndTransaction", Verdict::ApplyTwice("connection lost".to_owned()));
    transact(&mut log, &["a"], up_to(0, 1));
    log.begin().unwrap();
    log.produce(&settled(0, &["b"]), 0).unwrap();
    assert!(broker.deliver_late(0));
    assert_eq!(log.commit(&[]), CommitOutcome::Committed);
    assert_eq!(shown(&broker, 0), ["a", "b"]);
}

#[test]
fn a_late_commit_that_finds_nothing_open_changes_nothing() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("EndTransaction", Verdict::ApplyTwice("connection lost".to_owned()));
    transact(&mut log, &["a"], up_to(0, 1));
    let end = broker.bounds(SETTLED, 0);
    assert!(!broker.deliver_late(0));
    assert_eq!(broker.bounds(SETTLED, 0), end);
    assert_eq!(broker.late_requests(), 0);
    assert!(!broker.deliver_late(0), "there is none");
}

/// What the worker must find out by the committed offset: the same answer, three truths.
#[test]
fn an_unknown_outcome_is_told_by_the_committed_offset() {
    let lost = || retry("timed out");
    for (verdict, is_committed) in [
        (Verdict::FailBefore(lost()), false),
        (Verdict::ApplyThenFail(lost()), true),
        (Verdict::ApplyLate(lost()), false),
    ] {
        let script = Script::default();
        let broker = script.broker();
        let mut log = reader_of(&broker);
        script.expect("EndTransaction", verdict);
        let unknown = CommitOutcome::Unknown("timed out".to_owned());
        assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), unknown);
        assert!(matches!(log.begin(), Err(LogError::Transaction(_))), "not without replacing");
        log.replace_producer(Duration::ZERO).unwrap();
        for _ in 0..broker.late_requests() {
            assert!(!broker.deliver_late(0));
        }
        assert_eq!(committed(&broker, 0), Ok(is_committed.then_some(Offset(1))));
        assert_eq!(shown(&broker, 0).len(), usize::from(is_committed));
    }
}

#[test]
fn a_commit_that_arrives_before_the_replacement_counts() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("EndTransaction", Verdict::ApplyLate(retry("timed out")));
    transact(&mut log, &["a"], up_to(0, 1));
    assert!(broker.deliver_late(0));
    log.replace_producer(Duration::ZERO).unwrap();
    assert_eq!(committed(&broker, 0), Ok(Some(Offset(1))));
    assert_eq!(shown(&broker, 0), ["a"]);
}

#[test]
fn a_transaction_whose_offsets_are_turned_down_is_aborted_and_its_producer_goes_on() {
    for verdict in [
        Verdict::FailBefore(transaction("illegal generation")),
        Verdict::ApplyThenFail(transaction("illegal generation")),
    ] {
        let script = Script::default();
        let broker = script.broker();
        let mut log = reader_of(&broker);
        script.expect("SendOffsets", verdict);
        let aborted = CommitOutcome::Aborted("illegal generation".to_owned());
        assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), aborted);
        assert_eq!(committed(&broker, 0), Ok(None));
        assert_eq!(shown(&broker, 0), [""; 0]);
        assert_eq!(transact(&mut log, &["b"], up_to(0, 2)), CommitOutcome::Committed);
        assert_eq!(committed(&broker, 0), Ok(Some(Offset(2))));
        assert_eq!(shown(&broker, 0), ["b"]);
    }
}

#[test]
fn an_abort_that_may_still_be_under_way_is_an_unknown_outcome() {
    for verdict in [
        Verdict::FailBefore(retry("timed out")),
        Verdict::ApplyThenFail(retry("timed out")),
        Verdict::ApplyLate(retry("timed out")),
        Verdict::ApplyTwice("timed out".to_owned()),
    ] {
        let script = Script::default();
        let broker = script.broker();
        let mut log = reader_of(&broker);
        script.expect("SendOffsets", Verdict::FailBefore(transaction("illegal generation")));
        script.expect("AbortTransaction", verdict);
        let unknown = CommitOutcome::Unknown("timed out".to_owned());
        assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), unknown);
        assert!(matches!(log.begin(), Err(LogError::Transaction(_))), "not without replacing");
        log.replace_producer(Duration::ZERO).unwrap();
        assert_eq!(transact(&mut log, &["b"], up_to(0, 2)), CommitOutcome::Committed);
        for _ in 0..broker.late_requests() {
            assert!(!broker.deliver_late(0));
        }
        assert_eq!(shown(&broker, 0), ["b"]);
    }
}

#[test]
fn late_offsets_join_the_next_transaction_unless_the_producer_is_replaced() {
    for is_replaced in [false, true] {
        let script = Script::default();
        let broker = script.broker();
        let mut log = reader_of(&broker);
        script.expect("SendOffsets", Verdict::ApplyTwice("connection lost".to_owned()));
        let suspect = CommitOutcome::CommittedSuspect("connection lost".to_owned());
        assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), suspect);
        if is_replaced {
            log.replace_producer(Duration::ZERO).unwrap();
        }
        script.expect("EndTransaction", Verdict::FailBefore(retry("timed out")));
        transact(&mut log, &["b"], up_to(0, 2));
        assert_eq!(broker.deliver_late(0), !is_replaced);
    }
}

#[test]
fn late_offsets_of_a_partition_that_has_moved_are_turned_down() {
    let script = Script::default();
    let settings = Settings { partitions: 2, ..Settings::default() };
    let broker = EmbeddedBroker::with_faults(settings, Box::new(script.clone()));
    let mut first = worker(&broker, "worker-0");
    poll(&mut first);
    script.expect("SendOffsets", Verdict::ApplyTwice("connection lost".to_owned()));
    transact(&mut first, &["a"], up_to(1, 1));
    let mut second = worker(&broker, "worker-1");
    assert_eq!(poll(&mut first), [Told::Revoked(vec![1])]);
    first.release(&[1]).unwrap();
    assert_eq!(poll(&mut second), [Told::Assigned(vec![1])]);

    first.begin().unwrap();
    first.produce(&settled(0, &["b"]), 0).unwrap();
    assert!(!broker.deliver_late(0));
    assert_eq!(committed(&broker, 1), Ok(Some(Offset(1))));
}

#[test]
fn late_offsets_open_no_transaction() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("SendOffsets", Verdict::ApplyTwice("connection lost".to_owned()));
    transact(&mut log, &["a"], up_to(0, 1));
    assert!(!broker.deliver_late(0));
    assert!(broker.open_transactions().is_empty());
}

#[test]
fn a_late_initialisation_fences_the_producer_that_came_after_it() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("InitProducer", Verdict::ApplyLate(retry("timed out")));
    assert_eq!(log.replace_producer(Duration::ZERO), Err(retry("timed out")));
    assert!(matches!(log.begin(), Err(LogError::Transaction(_))), "it has no producer yet");
    for next in [Verdict::ApplyTwice("connection lost".to_owned()), Verdict::Pass] {
        script.expect("InitProducer", next);
        log.replace_producer(Duration::ZERO).unwrap();
        log.begin().unwrap();
        assert!(broker.deliver_late(0));
        assert!(matches!(log.produce(&settled(0, &["a"]), 0), Err(LogError::Fenced(_))));
    }
    assert_eq!(broker.late_requests(), 0);
}

#[test]
fn an_initialisation_whose_answer_is_lost_is_made_again() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("InitProducer", Verdict::ApplyThenFail(retry("timed out")));
    assert_eq!(log.replace_producer(Duration::ZERO), Err(retry("timed out")));
    log.replace_producer(Duration::ZERO).unwrap();
    assert_eq!(transact(&mut log, &["a"], up_to(0, 1)), CommitOutcome::Committed);
}

#[test]
fn produced_outputs_are_not_doubled_by_faults() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    let outputs = settled(0, &["a"]);

    log.begin().unwrap();
    script.expect("Produce", Verdict::FailBefore(retry("queue full")));
    assert_eq!(log.produce(&outputs, 0), Err(retry("queue full")));
    script.expect("Produce", Verdict::ApplyTwice("connection lost".to_owned()));
    log.produce(&outputs, 0).unwrap();
    let suspect = CommitOutcome::CommittedSuspect("connection lost".to_owned());
    assert_eq!(log.commit(&[up_to(0, 1)]), suspect);
    assert_eq!(shown(&broker, 0), ["a"]);
    assert_eq!(broker.late_requests(), 0);

    log.begin().unwrap();
    script.expect("Produce", Verdict::ApplyThenFail(retry("queue full")));
    assert_eq!(log.produce(&outputs, 0), Err(transaction("queue full")), "no repetition");
    assert!(matches!(log.commit(&[]), CommitOutcome::Unknown(_)));
    log.replace_producer(Duration::ZERO).unwrap();
    assert_eq!(shown(&broker, 0), ["a"]);
}

#[test]
fn a_suspicion_does_not_outlive_its_transaction() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("Produce", Verdict::ApplyTwice("connection lost".to_owned()));
    assert_ne!(transact(&mut log, &["a"], up_to(0, 1)), CommitOutcome::Committed);
    assert_eq!(transact(&mut log, &["b"], up_to(0, 2)), CommitOutcome::Committed);
}

/// A call of the port, by the name of its [`Call`].
type Attempt = (&'static str, fn(&mut EmbeddedLog) -> Result<(), LogError>);

#[test]
fn every_call_can_fail_before_and_after_it_took_effect() {
    let attempts: [Attempt; 9] = [
        ("Poll", |log| log.poll(Duration::ZERO, &mut |_| ()).map(drop)),
        ("Start", |log| log.start(0, Offset(0))),
        ("Stop", |log| log.stop(0)),
        ("Release", |log| log.release(&[0])),
        ("Join", EmbeddedLog::join),
        ("Leave", EmbeddedLog::leave),
        ("InitProducer", |log| log.replace_producer(Duration::ZERO)),
        ("Begin", EmbeddedLog::begin),
        ("AppendTick", |log| log.append_tick(0)),
    ];
    for (name, attempt) in attempts {
        let script = Script::default();
        let broker = script.broker();
        let mut log = reader_of(&broker);
        for verdict in [
            Verdict::FailBefore(retry(name)),
            Verdict::ApplyLate(retry(name)),
            Verdict::ApplyThenFail(retry(name)),
        ] {
            script.expect(name, verdict);
            assert_eq!(attempt(&mut log), Err(retry(name)));
            assert!(script.is_used_up());
        }
    }
}

#[test]
fn every_question_can_fail() {
    let script = Script::default();
    let mut offsets = script.broker().offsets(GROUP);
    let lost = || Verdict::FailBefore(retry("lost"));
    script.expect("Committed", lost());
    assert_eq!(offsets.committed(&[0], Duration::ZERO), Err(retry("lost")));
    script.expect("InputBounds", lost());
    assert_eq!(offsets.input_bounds(0), Err(retry("lost")));
    script.expect("OutputsAreEmpty", lost());
    assert_eq!(offsets.outputs_are_empty(0), Err(retry("lost")));
    script.expect("PartitionCount", lost());
    assert_eq!(offsets.partition_count(), Err(retry("lost")));
    script.expect("ClusterId", lost());
    assert_eq!(offsets.cluster_id(), Err(retry("lost")));
}

#[test]
fn a_tick_that_is_lost_is_not_appended_and_one_whose_answer_is_lost_is() {
    let script = Script::default();
    let broker = script.broker();
    let mut log = reader_of(&broker);
    script.expect("AppendTick", Verdict::FailBefore(retry("lost")));
    log.append_tick(0).unwrap_err();
    assert_eq!(broker.bounds(Topic::Input, 0).next, Offset(0));
    script.expect("AppendTick", Verdict::ApplyThenFail(retry("lost")));
    log.append_tick(0).unwrap_err();
    assert_eq!(broker.bounds(Topic::Input, 0).next, Offset(1));
}

/// Expires the caller's session at its first commit: the hook may call the broker.
#[derive(Debug)]
struct ExpiresAtCommit(Arc<OnceLock<Arc<EmbeddedBroker>>>);

impl Faults for ExpiresAtCommit {
    fn verdict(&self, caller: Caller<'_>, call: Call<'_>) -> Verdict {
        if let (Caller::Member(member), Call::SendOffsets, Some(broker)) =
            (caller, call, self.0.get())
        {
            broker.expire_session(member);
        }
        Verdict::Pass
    }
}

#[test]
fn a_session_that_expires_in_the_middle_of_a_commit_commits_nothing() {
    let handle = Arc::new(OnceLock::new());
    let faults = Box::new(ExpiresAtCommit(Arc::clone(&handle)));
    let broker = EmbeddedBroker::with_faults(Settings::default(), faults);
    handle.set(Arc::clone(&broker)).unwrap();
    let mut log = reader_of(&broker);
    assert!(matches!(transact(&mut log, &["a"], up_to(0, 1)), CommitOutcome::Aborted(_)));
    assert_eq!(committed(&broker, 0), Ok(None));
    assert_eq!(poll(&mut log), [Told::Lost(vec![0]), Told::Assigned(vec![0])]);
}
