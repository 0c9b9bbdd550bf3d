//! Histories that do not fit: lost offsets, other rules, other partition counts, wrong digests.

use std::time::Duration;

use ledger::effect::DeadLetter;
use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::adoption::{Adoption, Written};
use pipeline::digest::Digest;
use pipeline::engine::Engine;
use pipeline::log::{Log as _, PartitionCommit};
use pipeline::metadata::{CommitMetadata, RulesHash, rules_text};
use pipeline::opening::{NotOpened, Refusal};
use pipeline::snapshot;
use pipeline::store::SnapshotStore as _;
use pipeline::worker::WorkerError;
use wire::Outputs;

use crate::sides;
use crate::world::{GROUP, Hand, NAME, World};

/// A world whose worker was killed with a tail of records behind its last snapshot.
fn killed() -> World {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    for _ in 0..30 {
        world.publish();
        world.turns(&mut hand, 1);
    }
    hand.desk.hold_publications(true);
    world.publish();
    world.turns(&mut hand, 8);
    world.kill(hand);
    world
}

/// A world whose worker was stopped cleanly.
fn stopped() -> World {
    let mut world = World::new(2);
    let mut hand = world.hire(NAME);
    for _ in 0..30 {
        world.publish();
        world.turns(&mut hand, 1);
    }
    world.stop(hand);
    world
}

/// Turns until the worker fails.
fn failure(world: &World) -> WorkerError {
    let mut hand = world.hire(NAME);
    for _ in 0..50 {
        if let Err(error) = world.turn(&mut hand) {
            return error;
        }
    }
    panic!("the worker goes on");
}

fn refusal_of(hand: &Hand, partition: u32) -> Refusal {
    let found = hand.openings().into_iter().find(|opening| opening.partition == partition);
    match found.unwrap().outcome {
        Err(NotOpened::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

// Offsets that were lost.

#[test]
fn lost_offsets_do_not_settle_a_sale_twice() {
    for what in ["a snapshot", "outputs alone"] {
        let mut world = killed();
        if what == "outputs alone" {
            for offset in world.snapshots(0) {
                world.store.delete(&world.place(0), offset).unwrap();
            }
        }
        world.broker.forget_offsets(GROUP, 0);
        let outputs = world.outputs(0);
        let mut hand = world.hire(NAME);
        world.publish();
        world.settle(&mut hand);
        let refusal = refusal_of(&hand, 0);
        assert!(matches!(refusal, Refusal::HistoryWithoutCommit { .. }), "{what}: {refusal}");
        assert_eq!(hand.phase(0), ("refused", refusal.to_string()));
        assert_eq!(world.outputs(0), outputs, "{what}");
        assert_eq!(hand.phase(1).0, "live");
        world.stop(hand);
        world.assert_partition_settled(1, what);
    }
}

#[test]
fn a_history_without_a_single_output_is_a_history_all_the_same() {
    let world = World::new(1);
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 20);
    world.stop(hand);
    assert_eq!(world.outputs(0), 0, "stock and listings are answered by nothing");
    world.broker.forget_offsets(GROUP, 0);
    let mut hand = world.hire(NAME);
    world.settle(&mut hand);
    let refusal = refusal_of(&hand, 0);
    assert!(matches!(refusal, Refusal::HistoryWithoutCommit { .. }), "{refusal}");
}

#[test]
fn offsets_that_were_reset_by_hand_do_not_settle_a_sale_twice() {
    let world = killed();
    for metadata in ["", "reset by an operator"] {
        let commit = PartitionCommit { partition: 0, offset: Offset(0), metadata: metadata.into() };
        world.commit_by_hand(&[commit]);
        let outputs = world.outputs(0);
        let mut hand = world.hire(NAME);
        world.settle(&mut hand);
        let refusal = refusal_of(&hand, 0);
        assert!(matches!(refusal, Refusal::HistoryWithoutCommit { .. }), "{refusal}");
        assert_eq!(world.outputs(0), outputs);
        world.kill(hand);
    }
}

#[test]
fn a_first_start_over_outputs_of_somebody_else_is_refused() {
    let world = World::new(1);
    let mut log = world.broker.member(GROUP, "stranger");
    let mut outputs = Outputs::new();
    let topic = wire::Topic::Settled;
    outputs.push(topic, 0, ledger::units::Millis(1), Some(b"1"), Some(b"{}"));
    log.replace_producer(Duration::ZERO).unwrap();
    log.begin().unwrap();
    log.produce(&outputs, 0).unwrap();
    assert_eq!(log.commit(&[]), pipeline::log::CommitOutcome::Committed);

    let mut hand = world.hire(NAME);
    world.settle(&mut hand);
    let refusal = refusal_of(&hand, 0);
    assert!(matches!(refusal, Refusal::HistoryWithoutCommit { .. }), "{refusal}");
    assert_eq!(world.outputs(0), 1);
}

#[test]
fn an_adopted_partition_goes_on_exactly_where_readers_saw_it_end() {
    // From the newest snapshot, and from the one before it.
    for number in [0, 1] {
        let mut world = killed();
        let at = world.snapshots(0)[number];
        let lost = world.committed(0);
        world.broker.forget_offsets(GROUP, 0);
        let commit = adopt(&world, at).unwrap();
        assert!(Some(commit.offset) <= lost.offset, "nothing is skipped");
        world.commit_by_hand(&[commit]);
        let mut hand = world.hire(NAME);
        world.publish();
        world.settle(&mut hand);
        assert_eq!(hand.phase(0).0, "live");
        world.stop(hand);
        world.assert_settled("after the adoption");
    }
}

#[test]
fn a_snapshot_of_another_history_is_not_adopted() {
    let world = killed();
    let other = {
        let mut world = World::new(2);
        world.sales.swap(0, 1);
        let mut hand = world.hire(NAME);
        world.publish();
        world.turns(&mut hand, 30);
        world.stop(hand);
        world
    };
    let at = other.snapshots(0)[0];
    let bytes = other.store.read(&other.place(0), at).unwrap();
    world.store.put(&world.place(0), at, bytes);
    assert!(adopt(&world, at).is_err());
}

/// What `snapshot adopt` does: derives the outputs behind the snapshot again and compares.
fn adopt(world: &World, at: Offset) -> Result<PartitionCommit, pipeline::adoption::NotAdopted> {
    let place = world.place(0);
    let bytes = world.store.read(&place, at).unwrap();
    let (header, ledger) = snapshot::decode(&place, at, &bytes).unwrap();
    let digest = Digest::from_bits(header.digest);
    let engine = Engine::resume(0, sides::INPUT, header.rules, ledger, digest, at);
    let mut adoption = Adoption::new(0, engine, written_behind(world, at));
    let until = adoption.until();
    let mut inputs = sides::committed_inputs(&world.broker, 0);
    inputs.retain(|input| input.offset >= at.0 && input.offset < until.0);
    sides::with_records(0, &inputs, |records| adoption.replay(records));
    adoption.finish(RulesHash::of(&header.rules), at)
}

fn written_behind(world: &World, at: Offset) -> Written {
    let mut written = Written::default();
    for topic in wire::Topic::ALL {
        for output in sides::committed_outputs(&world.broker, topic, 0) {
            let (cause, code) = cause_and_code(&output);
            if cause >= at.0 {
                let (key, value) = (output.key.as_deref(), output.value.as_deref());
                written.note(topic, code, key, value, Offset(cause));
            }
        }
    }
    written
}

fn cause_and_code(output: &model::OutputRecord) -> (u64, Option<DeadLetter>) {
    if output.topic == model::Topic::DeadLetters {
        let cause = sides::error_header(&output.headers, "offset").parse().unwrap();
        return (cause, Some(sides::dead_letter_of(&output.headers)));
    }
    let value: serde_json::Value = serde_json::from_slice(output.value.as_ref().unwrap()).unwrap();
    (value["offset"].as_u64().unwrap(), None)
}

// Rules and partitions.

#[test]
fn records_decided_under_other_rules_are_not_replayed_under_these() {
    let mut world = killed();
    let (outputs, committed) = (world.outputs(0), world.committed(0));
    world.rules = Rules { hold_ttl_ms: 1_234, ..world.rules };
    let error = failure(&world);
    let WorkerError::Configuration(Refusal::RulesDiffer { recorded, configured, .. }) = &error
    else {
        panic!("{error}");
    };
    assert!(recorded.contains("hold_ttl_ms=2000"), "{recorded}");
    assert!(configured.contains("hold_ttl_ms=1234"), "{configured}");
    assert_eq!((world.outputs(0), world.committed(0)), (outputs, committed));
}

/// How a worker fails under these rules, after one of the world's own, whose snapshots are gone.
fn failure_without_snapshots(rules: impl FnOnce(Rules) -> Rules) -> WorkerError {
    let mut world = killed();
    for partition in 0..2 {
        for offset in world.snapshots(partition) {
            world.store.delete(&world.place(partition), offset).unwrap();
        }
    }
    world.rules = rules(world.rules);
    failure(&world)
}

#[test]
fn a_refusal_of_other_rules_says_without_a_snapshot_what_can_be_known_of_them() {
    // One setting was changed from its default: that can be found out.
    let error = failure_without_snapshots(|rules| Rules { skew_ms: 1, ..rules });
    let WorkerError::Configuration(Refusal::RulesDiffer { recorded, .. }) = &error else {
        panic!("{error}");
    };
    let recorded_rules = World::new(2).rules;
    assert_eq!(*recorded, rules_text(&recorded_rules));
    // Nobody knows what this one was before.
    let changed = Rules { hold_ttl_ms: 1_234, ..recorded_rules };
    let text = failure_without_snapshots(|_| changed).to_string();
    let hashes = [&recorded_rules, &changed].map(|rules| RulesHash::of(rules).to_string());
    assert!(hashes.iter().all(|hash| text.contains(hash)), "{text}");
    assert!(text.contains("joining the group"), "it says where to look: {text}");
    assert!(text.contains("hold_ttl_ms=1234"), "{text}");
    // Another partition count is called by its name.
    let error = failure_without_snapshots(|rules| Rules { partitions: 4, ..rules });
    let is_it = matches!(
        error,
        WorkerError::Configuration(Refusal::PartitionCount { recorded: 2, actual: 4, .. })
    );
    assert!(is_it, "{error}");
}

#[test]
fn other_rules_are_adopted_after_a_clean_stop_and_recorded_from_then_on() {
    let mut world = stopped();
    world.rules = Rules { hold_ttl_ms: 1_234, ..world.rules };
    let mut hand = world.hire(NAME);
    world.publish();
    world.settle(&mut hand);
    assert_eq!(hand.phase(0).0, "live");
    let metadata: CommitMetadata = world.committed(0).metadata.parse().unwrap();
    assert_eq!(metadata.rules, RulesHash::of(&world.rules));
    let placed = last_hold_without_deadline(&world);
    assert_eq!(placed["expires_at"].as_u64(), placed["at"].as_u64().map(|at| at + 1_234));
    world.kill(hand);
    // The new rules' tail is replayed under the new rules.
    let mut hand = world.hire(NAME);
    world.publish();
    world.settle(&mut hand);
    assert_eq!(hand.phase(0).0, "live");
    world.stop(hand);
    assert_eq!(world.committed(0).offset, Some(world.end(0)));
}

/// The last `hold.placed` of partition 0 whose order names no time to pay by.
fn last_hold_without_deadline(world: &World) -> serde_json::Value {
    let outputs = sides::committed_outputs(&world.broker, wire::Topic::Status, 0);
    let values = outputs.iter().rev().map(|output| {
        serde_json::from_slice::<serde_json::Value>(output.value.as_ref().unwrap()).unwrap()
    });
    let is_it = |value: &serde_json::Value| {
        value["type"] == "hold.placed" && value["order_id"].as_str().unwrap().starts_with('o')
    };
    values.into_iter().find(is_it).unwrap()
}

#[test]
fn another_number_of_partitions_is_refused() {
    for mut world in [killed(), stopped()] {
        world.rules = Rules { partitions: 4, ..world.rules };
        let error = failure(&world);
        let is_it = matches!(error, WorkerError::Configuration(Refusal::PartitionCount { .. }));
        assert!(is_it, "{error}");
    }
}

#[test]
fn a_tail_of_another_state_version_is_refused() {
    let world = killed();
    tamper_with_commit(&world, |metadata| metadata.state_version += 1);
    let error = failure(&world);
    let is_it = matches!(error, WorkerError::Configuration(Refusal::StateVersion { .. }));
    assert!(is_it, "{error}");
}

// Digests.

fn tamper_with_commit(world: &World, tamper: impl FnOnce(&mut CommitMetadata)) {
    let committed = world.committed(0);
    let mut metadata: CommitMetadata = committed.metadata.parse().unwrap();
    tamper(&mut metadata);
    let (offset, metadata) = (committed.offset.unwrap(), metadata.to_string());
    world.commit_by_hand(&[PartitionCommit { partition: 0, offset, metadata }]);
}

#[test]
fn a_history_with_another_digest_is_not_continued() {
    // With a tail to be replayed, and without.
    for mut world in [killed(), stopped()] {
        tamper_with_commit(&world, |metadata| {
            metadata.digest = Digest::from_bits(metadata.digest.to_bits() ^ 1);
        });
        let (outputs, committed) = (world.outputs(0), world.committed(0));
        let mut hand = world.hire(NAME);
        world.publish();
        world.settle(&mut hand);
        let (phase, reason) = hand.phase(0);
        assert_eq!(phase, "refused");
        assert!(reason.contains("digest"), "{reason}");
        assert_eq!((world.outputs(0), world.committed(0)), (outputs, committed));
        assert_eq!(hand.phase(1).0, "live");
        world.stop(hand);
        world.assert_partition_settled(1, "beside the refused one");
    }
}

/// A broker that has just started may not know yet that the others have the end of the input too, and
/// shows less of it until it does.
#[test]
fn an_input_that_seems_to_end_in_a_replay_is_looked_at_again() {
    let mut world = killed();
    let committed = world.committed(0).offset.unwrap();
    assert!(world.snapshots(0)[0].0 + 2 < committed.0, "there is a replay to be cut short");
    world.ebb.set(Some(Offset(committed.0 - 2)));
    let mut hand = world.hire(NAME);
    world.turns(&mut hand, 100);
    let (phase, reason) = hand.phase(0);
    assert_eq!(phase, "waiting", "{reason}");
    assert!(reason.contains("ended at") && !hand.shared.status().is_ready(), "{reason}");
    let openings = |hand: &Hand| hand.openings().iter().filter(|it| it.partition == 0).count();
    assert!((2..=3).contains(&openings(&hand)), "in 2 s, with a pause of 1 s in between");

    world.ebb.set(None);
    world.publish();
    world.settle(&mut hand);
    assert_eq!(hand.phase(0), ("live", String::new()));
    world.stop(hand);
    world.assert_settled("after the ebb");
}

#[test]
fn an_input_that_ends_in_every_replay_is_refused_in_the_end() {
    let world = killed();
    let committed = world.committed(0).offset.unwrap();
    let outputs = world.outputs(0);
    let position = committed.0 - 2;
    world.ebb.set(Some(Offset(position)));
    let mut hand = world.hire(NAME);
    // Its pauses are a second long.
    world.turns(&mut hand, 3_000);
    let until = committed.0;
    let refusal = Refusal::ReplayCutShort { partition: 0, position, until };
    assert_eq!(hand.phase(0), ("refused", refusal.to_string()));
    assert_eq!(world.outputs(0), outputs);
    let openings = hand.openings().len();
    world.turns(&mut hand, 200);
    assert_eq!(hand.openings().len(), openings, "it is not tried any more");
}

#[test]
fn an_input_that_ends_before_the_commit_is_refused() {
    let world = killed();
    let end = world.end(0);
    let committed = world.committed(0);
    let beyond = Offset(end.0 + 10);
    let metadata = committed.metadata;
    world.commit_by_hand(&[PartitionCommit { partition: 0, offset: beyond, metadata }]);
    let mut hand = world.hire(NAME);
    world.settle(&mut hand);
    let refusal = refusal_of(&hand, 0);
    assert!(matches!(refusal, Refusal::InputBehindCommit { .. }), "{refusal}");
}

#[test]
fn a_refused_partition_goes_to_no_other_worker() {
    let mut world = killed();
    world.broker.forget_offsets(GROUP, 0);
    let mut hand = world.hire(NAME);
    world.publish();
    world.turns(&mut hand, 20);
    assert_eq!(hand.phase(0).0, "refused");
    assert_eq!(world.broker.owners(GROUP)[0], Some(hand.member));
    world.stop(hand);
    assert_eq!(world.broker.owners(GROUP), [None, None], "a stop gives it back");
}

#[test]
fn a_refused_partition_that_is_taken_away_vanishes_from_status_and_readiness() {
    for expelled in [false, true] {
        let mut world = killed();
        // The one that moves when another worker comes.
        world.broker.forget_offsets(GROUP, 1);
        let mut first = world.hire(NAME);
        world.publish();
        world.settle(&mut first);
        assert_eq!(first.phase(1).0, "refused");
        assert!(!first.shared.status().is_ready());
        let mut second = world.hire("settle-1");
        for turn in 0..100 {
            world.turns(&mut first, 1);
            world.turns(&mut second, 1);
            if expelled && turn == 0 {
                world.broker.expire_session(first.member);
            }
        }
        let shown = |hand: &Hand| -> Vec<(u32, &str)> {
            let partitions = hand.shared.status().partitions;
            partitions.iter().map(|shown| (shown.partition, shown.phase)).collect()
        };
        let mut both = [shown(&first), shown(&second)].concat();
        both.sort_unstable();
        assert_eq!(both, [(0, "live"), (1, "refused")], "one of them has each");
        let ready = [&first, &second].map(|hand| hand.shared.status().is_ready());
        assert_eq!(ready.iter().filter(|ready| **ready).count(), 1, "expelled: {expelled}");
        // Who gets it back refuses it again.
        world.stop(second);
        world.settle(&mut first);
        assert_eq!(shown(&first), [(0, "live"), (1, "refused")]);
        world.stop(first);
        world.assert_partition_settled(0, "beside the refused one");
    }
}

// Input that goes while it is being worked on.

/// A worker with both partitions in an open transaction; then the input of partition 0 is deleted
/// beyond what was read.
fn cut_off_in_a_transaction(world: &mut World, hand: &mut Hand) {
    world.publish();
    world.turns(hand, 20);
    world.publish();
    let (next, outputs) = (world.end(0), world.outputs(0));
    world.until_in_transaction(hand);
    assert_eq!(world.outputs(0), outputs, "it is not committed yet");
    world.publish();
    assert!(world.end(0) > next);
    world.broker.trim(pipeline::embedded::Topic::Input, 0, world.end(0));
}

#[test]
fn a_partition_refused_in_the_middle_of_a_transaction_writes_nothing_without_its_offset() {
    let mut world = World::new(2);
    world.settings.commit_interval = Duration::from_millis(200);
    let mut hand = world.hire(NAME);
    cut_off_in_a_transaction(&mut world, &mut hand);
    let (outputs, committed) = (world.outputs(0), world.committed(0));
    world.settle(&mut hand);
    let (phase, reason) = hand.phase(0);
    assert_eq!(phase, "refused");
    assert!(reason.contains("the input begins at"), "{reason}");
    assert_eq!((world.outputs(0), world.committed(0)), (outputs, committed));
    // The other partition of the transaction goes on.
    world.publish_in(1);
    world.settle(&mut hand);
    assert_eq!((hand.phase(0).0, hand.phase(1).0), ("refused", "live"));
    let openings = hand.openings();
    let of = |partition| openings.iter().filter(|it| it.partition == partition).count();
    assert_eq!((of(0), of(1)), (1, 2), "what is refused is not opened again: {openings:?}");
    world.stop(hand);
    world.assert_partition_settled(1, "beside the refused one");
}

#[test]
fn a_partition_that_is_opened_again_while_it_drains_publishes_no_state_of_a_replay() {
    let mut world = World::new(2);
    world.settings.commit_interval = Duration::from_millis(200);
    world.settings.snapshot_interval = Duration::from_secs(3_600);
    let mut first = world.hire(NAME);
    cut_off_in_a_transaction(&mut world, &mut first);
    let mut second = world.hire("settle-1");
    world.turns(&mut second, 1);
    // In one poll partition 1 is asked back and partition 0 is found cut off, so that the
    // transaction is given up in the middle of the drain.
    for _ in 0..100 {
        world.turns(&mut first, 1);
        world.turns(&mut second, 1);
        assert_eq!(world.snapshots(1), [], "a state from before the replay");
    }
    assert_eq!(world.broker.owners(GROUP)[1], Some(second.member));
    world.stop(second);
    world.stop(first);
    world.assert_partition_settled(1, "beside the refused one");
}
