//! When commits, counters, ticks come, and that they come at all.

use std::time::Duration;

use pipeline::embedded::Timestamps;
use pipeline::embedded::faults::Verdict;

use crate::sides;
use crate::world::{NAME, STEP, World, trouble};

const NEVER: Duration = Duration::from_secs(3_600);

// Health.

/// A quiet input has no commit that would tell that the log can be read again.
#[test]
fn a_worker_without_work_is_well_again_as_soon_as_the_log_answers() {
    let mut world = World::new(1);
    let mut hand = world.hire(NAME);
    world.publish();
    world.settle(&mut hand);
    for call in ["poll", "start"] {
        if call == "start" {
            // What was lost and comes back has to be started anew.
            world.broker.expire_session(hand.member);
        }
        assert!(hand.shared.status().is_ready() || call == "start");
        world.script.expect(call, Verdict::FailBefore(trouble()));
        let mut was_told = false;
        for _ in 0..200 {
            world.turns(&mut hand, 1);
            was_told |= hand.shared.status().trouble.is_some();
        }
        assert!(was_told && world.script.is_over(), "{call}");
        assert!(hand.shared.status().is_ready(), "{call}: {:?}", hand.shared.status().trouble);
    }
}

// Commits.

#[test]
fn a_transaction_is_committed_when_its_interval_is_over_and_not_before() {
    let mut world = World::new(1);
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 20);
    let before = world.committed(0);
    world.publish();
    world.turns(&mut hand, 1);
    assert_eq!(world.broker.open_transactions().len(), 1);
    world.turns(&mut hand, 3);
    assert!(world.broker.open_transactions().is_empty());
    assert!(world.committed(0).offset > before.offset);
}

#[test]
fn a_transaction_is_committed_early_when_it_has_many_outputs() {
    let mut world = World::new(1);
    world.settings.commit_interval = NEVER;
    world.settings.commit_outputs_max = 20;
    check_committed_early(&mut world);
}

#[test]
fn a_transaction_is_committed_early_when_its_outputs_have_many_bytes() {
    let mut world = World::new(1);
    world.settings.commit_interval = NEVER;
    world.settings.commit_bytes_max = 4_000;
    check_committed_early(&mut world);
}

/// With an interval that never ends, and counters that are never written.
fn check_committed_early(world: &mut World) {
    world.settings.counters_fast = NEVER;
    world.settings.counters_slow = NEVER;
    world.settings.counters_quiet = NEVER;
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 10);
    assert_eq!(world.committed(0).offset, None, "five answerless records are no reason");
    world.publish();
    world.turns(&mut hand, 10);
    assert_eq!(world.committed(0).offset, None, "nor are a few outputs");
    (0..8).for_each(|_| world.publish());
    world.turns(&mut hand, 1);
    assert_eq!(world.committed(0).offset, Some(world.end(0)));
    world.stop(hand);
    world.assert_settled("after the early commit");
}

#[test]
fn records_without_outputs_are_committed_too() {
    let world = World::new(2);
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 20);
    for partition in 0..2 {
        assert_eq!(world.committed(partition).offset, Some(world.end(partition)));
        assert_eq!(world.outputs(partition), 0);
    }
}

// Counters.

#[test]
fn every_counter_is_written_after_a_quiet_second() {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    for _ in 0..10 {
        world.publish();
        world.turns(&mut hand, 1);
    }
    world.settle(&mut hand);
    world.assert_settled("without a stop");
}

#[test]
fn quiet_partitions_are_not_written_over_and_over() {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    world.publish();
    world.settle(&mut hand);
    let commits = world.script.calls("end");
    let outputs = world.outputs(0);
    world.turns(&mut hand, 500);
    assert_eq!((world.script.calls("end"), world.outputs(0)), (commits, outputs));
}

#[test]
fn a_commit_of_counters_alone_moves_no_offset_and_survives_an_unknown_outcome() {
    for verdict in [
        Verdict::Pass,
        Verdict::FailBefore(trouble()),
        Verdict::ApplyThenFail(trouble()),
        Verdict::ApplyLate(trouble()),
    ] {
        let mut world = World::new(1);
        world.settings.counters_fast = NEVER;
        world.settings.counters_slow = NEVER;
        let mut hand = world.hire(NAME);
        world.publish();
        world.turns(&mut hand, 30);
        let committed = world.committed(0);
        let before = world.outputs(0);
        assert_eq!(committed.offset, Some(world.end(0)));
        world.script.expect("end", verdict.clone());
        world.settle(&mut hand);
        assert!(world.script.is_over(), "the counters were committed");
        assert!(world.outputs(0) > before);
        assert_eq!(world.committed(0).offset, committed.offset);
        world.assert_settled(&format!("{verdict:?}"));
        world.publish();
        world.stop(hand);
        world.assert_settled(&format!("{verdict:?}, and more records"));
    }
}

#[test]
fn counters_are_written_within_their_interval_though_records_never_cease() {
    let mut world = World::new(1);
    world.settings.counters_slow = Duration::from_secs(3);
    let mut hand = world.hire(NAME);
    let mut ends = Vec::new();
    for _ in 0..250 {
        world.publish();
        world.turns(&mut hand, 1);
        ends.push(world.end(0).0);
    }
    // A commit's interval and a turn come on top.
    let ago = |ms: u64| ends[ends.len() - usize::try_from((ms + 100) / STEP).unwrap()];
    let merchant = format!("0/2025-11-11/merchant/{}", world.sales[0].merchant());
    for (key, ms) in [
        ("0/2025-11-11/all/all", 1_000),
        ("0/2025-11-11/channel/store", 1_000),
        ("0/2025-11-11/province/33", 1_000),
        (&merchant, 3_000),
    ] {
        let records = sides::committed_outputs(&world.broker, wire::Topic::Gmv, 0);
        let mut of_key =
            records.iter().rev().filter(|it| it.key.as_deref() == Some(key.as_bytes()));
        let last = of_key.next().unwrap();
        let value: serde_json::Value =
            serde_json::from_slice(last.value.as_ref().unwrap()).unwrap();
        let offset = value["offset"].as_u64().unwrap();
        assert!(offset >= ago(ms), "{key} is of offset {offset}, {ms} ms ago it was {}", ago(ms));
        let written = 1 + of_key.count() as u64;
        assert!(written <= 250 * STEP / ms + 2, "{key} was written {written} times");
    }
    world.stop(hand);
    world.assert_settled("after the steady load");
}

// Ticks.

/// Holds that expire together, in a partition that gets no further records.
fn with_holds(world: &mut World, holds: u64) {
    let at = world.now();
    let sale = &world.sales[0];
    let orders: Vec<_> =
        (0..holds).map(|number| sale.unpaid(at, &format!("u{number}"), at + 300)).collect();
    sides::append(&world.broker, 0, &orders);
}

#[test]
fn holds_expire_though_no_record_comes() {
    let mut world = World::with_timestamps(1, Timestamps::LogAppendTime);
    let mut hand = world.hire(NAME);
    with_holds(&mut world, 3);
    world.turns(&mut hand, 15);
    assert_eq!(hand.partition(0).holds_open, Some(3));
    assert_eq!(world.script.calls("tick"), 0, "a second of quiet comes first");
    world.turns(&mut hand, 70);
    assert_eq!(hand.partition(0).holds_open, Some(0));
    assert_eq!(world.script.calls("tick"), 1);
    world.turns(&mut hand, 300);
    assert_eq!(world.script.calls("tick"), 1, "without holds nothing is waited for");
    world.stop(hand);
    world.assert_settled("after the tick");
}

#[test]
fn a_burst_of_expired_holds_does_not_wait_a_second_for_every_1024_of_them() {
    let mut world = World::with_timestamps(1, Timestamps::LogAppendTime);
    let mut hand = world.hire(NAME);
    with_holds(&mut world, 3_000);
    world.until(&mut hand, "a tick", |world| world.script.calls("tick") > 0);
    world.turns(&mut hand, 6);
    assert_eq!(world.script.calls("tick"), 3, "1,024 for each");
    world.turns(&mut hand, 15);
    assert_eq!(hand.partition(0).holds_open, Some(0));
    world.stop(hand);
    world.assert_settled("after the burst");
}

#[test]
fn a_tick_that_was_lost_is_appended_again() {
    let mut world = World::with_timestamps(1, Timestamps::LogAppendTime);
    let mut hand = world.hire(NAME);
    with_holds(&mut world, 3);
    world.script.expect("tick", Verdict::FailBefore(trouble()));
    world.until(&mut hand, "a tick", |world| world.script.calls("tick") > 0);
    world.turns(&mut hand, 40);
    assert_eq!(world.script.calls("tick"), 1, "but not at every turn");
    world.turns(&mut hand, 40);
    assert_eq!(hand.partition(0).holds_open, Some(0));
    world.stop(hand);
    world.assert_settled("after the second tick");
}

#[test]
fn no_tick_disturbs_a_topic_whose_records_bring_their_own_time() {
    let mut world = World::new(1);
    let mut hand = world.hire(NAME);
    with_holds(&mut world, 3);
    world.turns(&mut hand, 500);
    assert_eq!(world.script.calls("tick"), 0);
    assert_eq!(hand.partition(0).holds_open, Some(3));
}

#[test]
fn no_tick_is_appended_while_a_partition_is_given_up_or_opened() {
    let mut world = World::with_timestamps(1, Timestamps::LogAppendTime);
    let mut hand = world.hire(NAME);
    with_holds(&mut world, 3);
    world.turns(&mut hand, 20);
    world.stop(hand);
    let ticks = world.script.calls("tick");
    let mut hand = world.hire(NAME);
    hand.desk.hold_openings(true);
    world.turns(&mut hand, 200);
    assert_eq!(world.script.calls("tick"), ticks);
    hand.desk.hold_openings(false);
    world.turns(&mut hand, 100);
    assert_eq!(hand.partition(0).holds_open, Some(0));
    world.stop(hand);
    world.assert_settled("after the restart");
}
