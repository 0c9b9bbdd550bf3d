//! Transactions whose outcome the worker is not told, or must not trust.

use pipeline::embedded::faults::Verdict;
use pipeline::log::LogError;
use pipeline::worker::WorkerError;

use crate::world::{GROUP, Hand, NAME, World, trouble};

/// A worker on one partition with a transaction that is open and holds outputs.
fn in_a_transaction(world: &mut World) -> Hand {
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 20);
    assert!(world.broker.open_transactions().is_empty());
    world.publish();
    world.until_in_transaction(&mut hand);
    hand
}

/// A commit that ends so is followed by neither loss nor repetition, and by no new opening.
fn check_commit(call: &'static str, verdict: Verdict) {
    let mut world = World::new(1);
    let mut hand = in_a_transaction(&mut world);
    let openings = hand.openings().len();
    let producers = world.script.calls("init");
    world.script.expect(call, verdict);
    world.publish();
    world.settle(&mut hand);
    assert!(world.script.is_over(), "the commit was made");
    assert_eq!(hand.openings().len(), openings, "the kept outputs are enough to go on");
    assert_eq!(world.script.calls("init"), producers + 1, "the producer is replaced once");
    while world.broker.late_requests() > 0 {
        assert!(!world.broker.deliver_late(0), "the late request is turned down");
    }
    world.publish();
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled("after the commit");
}

#[test]
fn an_unknown_commit_that_was_not_applied_is_made_again() {
    check_commit("end", Verdict::FailBefore(trouble()));
}

#[test]
fn an_unknown_commit_that_was_applied_is_not_made_again() {
    check_commit("end", Verdict::ApplyThenFail(trouble()));
}

#[test]
fn an_unknown_commit_that_arrives_late_is_made_once() {
    check_commit("end", Verdict::ApplyLate(trouble()));
}

#[test]
fn a_commit_whose_offsets_were_lost_settles_nothing_twice() {
    check_commit("offsets", Verdict::FailBefore(trouble()));
    check_commit("offsets", Verdict::ApplyThenFail(trouble()));
    check_commit("offsets", Verdict::ApplyLate(trouble()));
}

fn turned_down() -> Verdict {
    Verdict::FailBefore(LogError::Transaction("illegal generation".to_owned()))
}

/// A rebalance must not cost the second that a new producer takes.
#[test]
fn offsets_that_the_group_turned_down_are_sent_again_by_the_same_producer() {
    for times in 1..=3 {
        let mut world = World::new(1);
        let mut hand = in_a_transaction(&mut world);
        let producers = world.script.calls("init");
        for _ in 0..times {
            world.script.expect("offsets", turned_down());
        }
        world.settle(&mut hand);
        assert!(world.script.is_over(), "the commit was made {times} times");
        assert_eq!(world.script.calls("abort"), times);
        assert_eq!(world.script.calls("init"), producers);
        world.stop(hand);
        world.assert_settled(&format!("turned down {times} times"));
    }
}

#[test]
fn a_worker_that_is_turned_down_time_after_time_asks_what_is_committed() {
    let mut world = World::new(1);
    let mut hand = in_a_transaction(&mut world);
    let (producers, questions) = (world.script.calls("init"), world.script.calls("committed"));
    for _ in 0..4 {
        world.script.expect("offsets", turned_down());
    }
    world.settle(&mut hand);
    assert!(world.script.is_over());
    assert_eq!(world.script.calls("init"), producers + 1);
    assert_eq!(world.script.calls("committed"), questions + 1);
    world.stop(hand);
    world.assert_settled("turned down four times");
}

#[test]
fn an_abort_whose_outcome_is_unknown_settles_nothing_twice() {
    for verdict in [
        Verdict::FailBefore(trouble()),
        Verdict::ApplyThenFail(trouble()),
        Verdict::ApplyLate(trouble()),
        Verdict::ApplyTwice("the connection was lost".to_owned()),
    ] {
        let mut world = World::new(1);
        let mut hand = in_a_transaction(&mut world);
        let producers = world.script.calls("init");
        world.script.expect("offsets", turned_down());
        world.script.expect("abort", verdict.clone());
        world.settle(&mut hand);
        assert!(world.script.is_over(), "the abort was made");
        assert_eq!(world.script.calls("init"), producers + 1, "the producer is replaced once");
        while world.broker.late_requests() > 0 {
            assert!(!world.broker.deliver_late(0), "the late request is turned down");
        }
        world.publish();
        world.settle(&mut hand);
        world.stop(hand);
        world.assert_settled(&format!("{verdict:?} on the abort"));
    }
}

#[test]
fn a_suspect_commit_cannot_decide_the_next_transaction() {
    for delay in 1..8 {
        let mut world = World::new(1);
        let mut hand = in_a_transaction(&mut world);
        let producers = world.script.calls("init");
        world.script.expect("end", Verdict::ApplyTwice("the connection was lost".to_owned()));
        world.until(&mut hand, "a late commit", |world| world.broker.late_requests() > 0);
        for _ in 0..delay {
            world.publish();
            world.turns(&mut hand, 1);
        }
        assert!(!world.broker.deliver_late(0), "its producer is fenced by the worker's new one");
        assert_eq!(world.script.calls("init"), producers + 1);
        world.settle(&mut hand);
        world.stop(hand);
        world.assert_settled(&format!("{delay} turns after the suspect commit"));
    }
}

#[test]
fn no_record_is_read_while_the_outcome_is_uncertain() {
    for goes_on_reading in [false, true] {
        let mut world = World::new(1);
        let mut hand = in_a_transaction(&mut world);
        world.script.expect("end", Verdict::FailBefore(trouble()));
        if goes_on_reading {
            world.script.expect("stop", Verdict::FailBefore(trouble()));
        }
        for _ in 0..20 {
            world.script.expect("init", Verdict::FailBefore(trouble()));
        }
        world.turns(&mut hand, 10);
        let next = hand.partition(0).next;
        let outputs = world.outputs(0);
        world.publish();
        world.turns(&mut hand, 8);
        assert_eq!(hand.partition(0).next, next);
        assert_eq!(world.outputs(0), outputs);
        world.settle(&mut hand);
        world.stop(hand);
        world.assert_settled("after the outage");
    }
}

#[test]
fn records_read_in_doubt_are_neither_lost_nor_repeated() {
    for verdict in [
        Verdict::FailBefore(trouble()),
        Verdict::ApplyThenFail(trouble()),
        Verdict::ApplyLate(trouble()),
    ] {
        let mut world = World::new(1);
        let mut hand = in_a_transaction(&mut world);
        world.script.expect("end", verdict.clone());
        // The log goes on reading, though it was asked to stop.
        world.script.expect("stop", Verdict::FailBefore(trouble()));
        for _ in 0..10 {
            world.publish();
            world.turns(&mut hand, 1);
        }
        assert!(world.script.is_over());
        world.settle(&mut hand);
        world.stop(hand);
        world.assert_settled(&format!("{verdict:?}"));
    }
}

#[test]
fn a_partition_that_is_opened_again_is_read_from_its_snapshot_on_though_the_log_did_not_stop() {
    for failed_starts in 0..4 {
        let mut world = World::new(1);
        world.settings.snapshot_interval = std::time::Duration::from_millis(200);
        let mut hand = in_a_transaction(&mut world);
        world.script.expect("end", Verdict::ApplyThenFail(trouble()));
        world.script.expect("stop", Verdict::FailBefore(trouble()));
        // Meanwhile the log hands on from where it stood before.
        (0..failed_starts).for_each(|_| {
            world.script.expect("start", Verdict::FailBefore(trouble()));
        });
        for _ in 0..20 {
            world.publish();
            world.turns(&mut hand, 1);
        }
        assert!(world.script.is_over());
        world.settle(&mut hand);
        assert_eq!(hand.phase(0), ("live", String::new()), "{failed_starts} failed starts");
        world.stop(hand);
        world.assert_settled(&format!("{failed_starts} failed starts"));
    }
}

#[test]
fn an_outcome_that_cannot_be_asked_for_is_asked_again() {
    let mut world = World::new(1);
    let mut hand = in_a_transaction(&mut world);
    world.script.expect("end", Verdict::ApplyThenFail(trouble()));
    (0..3).for_each(|_| world.script.expect("committed", Verdict::FailBefore(trouble())));
    world.settle(&mut hand);
    assert!(world.script.is_over());
    world.stop(hand);
    world.assert_settled("after the questions");
}

#[test]
fn a_fenced_producer_is_replaced_and_its_outputs_are_written_once() {
    let mut world = World::new(1);
    let mut hand = in_a_transaction(&mut world);
    drop(world.broker.publisher(NAME));
    world.publish();
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled("after the fence");
}

/// Fences the worker again and again, so many milliseconds apart; gives the third fence's error.
fn fence_thrice(pause: u64) -> Option<WorkerError> {
    let mut world = World::new(1);
    let mut hand = in_a_transaction(&mut world);
    for _ in 0..3 {
        drop(world.broker.publisher(NAME));
        world.publish();
        for _ in 0..50 {
            if let Err(error) = world.turn(&mut hand) {
                return Some(error);
            }
        }
        // In small steps: a worker of which nothing is heard is taken out of its group.
        for _ in 0..pause / 1_000 {
            world.pass(1_000);
            world.turns(&mut hand, 1);
        }
    }
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled("after three fences");
    None
}

#[test]
fn two_processes_of_one_name_do_not_fence_each_other_for_ever() {
    let error = fence_thrice(0);
    assert!(matches!(error, Some(WorkerError::FencedByNamesake(_))), "{error:?}");
}

#[test]
fn fences_that_are_far_between_do_not_end_the_worker() {
    assert!(fence_thrice(31_000).is_none());
}

/// A namesake that fences a producer also takes the place in the group, and is fenced there in turn.
#[test]
fn who_lost_a_partition_lately_is_not_ended_by_fences() {
    let mut world = World::new(1);
    let mut hand = in_a_transaction(&mut world);
    world.broker.expire_session(hand.member);
    world.settle(&mut hand);
    for _ in 0..4 {
        world.publish();
        drop(world.broker.publisher(NAME));
        world.settle(&mut hand);
    }
    world.stop(hand);
    world.assert_settled("after four fences");
}

#[test]
fn offsets_that_somebody_else_moved_are_found_out_and_nothing_is_written_from_stale_state() {
    let mut world = World::new(1);
    let hand = in_a_transaction(&mut world);
    let before = world.committed(0);
    // Another worker of the same name takes over, commits, and vanishes, while this one sleeps.
    let mut other = world.hire(NAME);
    world.broker.expire_session(hand.member);
    world.turns(&mut other, 60);
    let moved = world.committed(0);
    assert_ne!(moved.offset, before.offset);
    world.kill(other);
    let mut hand = hand;
    world.publish();
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled("after the other worker");
}

/// Neither the transaction's beginning nor its end is what the group has: only the snapshot and its
/// checks can tell what to do, and here they say that nothing may be written.
#[test]
fn offsets_that_somebody_else_moved_are_not_built_upon() {
    let mut world = World::new(1);
    let mut hand = in_a_transaction(&mut world);
    let written = world.outputs(0);
    world.script.expect("end", Verdict::FailBefore(trouble()));
    world.until(&mut hand, "an unknown commit", |world| world.script.is_over());
    world.broker.forget_offsets(GROUP, 0);
    world.settle(&mut hand);
    assert_eq!(hand.phase(0).0, "refused");
    assert_eq!(world.outputs(0), written, "nothing is written where the offsets are lost");
}
