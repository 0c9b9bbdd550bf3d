//! Snapshots that are damaged, missing, of elsewhere, or newer than the commit.

use std::time::Duration;

use ledger::units::Offset;
use pipeline::opening::{NotOpened, Refusal};
use pipeline::snapshot;

use crate::world::{Hand, NAME, Start, World};

/// A world whose worker was killed, with two snapshots and a tail of input behind them.
fn killed() -> World {
    killed_after(30)
}

fn killed_after(rounds: u32) -> World {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    for _ in 0..rounds {
        world.publish();
        world.turns(&mut hand, 1);
    }
    // No further snapshot, but a commit.
    hand.desk.hold_publications(true);
    world.publish();
    world.turns(&mut hand, 8);
    world.kill(hand);
    world
}

/// Hires a worker, settles what is left, and gives how partition 0 was opened.
fn reopened(world: &mut World) -> (Hand, Start) {
    let mut hand = world.hire(NAME);
    world.publish();
    world.settle(&mut hand);
    let opening = hand.openings().into_iter().find(|opening| opening.partition == 0).unwrap();
    (hand, opening.outcome.unwrap())
}

/// Damages the newest snapshot of partition 0: the one before it must do.
fn check_damage(what: &str, damage: impl FnOnce(&World, Offset)) {
    let mut world = killed();
    let [newest, older] = world.snapshots(0)[..] else { panic!("two snapshots are kept") };
    damage(&world, newest);
    let committed = world.committed(0).offset;
    let (hand, start) = reopened(&mut world);
    assert_eq!(
        (start.at, start.snapshot, start.replay_until),
        (older, Some(older), committed),
        "{what}"
    );
    assert_eq!(start.skipped.len(), 1, "{what}");
    world.stop(hand);
    world.assert_settled(what);
}

#[test]
fn a_snapshot_with_a_flipped_byte_is_passed_over_wherever_the_byte_is() {
    let world = killed();
    let newest = world.snapshots(0)[0];
    let mut bytes = 0;
    world.store.tamper(&world.place(0), newest, |snapshot| bytes = snapshot.len());
    for at in (0..24).chain((24..bytes).step_by(bytes / 24)).chain(bytes - 20..bytes) {
        check_damage(&format!("byte {at} of {bytes}"), |world, newest| {
            world.store.tamper(&world.place(0), newest, |snapshot| snapshot[at] ^= 0x10);
        });
    }
}

#[test]
fn a_torn_snapshot_is_passed_over() {
    for (part, parts) in [(0, 1), (1, 100), (1, 2), (99, 100)] {
        check_damage(&format!("{part}/{parts} of it"), |world, newest| {
            let place = world.place(0);
            world.store.tamper(&place, newest, |bytes| bytes.truncate(bytes.len() * part / parts));
        });
    }
}

#[test]
fn a_snapshot_of_another_place_or_offset_is_passed_over() {
    check_damage("of another partition", |world, newest| {
        let theirs = world.snapshots(1)[0];
        let bytes = pipeline::store::SnapshotStore::read(&*world.store, &world.place(1), theirs);
        world.store.put(&world.place(0), newest, bytes.unwrap());
    });
    check_damage("of another offset", |world, newest| {
        let older = world.snapshots(0)[1];
        let bytes = pipeline::store::SnapshotStore::read(&*world.store, &world.place(0), older);
        world.store.put(&world.place(0), newest, bytes.unwrap());
    });
}

#[test]
fn a_missing_snapshot_is_made_up_for_by_the_one_before_it() {
    let mut world = killed();
    let [newest, older] = world.snapshots(0)[..] else { panic!("two snapshots are kept") };
    pipeline::store::SnapshotStore::delete(&*world.store, &world.place(0), newest).unwrap();
    let (hand, start) = reopened(&mut world);
    assert_eq!(start.snapshot, Some(older));
    world.stop(hand);
    world.assert_settled("without the newest");
}

#[test]
fn without_any_snapshot_the_input_is_replayed_from_its_beginning() {
    let mut world = killed();
    for offset in world.snapshots(0) {
        pipeline::store::SnapshotStore::delete(&*world.store, &world.place(0), offset).unwrap();
    }
    let (hand, start) = reopened(&mut world);
    assert_eq!((start.at, start.snapshot), (Offset(0), None));
    world.stop(hand);
    world.assert_settled("from the beginning");
}

#[test]
fn a_snapshot_beyond_the_commit_is_not_used() {
    // The same sale, and so the same state, but further on.
    let further = killed_after(60);
    let beyond = further.snapshots(0)[0];
    let place = further.place(0);
    let bytes = pipeline::store::SnapshotStore::read(&*further.store, &place, beyond).unwrap();
    let mut world = killed();
    let [newest, _] = world.snapshots(0)[..] else { panic!("two snapshots are kept") };
    assert!(Some(beyond) > world.committed(0).offset);
    world.store.put(&place, beyond, bytes);
    let (hand, start) = reopened(&mut world);
    assert_eq!(start.snapshot, Some(newest));
    world.stop(hand);
    world.assert_settled("after the snapshot from beyond");
}

#[test]
fn a_snapshot_that_holds_another_state_is_found_out_by_the_digest() {
    let world = killed();
    let [newest, older] = world.snapshots(0)[..] else { panic!("two snapshots are kept") };
    let place = world.place(0);
    let read = |offset| {
        let bytes = pipeline::store::SnapshotStore::read(&*world.store, &place, offset).unwrap();
        snapshot::decode(&place, offset, &bytes).unwrap()
    };
    let (header, _) = read(newest);
    let (_, mut stale) = read(older);
    world.store.put(&place, newest, snapshot::encode(&place, &header, &stale.snapshot()).unwrap());
    let outputs = world.outputs(0);
    let committed = world.committed(0);
    let mut hand = world.hire(NAME);
    world.settle(&mut hand);
    let (phase, reason) = hand.phase(0);
    assert_eq!(phase, "refused", "{reason}");
    assert!(reason.contains("digest"), "{reason}");
    assert_eq!((world.outputs(0), world.committed(0)), (outputs, committed));
    assert_eq!(hand.phase(1).0, "live", "the other partition goes on");
}

#[test]
fn input_that_is_gone_with_the_snapshots_is_refused_by_name_and_the_others_go_on() {
    let mut world = killed();
    for offset in world.snapshots(0) {
        world.store.tamper(&world.place(0), offset, |bytes| bytes.truncate(40));
    }
    world.broker.trim(pipeline::embedded::Topic::Input, 0, Offset(1));
    check_refused(&mut world, |refusal| matches!(refusal, Refusal::NoSnapshot { .. }));
}

#[test]
fn input_that_is_gone_behind_the_newest_snapshot_is_refused_by_name_and_the_others_go_on() {
    let mut world = killed();
    let newest = world.snapshots(0)[0];
    world.broker.trim(pipeline::embedded::Topic::Input, 0, Offset(newest.0 + 1));
    check_refused(&mut world, |refusal| matches!(refusal, Refusal::InputTruncated { .. }));
}

#[test]
fn input_that_was_trimmed_up_to_the_snapshot_is_not_missed() {
    let mut world = killed();
    let newest = world.snapshots(0)[0];
    world.broker.trim(pipeline::embedded::Topic::Input, 0, newest);
    let (hand, start) = reopened(&mut world);
    assert_eq!(start.at, newest);
    assert_eq!(hand.phase(0).0, "live");
    world.stop(hand);
    assert_eq!(world.committed(0).offset, Some(world.end(0)));
}

/// Partition 0 is refused and nothing of it is written, partition 1 is settled to its end.
fn check_refused(world: &mut World, is_it: impl Fn(&Refusal) -> bool) {
    let (outputs, committed) = (world.outputs(0), world.committed(0));
    let mut hand = world.hire(NAME);
    world.publish();
    world.settle(&mut hand);
    let opening = hand.openings().into_iter().find(|opening| opening.partition == 0).unwrap();
    let Err(NotOpened::Refused(refusal)) = opening.outcome else { panic!("{opening:?}") };
    assert!(is_it(&refusal), "{refusal}");
    assert_eq!(hand.phase(0), ("refused", refusal.to_string()));
    assert_eq!((world.outputs(0), world.committed(0)), (outputs, committed));
    assert_eq!(hand.phase(1).0, "live");
    world.stop(hand);
    world.assert_partition_settled(1, "beside the refused one");
}

#[test]
fn a_store_that_fails_in_passing_stops_no_order() {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    world.publish();
    world.turns(&mut hand, 5);
    world.store.set_broken(true);
    for _ in 0..20 {
        world.publish();
        world.turns(&mut hand, 1);
    }
    world.settle(&mut hand);
    world.assert_settled("while the store is broken");
    let trouble = hand.partition(0).snapshot_trouble;
    assert!(trouble.is_some_and(|why| why.contains("the shelf is broken")), "nobody is told");
    world.store.set_broken(false);
    world.publish();
    world.settle(&mut hand);
    assert_eq!(hand.partition(0).snapshot_trouble, None);
    let newest = world.snapshots(0).first().copied();
    assert_eq!(newest, world.committed(0).offset, "snapshots are taken again");
    world.stop(hand);
}

#[test]
fn a_partition_is_not_started_while_its_snapshots_cannot_be_listed() {
    let mut world = killed();
    world.store.set_broken(true);
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 60);
    assert_eq!(hand.phase(0).0, "waiting");
    world.store.set_broken(false);
    world.publish();
    world.settle(&mut hand);
    world.stop(hand);
    world.assert_settled("after the store came back");
}

#[test]
fn snapshots_are_taken_only_of_what_is_committed_and_two_are_kept() {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    for _ in 0..60 {
        world.publish();
        world.turns(&mut hand, 1);
        for partition in 0..2 {
            let snapshots = world.snapshots(partition);
            assert!(snapshots.len() <= 2);
            assert!(snapshots.first().copied() <= world.committed(partition).offset);
        }
    }
    assert_eq!(world.snapshots(0).len(), 2);
    assert_eq!(world.snapshots(1).len(), 2);
    world.stop(hand);
}

/// Whether the snapshot at this offset can be started from.
fn is_usable(world: &World, offset: Offset) -> bool {
    let place = world.place(0);
    let bytes = pipeline::store::SnapshotStore::read(&*world.store, &place, offset).unwrap();
    snapshot::decode(&place, offset, &bytes).is_ok()
}

fn cut_off(world: &World, offset: Offset) {
    world.store.tamper(&world.place(0), offset, |bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn a_damaged_snapshot_is_written_anew_when_its_offset_is_published_again() {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    (0..30).for_each(|_| {
        world.publish();
        world.turns(&mut hand, 1);
    });
    world.stop(hand);
    let [newest, older] = world.snapshots(0)[..] else { panic!("two snapshots are kept") };
    cut_off(&world, newest);
    // Nothing more comes, so that the worker ends where it began.
    let mut hand = world.hire(NAME);
    world.settle(&mut hand);
    let start = hand.openings().into_iter().find(|opening| opening.partition == 0).unwrap();
    assert_eq!(start.outcome.unwrap().snapshot, Some(older));
    world.stop(hand);
    assert_eq!(world.snapshots(0), [newest, older]);
    assert!(is_usable(&world, newest), "the next start would replay again");
    let (hand, start) = reopened(&mut world);
    assert_eq!((start.snapshot, start.replay_until), (Some(newest), None));
    world.stop(hand);
    world.assert_settled("after the damage");
}

#[test]
fn a_whole_snapshot_is_left_alone_when_its_offset_is_published_again() {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    world.publish();
    world.turns(&mut hand, 20);
    world.stop(hand);
    let place = world.place(0);
    let newest = world.snapshots(0)[0];
    let bytes = pipeline::store::SnapshotStore::read(&*world.store, &place, newest).unwrap();
    pipeline::store::SnapshotStore::delete(&*world.store, &place, newest).unwrap();
    let mut hand = world.hire(NAME);
    hand.desk.hold_publications(true);
    world.settle(&mut hand);
    // Whole, but of a program with another state version, so that it can be told apart.
    let (header, mut ledger) = snapshot::decode(&place, newest, &bytes).unwrap();
    let header = snapshot::Header { state_version: header.state_version + 1, ..header };
    let theirs = snapshot::encode(&place, &header, &ledger.snapshot()).unwrap();
    world.store.put(&place, newest, theirs.clone());
    world.stop({
        hand.desk.hold_publications(false);
        hand
    });
    let kept = pipeline::store::SnapshotStore::read(&*world.store, &place, newest).unwrap();
    assert_eq!(kept, theirs);
}

#[test]
fn damaged_snapshots_do_not_count_among_the_two_that_are_kept() {
    let mut world = killed();
    let [newest, older] = world.snapshots(0)[..] else { panic!("two snapshots are kept") };
    cut_off(&world, newest);
    let mut hand = world.hire(NAME);
    // One more snapshot: the damaged one lies between it and the one that was started from.
    world.publish();
    let is_there = |world: &World| world.snapshots(0)[0] > newest;
    world.until(&mut hand, "a newer snapshot", is_there);
    let kept = world.snapshots(0);
    assert_eq!(kept[1..], [older], "{kept:?}");
    assert!(kept.iter().all(|offset| is_usable(&world, *offset)), "{kept:?}");
    world.stop(hand);
    world.assert_settled("with a damaged one among them");
}

#[test]
fn without_a_snapshot_to_start_from_the_whole_one_below_is_still_found_and_kept() {
    // The worker starts from nothing, while somebody restores what was lost.
    let mut world = killed();
    let place = world.place(0);
    let [newest, older] = world.snapshots(0)[..] else { panic!("two snapshots are kept") };
    let read = |offset| pipeline::store::SnapshotStore::read(&*world.store, &place, offset);
    let restored = [newest, older].map(|offset| (offset, read(offset).unwrap()));
    for (offset, _) in &restored {
        pipeline::store::SnapshotStore::delete(&*world.store, &place, *offset).unwrap();
    }
    let mut hand = world.hire(NAME);
    hand.desk.hold_publications(true);
    world.settle(&mut hand);
    for (offset, bytes) in restored {
        world.store.put(&place, offset, bytes);
    }
    cut_off(&world, newest);
    hand.desk.hold_publications(false);
    world.publish();
    let is_there = |world: &World| world.snapshots(0)[0] > newest;
    world.until(&mut hand, "a newer snapshot", is_there);
    assert_eq!(world.snapshots(0)[1..], [older]);
    world.stop(hand);
    world.assert_settled("after the restoration");
}

#[test]
fn a_snapshot_is_taken_early_when_its_replay_would_take_long() {
    let mut world = World::new(1);
    world.settings.snapshot_interval = Duration::from_secs(3_600);
    world.settings.snapshot_replay = Duration::ZERO;
    world.settings.snapshot_pause = Duration::from_millis(200);
    let mut hand = world.hire(NAME);
    world.publish();
    world.turns(&mut hand, 20);
    assert_ne!(world.snapshots(0), []);
    world.stop(hand);
}
