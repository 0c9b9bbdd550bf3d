//! Audits of a partition whose input no longer reaches back to its beginning.

use rdkafka::producer::Producer as _;
use serde_json::Value;

use crate::orders::sale;
use crate::process::{Ended, Process, floodgate, message, run};
use crate::stage::{Publisher, Record, Seen, Stage, Stamps, WAIT};

/// Two partitions, settled up to a snapshot in the middle of a sale and on to its end; the offsets of
/// that snapshot.
fn settled_in_two_parts(stage: &Stage, publisher: &mut Publisher) -> [u64; 2] {
    let traffic = sale(600, 11, 2);
    let (first, second) = traffic.split_at(traffic.len() / 2);
    publisher.publish(first);
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);
    let middle = [publisher.ends()[0], publisher.ends()[1]];
    publisher.publish(second);
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);
    assert_eq!([0, 1].map(|partition| snapshots_of(stage, partition)[0]), middle);
    middle
}

/// The offsets of a partition's snapshots, oldest first.
fn snapshots_of(stage: &Stage, partition: u32) -> Vec<u64> {
    let files = stage.snapshot_files(partition);
    let name = |file: &std::path::PathBuf| file.file_name()?.to_str()?.parse().ok();
    files.iter().filter_map(name).collect()
}

fn audit(stage: &Stage, more: &[&str]) -> Ended {
    run(&stage.arguments_with_snapshots(&["audit"], &[&["--format", "json"], more].concat()))
}

/// The verdict if it is clean.
#[track_caller]
fn clean(ended: Ended) -> Value {
    let verdict = ended.json();
    for figure in ["oversold", "lost", "duplicated", "miscounted", "different"] {
        assert_eq!(verdict[figure], 0, "{figure}: {ended:#?}");
    }
    ended.expect_code(0);
    verdict
}

/// Puts other records in the place of a partition's outputs.
fn replace_outputs(stage: &Stage, topic: &str, partition: u32, outputs: &[Seen]) {
    let end = stage.read(topic, partition).last().map_or(0, |last| last.offset + 1);
    stage.delete_before(topic, partition, end);
    let record = |seen: &Seen| Record {
        partition,
        timestamp: seen.timestamp,
        key: seen.key.clone(),
        value: seen.value.clone(),
        headers: Vec::new(),
    };
    let records: Vec<Record> = outputs.iter().map(record).collect();
    stage.publisher_to(topic).publish(&records);
}

#[test]
fn an_audit_of_truncated_input_begins_at_the_oldest_snapshot_that_can_be_used() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let [middle, _] = settled_in_two_parts(&stage, &mut publisher);
    let ends = publisher.ends();
    stage.audit(ends);

    // Retention takes what lies before the first snapshot, and the oldest answers.
    stage.delete_before("orders", 0, middle.cast_signed() - 3);
    stage.delete_before("orders.status", 0, 5);
    let verdict = clean(audit(&stage, &[]));
    let (first, second) = (&verdict["beginnings"][0], &verdict["beginnings"][1]);
    assert_eq!(
        (&first["from_snapshot"], &first["why"]),
        (&middle.into(), &"input_is_truncated".into())
    );
    assert_eq!(
        (&first["starts_at"], &first["input_begins_at"]),
        (&middle.into(), &(middle - 3).into())
    );
    assert_eq!((&second["from_snapshot"], &second["starts_at"]), (&Value::Null, &0.into()));
    assert_eq!(verdict["inputs"], ends[0] - middle + ends[1]);
    assert!(verdict["outputs_not_checked"].as_u64() > Some(0), "{verdict}");
    let said = run(&stage.arguments_with_snapshots(&["audit"], &[])).expect_code(0).stdout;
    let sentence =
        format!("audited from the snapshot at offset {middle} on, since the input reaches back");
    assert!(said.contains(&sentence) && said.contains("audited from the beginning"), "{said}");

    // One record more, and only the newer snapshot is left.
    stage.delete_before("orders", 0, middle.cast_signed() + 1);
    let verdict = clean(audit(&stage, &[]));
    assert_eq!(verdict["beginnings"][0]["from_snapshot"], ends[0]);
    assert_eq!(verdict["inputs"], ends[1]);

    let elsewhere = stage.snapshots().join("elsewhere").display().to_string();
    let audit = || run(&stage.arguments(&["audit"], &["--snapshots", &elsewhere])).expect_code(1);
    let missing = audit();
    assert!(missing.stderr.contains("there is no directory"), "{missing:#?}");
    std::fs::create_dir(&elsewhere).expect("an audit creates nothing");
    let refused = audit();
    for word in ["partition 0 begins at offset", "no usable snapshot", "--snapshots"] {
        assert!(refused.stderr.contains(word), "{word}: {refused:#?}");
    }
}

#[test]
fn an_audit_can_be_asked_to_begin_at_a_snapshot() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let [first, second] = settled_in_two_parts(&stage, &mut publisher);
    let ends = publisher.ends();
    let verdict = clean(audit(&stage, &["--from-snapshot"]));
    for (beginning, from) in [(0, first), (1, second)] {
        let beginning = &verdict["beginnings"][beginning];
        assert_eq!(
            (&beginning["from_snapshot"], &beginning["why"]),
            (&from.into(), &"asked_for".into())
        );
    }
    assert_eq!(verdict["inputs"], ends.iter().sum::<u64>() - first - second);
}

#[test]
fn what_stands_behind_the_open_transaction_of_a_dead_process_is_not_taken_for_lost() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let traffic = sale(200, 12, 2);
    let (first, second) = traffic.split_at(traffic.len() / 2);
    publisher.publish(first);
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);
    let died = stage.leaves_open(&[("orders.status", 0), ("gmv", 1)]);
    publisher.publish(second);
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);

    let mut command = floodgate();
    command.args(stage.arguments_with_snapshots(&["audit"], &["--format", "json"]));
    let mut audit = Process::spawn(command);
    let waits = audit.await_logged("waiting until it is decided");
    assert!(message(&waits).contains(&stage.topic("orders.status")), "{waits}");
    died.abort_transaction(WAIT).expect("the broker answers");
    let verdict = clean(audit.wait());
    assert_eq!(verdict["inputs"], publisher.ends().iter().sum::<u64>());
}

#[test]
fn what_was_tampered_with_after_the_snapshot_is_found() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let [middle, _] = settled_in_two_parts(&stage, &mut publisher);
    stage.delete_before("orders", 0, middle.cast_signed());
    let outputs = stage.read("orders.settled", 0);
    let cause = |seen: &Seen| seen.json()["offset"].as_u64().unwrap();
    let is_after = |seen: &&Seen| cause(seen) >= middle;
    let first = outputs.iter().position(|seen| is_after(&seen)).expect("sales after the snapshot");
    assert!(first > 0 && first + 1 < outputs.len(), "sales on both sides of {middle}");
    let altered = |number: usize| {
        let mut outputs = outputs.clone();
        let value = String::from_utf8(outputs[number].value.take().unwrap()).unwrap();
        let value = value.replacen(r#""amount":"#, r#""amount":1"#, 1);
        outputs[number].value = Some(value.into_bytes());
        outputs
    };

    replace_outputs(&stage, "orders.settled", 0, &outputs);
    clean(audit(&stage, &[]));
    replace_outputs(&stage, "orders.settled", 0, &altered(first - 1));
    clean(audit(&stage, &[]));
    for number in [first, outputs.len() - 1] {
        replace_outputs(&stage, "orders.settled", 0, &altered(number));
        let verdict = audit(&stage, &[]).expect_code(1).json();
        assert_eq!((&verdict["different"], &verdict["lost"]), (&1.into(), &0.into()), "{verdict}");
    }
    let without: Vec<Seen> = [&outputs[..first], &outputs[first + 1..]].concat();
    replace_outputs(&stage, "orders.settled", 0, &without);
    let verdict = audit(&stage, &[]).expect_code(1).json();
    assert_eq!((&verdict["different"], &verdict["lost"]), (&0.into(), &1.into()), "{verdict}");
}
