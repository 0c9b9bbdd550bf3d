//! Records that are applied while a transaction ends, whose outcome the worker is told late.

use std::time::Duration;

use pipeline::embedded::faults::Verdict;
use pipeline::log::LogError;

use crate::world::{GROUP, Hand, NAME, World, trouble};

/// A worker that learns of a transaction's outcome so many turns after it has asked for its end, with
/// nothing to do yet.
fn told_late(partitions: u32, turns: u32) -> (World, Hand) {
    let mut world = World::new(partitions);
    // Long enough that the next transaction is not due before.
    world.settings.commit_interval = Duration::from_secs(2);
    world.settings.snapshot_interval = Duration::from_secs(3_600);
    let mut hand = world.hire(NAME);
    world.publish();
    world.settle(&mut hand);
    world.delay.set(turns);
    (world, hand)
}

/// Lets it have something applied behind a transaction that has ended, of which it was not told yet.
fn apply_behind_an_end(world: &mut World, hand: &mut Hand) {
    let offsets = world.script.calls("offsets");
    world.publish();
    world.until(hand, "the end of a transaction", |world| world.script.calls("offsets") > offsets);
    world.publish();
    let (before, begun) = (hand.partition(0).next, world.script.calls("begin"));
    // The report of where it stands comes a few turns later.
    world.turns(hand, 20);
    assert!(hand.partition(0).next > before, "it is read on while the transaction ends");
    assert_eq!(world.script.calls("begin"), begun, "it is not known yet what becomes of it");
}

#[test]
fn records_are_applied_while_a_transaction_ends_and_nothing_of_them_is_begun_before_its_outcome() {
    let (mut world, mut hand) = told_late(1, 40);
    apply_behind_an_end(&mut world, &mut hand);
    let committed = world.committed(0).offset.expect("the transaction is committed");
    assert!(hand.partition(0).next > Some(committed.0), "what is applied lies behind it");
    assert!(world.broker.open_transactions().is_empty(), "one transaction at a time");
    world.until_in_transaction(&mut hand);
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled("with every outcome told late");
}

#[test]
fn a_transaction_that_is_due_waits_for_the_outcome_of_the_one_before() {
    let (mut world, mut hand) = told_late(1, u32::MAX);
    for _ in 0..100 {
        world.publish();
        world.turns(&mut hand, 1);
        assert!(world.broker.open_transactions().len() <= 1);
    }
    world.settle(&mut hand);
    assert_eq!(world.committed(0).offset, Some(world.end(0)));
    world.stop(hand);
    world.assert_settled("with outcomes that are told to whom waits for them");
}

/// The call that ends a transaction goes so while records behind it are applied; gives how many new
/// producers that takes.
fn producers_after(call: &'static str, verdict: Verdict) -> u64 {
    let (mut world, mut hand) = told_late(1, 40);
    let (openings, producers) = (hand.openings().len(), world.script.calls("init"));
    let what = format!("{call}: {verdict:?}");
    world.script.expect(call, verdict);
    apply_behind_an_end(&mut world, &mut hand);
    for _ in 0..10 {
        world.publish();
        world.turns(&mut hand, 1);
    }
    world.settle(&mut hand);
    assert!(world.script.is_over(), "{what}");
    assert_eq!(hand.openings().len(), openings, "{what}: what is kept is enough to go on");
    while world.broker.late_requests() > 0 {
        assert!(!world.broker.deliver_late(0), "{what}: the late request is turned down");
    }
    let producers = world.script.calls("init") - producers;
    world.publish();
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled(&what);
    producers
}

#[test]
fn what_was_gathered_behind_an_uncertain_end_is_neither_lost_nor_repeated() {
    for verdict in [
        Verdict::FailBefore(trouble()),
        Verdict::ApplyThenFail(trouble()),
        Verdict::ApplyLate(trouble()),
        Verdict::ApplyTwice("the connection was lost".to_owned()),
        Verdict::FailBefore(LogError::Fenced("a newer producer".to_owned())),
    ] {
        assert_eq!(producers_after("end", verdict), 1, "the producer is replaced once");
    }
}

/// It begins where the one before ended, though that was not known when its first record was applied.
#[test]
fn an_uncertain_end_of_what_was_gathered_behind_another_is_told_from_that_one() {
    for verdict in [
        Verdict::FailBefore(trouble()),
        Verdict::ApplyThenFail(trouble()),
        Verdict::ApplyLate(trouble()),
    ] {
        let (mut world, mut hand) = told_late(1, 40);
        let openings = hand.openings().len();
        apply_behind_an_end(&mut world, &mut hand);
        world.script.expect("end", verdict.clone());
        world.until(&mut hand, "the end of the next one", |world| world.script.is_over());
        world.settle(&mut hand);
        assert_eq!(hand.openings().len(), openings, "{verdict:?}: what is kept is enough to go on");
        world.stop(hand);
        world.assert_settled(&format!("{verdict:?}"));
    }
}

#[test]
fn what_was_gathered_behind_an_abort_is_produced_after_what_was_aborted() {
    let turned_down = LogError::Transaction("illegal generation".to_owned());
    let producers = producers_after("offsets", Verdict::FailBefore(turned_down));
    assert_eq!(producers, 0, "the same producer begins again");
}

/// However much there is to read: what grew with each attempt would not get through any more at last.
#[test]
fn what_does_not_get_through_does_not_grow() {
    let (mut world, mut hand) = told_late(1, 40);
    (0..20).for_each(|_| world.script.expect("end", Verdict::FailBefore(trouble())));
    apply_behind_an_end(&mut world, &mut hand);
    let mut behind = None;
    for _ in 0..400 {
        world.publish();
        world.turns(&mut hand, 1);
        let uncommitted = hand.shared.status().queues.uncommitted;
        let is_in_doubt = !hand.shared.status().is_ready() && !world.script.is_over();
        if is_in_doubt {
            assert_eq!(*behind.get_or_insert(uncommitted), uncommitted, "as much as at first");
        }
    }
    assert!(behind.is_some() && world.script.is_over());
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled("after twenty attempts");
}

#[test]
fn a_worker_that_dies_while_a_transaction_ends_leaves_nothing_undone() {
    for verdict in [Verdict::Pass, Verdict::FailBefore(trouble())] {
        let (mut world, mut hand) = told_late(1, 40);
        world.script.expect("end", verdict.clone());
        apply_behind_an_end(&mut world, &mut hand);
        world.kill(hand);
        let mut next = world.hire(NAME);
        world.settle(&mut next);
        world.stop(next);
        world.assert_settled(&format!("{verdict:?}, then a crash"));
    }
}

#[test]
fn a_partition_that_is_lost_while_a_transaction_ends_goes_on_from_what_was_committed() {
    let (mut world, mut hand) = told_late(1, 40);
    apply_behind_an_end(&mut world, &mut hand);
    world.broker.expire_session(hand.member);
    world.publish();
    world.settle(&mut hand);
    assert_eq!(hand.phase(0), ("live", String::new()));
    world.stop(hand);
    world.assert_settled("after the loss");
}

#[test]
fn offsets_that_somebody_moved_while_a_transaction_ended_are_not_built_upon() {
    let (mut world, mut hand) = told_late(1, 40);
    world.script.expect("end", Verdict::FailBefore(trouble()));
    let written = world.outputs(0);
    apply_behind_an_end(&mut world, &mut hand);
    world.broker.forget_offsets(GROUP, 0);
    world.settle(&mut hand);
    assert_eq!(hand.phase(0).0, "refused");
    assert_eq!(world.outputs(0), written, "nothing is written where the offsets are lost");
}

#[test]
fn a_partition_that_is_revoked_while_a_transaction_ends_is_drained() {
    let (mut world, mut hand) = told_late(2, 40);
    apply_behind_an_end(&mut world, &mut hand);
    let mut other = world.hire("settle-1");
    for _ in 0..400 {
        world.publish();
        world.turns(&mut hand, 1);
        world.turns(&mut other, 1);
    }
    for hand in [&hand, &other] {
        assert_eq!(hand.shared.status().partitions.len(), 1, "each has one of the two");
    }
    let opening = &other.openings()[0].outcome;
    assert_eq!(opening.as_ref().unwrap().replay_until, None, "it was drained into a snapshot");
    for mut hand in [hand, other] {
        world.settle(&mut hand);
        world.stop(hand);
    }
    world.assert_settled("after the move");
}

#[test]
fn snapshots_are_taken_under_steady_load_and_hold_what_is_committed() {
    let mut world = World::new(1);
    world.delay.set(3);
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 20);
    let newest = |world: &World| world.snapshots(0).first().copied();
    let before = newest(&world);
    for _ in 0..100 {
        world.publish();
        world.turns(&mut hand, 1);
        assert!(newest(&world) <= world.committed(0).offset);
    }
    assert!(
        newest(&world) > before,
        "a snapshot is taken though there is always something to read"
    );
    world.kill(hand);
    let mut next = world.hire("settle-1");
    world.settle(&mut next);
    world.stop(next);
    world.assert_settled("from that snapshot");
}
