//! Partitions that move between workers, are lost, or must be given up in a hurry.

use std::time::Duration;

use pipeline::embedded::faults::Verdict;
use pipeline::log::LogError;
use pipeline::worker::Turn;

use crate::world::{Hand, NAME, STEP, World, trouble};

const OTHER: &str = "settle-1";

/// Lets two workers turn in step.
fn turn_both(world: &World, first: &mut Hand, second: &mut Hand, turns: u32) {
    for _ in 0..turns {
        world.turns(first, 1);
        world.turns(second, 1);
    }
}

#[test]
fn a_partition_that_moves_to_another_worker_and_back_starts_without_a_replay() {
    let mut world = World::new(2);
    // Only the drain may take the snapshots from which the next owner starts.
    world.settings.snapshot_interval = Duration::from_secs(3_600);
    let mut first = world.hire(NAME);
    (0..6).for_each(|_| {
        world.publish();
        world.turns(&mut first, 1);
    });
    let mut second = world.hire(OTHER);
    (0..30).for_each(|_| {
        world.publish();
        turn_both(&world, &mut first, &mut second, 1);
    });
    let moved = second.openings();
    assert_eq!(moved.len(), 1, "one of two partitions moved: {moved:?}");
    let start = moved[0].outcome.as_ref().unwrap();
    assert_eq!((start.replay_until, start.snapshot), (None, Some(start.at)));

    second.shared.stop();
    let mut turns = 0;
    while world.turn(&mut second).unwrap() == Turn::Again {
        world.publish();
        world.turns(&mut first, 1);
        turns += 1;
        assert!(turns < 500, "the second worker leaves");
    }
    world.settle(&mut first);
    let back = first.openings().pop().unwrap();
    let start = back.outcome.as_ref().unwrap();
    assert_eq!(back.partition, moved[0].partition);
    assert_eq!((start.replay_until, start.snapshot), (None, Some(start.at)));
    world.stop(first);
    world.assert_settled("after both moves");
}

#[test]
fn a_partition_that_moves_again_and_again_loses_and_repeats_nothing() {
    for period in 1..12 {
        let mut world = World::new(3);
        let mut first = world.hire(NAME);
        let mut second = None;
        for turn in 0..60 {
            world.publish_in(turn % 3);
            world.turns(&mut first, 1);
            if turn % period == 0 {
                match second.take() {
                    None => second = Some(world.hire(OTHER)),
                    Some(hand) => world.kill(hand),
                }
            }
            if let Some(second) = &mut second {
                world.turns(second, 1);
            }
        }
        // A transaction that the second one left open bars its partitions for ten seconds.
        second.into_iter().for_each(|hand| world.kill(hand));
        for _ in 0..12 {
            world.pass(1_000);
            world.turns(&mut first, 1);
        }
        world.settle(&mut first);
        world.stop(first);
        world.assert_settled(&format!("joins and deaths every {period} turns"));
    }
}

#[test]
fn a_partition_lost_in_the_middle_of_a_transaction_is_not_committed_by_its_old_owner() {
    let mut world = World::new(2);
    let mut first = world.hire(NAME);
    world.turns(&mut first, 20);
    world.publish();
    world.until_in_transaction(&mut first);
    // The group hands everything to another worker while this one sleeps.
    let mut second = world.hire(OTHER);
    world.turns(&mut second, 1);
    world.broker.expire_session(first.member);
    world.turns(&mut second, 5);
    turn_both(&world, &mut first, &mut second, 100);
    world.publish();
    turn_both(&world, &mut first, &mut second, 100);
    world.stop(second);
    world.settle(&mut first);
    world.stop(first);
    world.assert_settled("after the loss");
}

#[test]
fn the_partitions_that_are_kept_survive_the_loss_of_another_in_the_same_transaction() {
    for lost_at in 0..8 {
        let mut world = World::new(2);
        let mut hand = world.hire(NAME);
        for turn in 0..12 {
            world.publish();
            world.turns(&mut hand, 1);
            if turn == lost_at {
                world.broker.expire_session(hand.member);
            }
        }
        world.settle(&mut hand);
        world.stop(hand);
        world.assert_settled(&format!("expired at turn {lost_at}"));
    }
}

#[test]
fn a_drain_whose_snapshot_takes_too_long_gives_the_partition_up_at_its_deadline() {
    let mut world = World::new(1);
    world.settings.drain = Duration::from_millis(400);
    world.settings.snapshot_interval = Duration::from_secs(3_600);
    let mut hand = world.hire(NAME);
    world.publish();
    world.turns(&mut hand, 20);
    hand.desk.hold_publications(true);
    hand.shared.stop();
    let mut turns = 0;
    while world.turn(&mut hand).unwrap() == Turn::Again {
        turns += 1;
        assert!(turns < 40, "the drain ends at its deadline");
    }
    assert!(turns > 10, "the drain waits for the snapshot until its deadline");
    assert_eq!(world.snapshots(0), []);
    let mut next = world.hire(NAME);
    world.settle(&mut next);
    let start = next.openings()[0].outcome.clone().unwrap();
    assert_eq!((start.at.0, start.replay_until), (0, world.committed(0).offset));
    world.stop(next);
    world.assert_settled("the next owner has replayed");
}

#[test]
fn a_drain_that_cannot_commit_gives_the_partition_up_at_its_deadline() {
    let mut world = World::new(2);
    world.settings.drain = Duration::from_millis(400);
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 20);
    world.publish();
    world.turns(&mut hand, 1);
    (0..60).for_each(|_| {
        world.script.expect("end", Verdict::FailBefore(trouble()));
        world.script.expect("init", Verdict::FailBefore(trouble()));
    });
    hand.shared.stop();
    let mut turns = 0;
    while world.turn(&mut hand).unwrap() == Turn::Again {
        turns += 1;
        assert!(turns < 60, "the drain ends at its deadline");
    }
    world.script.clear();
    let mut next = world.hire(NAME);
    world.settle(&mut next);
    world.stop(next);
    world.assert_settled("the next owner has answered it");
}

#[test]
fn a_stop_while_partitions_are_being_opened_leaves_at_once() {
    let mut world = World::new(2);
    world.publish();
    let mut hand = world.hire(NAME);
    hand.desk.hold_openings(true);
    world.turns(&mut hand, 3);
    hand.shared.stop();
    let mut turns = 0;
    while world.turn(&mut hand).unwrap() == Turn::Again {
        turns += 1;
        assert!(turns < 5, "nothing is owed");
    }
    assert_eq!(world.outputs(0) + world.outputs(1), 0);
}

#[test]
fn a_partition_that_is_read_during_its_drain_is_not_committed_after_it_was_given_up() {
    for drain_ms in (100..300).step_by(STEP as usize) {
        let mut world = World::new(2);
        world.settings.drain = Duration::from_millis(drain_ms);
        world.settings.commit_interval = Duration::from_millis(90);
        let mut first = world.hire(NAME);
        world.publish();
        world.turns(&mut first, 20);
        let mut second = world.hire(OTHER);
        // The log goes on reading, though it was asked to stop, and the snapshot takes its time.
        world.script.expect("stop", Verdict::FailBefore(trouble()));
        first.desk.hold_publications(true);
        for _ in 0..30 {
            world.publish();
            turn_both(&world, &mut first, &mut second, 1);
        }
        first.desk.hold_publications(false);
        turn_both(&world, &mut first, &mut second, 100);
        world.stop(second);
        world.settle(&mut first);
        world.stop(first);
        world.assert_settled(&format!("given up after {drain_ms} ms"));
    }
}

/// Its outputs are still in the transaction when its records are read again.
#[test]
fn a_partition_that_comes_back_into_the_transaction_it_was_given_up_in_settles_once() {
    let mut world = World::new(2);
    world.settings.commit_interval = Duration::from_secs(1);
    world.settings.drain = Duration::ZERO;
    let mut first = world.hire(NAME);
    world.turns(&mut first, 80);
    world.publish();
    world.until_in_transaction(&mut first);
    let mut second = world.hire(OTHER);
    world.turns(&mut second, 2);
    // The commit at the beginning of the drain is aborted, and the drain is out of time at once.
    let turned_down = LogError::Transaction("illegal generation".to_owned());
    world.script.expect("offsets", Verdict::FailBefore(turned_down));
    world.turns(&mut first, 1);
    assert!(world.script.is_over(), "a partition was asked back");
    world.kill(second);
    world.settle(&mut first);
    world.stop(first);
    world.assert_settled("the partition came back");
}

#[test]
fn an_opening_that_ends_after_the_partition_was_given_up_and_taken_again_is_not_used() {
    let mut world = World::new(1);
    let mut first = world.hire(NAME);
    first.desk.tell_at_most(0);
    world.turns(&mut first, 3);
    assert_eq!(first.openings()[0].outcome.as_ref().unwrap().at.0, 0);
    // Another worker has the partition for a while and moves its offsets.
    world.broker.expire_session(first.member);
    let mut second = world.hire(OTHER);
    world.publish();
    world.turns(&mut second, 30);
    world.stop(second);
    world.turns(&mut first, 3);
    assert_eq!(first.openings().len(), 2, "the first answer is still under way");
    first.desk.tell_at_most(1);
    world.publish();
    world.turns(&mut first, 20);
    first.desk.tell_at_most(u64::MAX);
    world.settle(&mut first);
    world.stop(first);
    world.assert_settled("after the late opening");
}

#[test]
fn a_stop_leaves_everything_committed_counted_and_in_a_snapshot() {
    for stopped_at in 0..10 {
        let mut world = World::new(2);
        world.settings.snapshot_interval = Duration::from_secs(3_600);
        let mut hand = world.hire(NAME);
        world.turns(&mut hand, 5);
        (0..=stopped_at).for_each(|_| {
            world.publish();
            world.turns(&mut hand, 1);
        });
        world.turns(&mut hand, 1);
        world.stop(hand);
        world.assert_settled(&format!("stopped at turn {stopped_at}"));
        for partition in 0..2 {
            let newest = world.snapshots(partition).first().copied();
            assert_eq!(newest, world.committed(partition).offset);
        }
        assert_eq!(world.broker.owners(crate::world::GROUP), [None, None]);
    }
}
