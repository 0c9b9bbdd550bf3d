//! What `floodgate drill` reports of a pipeline, right or wrong, and how it exits.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::process::{Process, await_some, floodgate, run};
use crate::stage::{Record, Seen, Stage, Stamps};

fn drill(stage: &Stage, profile: &str, more: &[&str]) -> Process {
    let out = stage.snapshots().with_file_name("report").display().to_string();
    let flags = ["--profile", profile, "--seed", "5", "--format", "json", "--out", &out];
    let mut command = floodgate();
    command.args(stage.arguments(&["drill", "run"], &[&flags, more].concat()));
    Process::spawn(command)
}

fn published(stage: &Stage) -> u64 {
    stage.ends_of("orders").iter().sum()
}

/// Waits until so many records more are published.
fn await_published(stage: &Stage, more: u64) {
    let before = published(stage);
    await_some("published records", || (published(stage) >= before + more).then_some(()));
}

/// Waits until the sale is open: the catalogue has no answers.
fn await_sale(stage: &Stage) {
    stage.follow("orders.status").await_seen(1);
}

/// All committed answers to what was published from that moment on.
fn answers_since(stage: &Stage, at_ms: i64) -> Vec<(&'static str, Seen)> {
    let topics = ["orders.status", "orders.settled", "orders.dlq"];
    let of = |topic| stage.read_all(topic).into_iter().map(move |seen| (topic, seen));
    topics.into_iter().flat_map(of).filter(|(_, seen)| seen.timestamp >= at_ms).collect()
}

#[test]
fn a_drill_on_a_right_pipeline_tells_what_stands_in_the_topics() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut settle = stage.settle("drilled");
    let metrics = settle.address();
    let more = ["--fail-if", "failed>0", "--metrics", &metrics];
    let ended = drill(&stage, "300/s for 2s, 900/s at +2s", &more).wait();
    let report = ended.json();
    let stages = report["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 4, "{ended:#?}");
    assert!(stages.iter().all(|stage| stage["count"].as_u64() > Some(0)), "{ended:#?}");
    assert_eq!(report["commands"]["orders"], 300 * 2 + 600 * 2, "{ended:#?}");
    let sent = report["commands"]["sent"].as_u64().unwrap();
    assert_eq!(sent + report["plan"]["catalogue"].as_u64().unwrap(), published(&stage));
    let due: u64 =
        report["series"].as_array().unwrap().iter().filter_map(|at| at["due"].as_u64()).sum();
    assert_eq!(due, sent);

    // What an independent reader finds, by type.
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for (topic, seen) in answers_since(&stage, report["plan"]["opened_at_ms"].as_i64().unwrap()) {
        let kind = match topic {
            "orders.dlq" => "dead letter".to_owned(),
            _ => seen.json()["type"].as_str().unwrap().to_owned(),
        };
        *counted.entry(kind).or_default() += 1;
    }
    assert_eq!(report["answers"], serde_json::to_value(&counted).unwrap());
    assert_eq!(report["latency"]["answers"], counted.values().sum::<u64>());

    // Nothing was published before it was due, and what is due grows with the profile.
    let inputs = stage.read_all("orders");
    let opened_at = report["plan"]["opened_at_ms"].as_i64().unwrap();
    let orders_by_second = |second: i64| {
        let is_due = |seen: &&Seen| (seen.timestamp - opened_at).div_euclid(1_000) == second;
        let is_order = |seen: &&Seen| {
            let value = seen.value.as_deref().unwrap_or_default();
            value.windows(14).any(|at| at == b"\"order.placed\"")
        };
        inputs.iter().filter(is_due).filter(is_order).count()
    };
    assert!((290..340).contains(&orders_by_second(0)), "{}", orders_by_second(0));
    assert!((720..850).contains(&orders_by_second(3)), "{}", orders_by_second(3));

    assert_eq!(report["verdict"]["undecided"], 0, "{ended:#?}");
    ended.expect_code(0);
    settle.stop();
    let out = stage.snapshots().with_file_name("report");
    let page = std::fs::read_to_string(out.join("drill-report.html")).unwrap();
    assert!(page.contains("Right, and fast enough"));
    let figures = out.join("drill-report.json").display().to_string();
    let told = run(&["drill", "report", &figures, "--fail-if", "p50<1ms", "--format", "json"]);
    assert_eq!(told.json()["commands"], report["commands"]);
}

#[test]
fn a_pipeline_that_stands_still_shows_in_latency_and_exit_code() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let settle = stage.settle("frozen");
    let drilled = drill(&stage, "400/s for 8s", &["--fail-if", "max>1s"]);
    await_sale(&stage);
    settle.signal("STOP");
    // The publisher goes on by the clock: this takes at least two seconds of it.
    await_published(&stage, 2_400);
    settle.signal("CONT");
    let ended = drilled.wait();
    let report = ended.json();
    assert!(report["latency"]["max_ms"].as_u64() > Some(1_500), "{ended:#?}");
    assert_eq!(report["thresholds"][0]["failed"], true);
    assert_eq!(report["verdict"]["undecided"], 0);
    ended.expect_code(1);
    settle.stop();
}

#[test]
fn a_pipeline_that_dies_leaves_commands_undecided() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let mut settle = stage.settle("dying");
    let drilled = drill(&stage, "400/s for 8s", &["--patience", "2"]);
    await_sale(&stage);
    settle.kill();
    let ended = drilled.wait();
    let report = ended.json();
    assert!(report["verdict"]["undecided"].as_u64() > Some(0), "{ended:#?}");
    ended.expect_code(1);
}

/// Somebody else's record among the outputs is what a pipeline would write that settles twice.
#[test]
fn an_order_that_is_settled_twice_fails_the_verdict() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let settle = stage.settle("doubled");
    let drilled = drill(&stage, "400/s for 4s", &[]);
    let settled = await_some("a settled order", || stage.read("orders.settled", 0).pop());
    stage.publisher_to("orders.settled").publish(&[Record {
        timestamp: settled.timestamp,
        key: settled.key.clone(),
        value: settled.value.clone(),
        ..Record::default()
    }]);
    let ended = drilled.wait();
    let verdict: Value = ended.json()["verdict"].clone();
    assert_eq!(verdict["duplicated"], 1, "{ended:#?}");
    ended.expect_code(1);
    settle.stop();
}

#[test]
fn a_drill_refuses_real_topics_and_a_pipeline_that_is_not_there() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let ended = run(&["drill", "run", "--brokers", &stage.brokers]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("--yes-into-production"), "{ended:#?}");
    let ended = drill(&stage, "10/s for 1s", &["--patience", "1"]).wait();
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("does a `floodgate settle` consume"), "{ended:#?}");
    let appended = Stage::new(1, Stamps::Append).unwrap();
    // Where a drill makes the other topics, somebody else's input may have been there before.
    let begun = Stage::without_topics(&stage.brokers, 1);
    begun.create_topic("orders", "message.timestamp.type", "LogAppendTime");
    for stage in [appended, begun] {
        let ended = drill(&stage, "10/s for 1s", &[]).wait().expect_code(1);
        assert!(ended.stderr.contains("--timestamps create"), "{ended:#?}");
        assert_eq!(published(&stage), 0, "something was published");
    }
}

/// Answers carry T: behind a record from the future each would be read before it was due, at a latency of 0.
#[test]
fn a_load_behind_a_later_record_has_no_latency_at_all() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let settle = stage.settle("ahead");
    let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let timestamp = i64::try_from(since_1970).unwrap() + 3_600_000;
    stage.publisher().publish(&[Record { partition: 1, timestamp, ..Record::default() }]);
    let ended = drill(&stage, "10/s for 1s", &[]).wait().expect_code(1);
    assert!(ended.stderr.contains("name a fresh prefix"), "{ended:#?}");
    assert_eq!(published(&stage), 1, "something was published");
    settle.stop();
}

fn knee(stage: &Stage, target: &str, more: &[&str]) -> crate::process::Ended {
    let out = stage.snapshots().with_file_name("knee").display().to_string();
    let flags = ["--target", target, "--step", "1s", "--format", "json", "--out", &out];
    let mut command = floodgate();
    command.args(stage.arguments(&["drill", "knee"], &[&flags, more].concat()));
    Process::spawn(command).wait()
}

#[test]
fn a_knee_is_searched_where_everything_holds_or_nothing_does() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let settle = stage.settle("kneeling");
    let bounds = ["--from", "50", "--up-to", "150"];
    let ended = knee(&stage, "p99<30s", &bounds).expect_code(0);
    let found = &ended.json()["knee"];
    let rates = |found: &Value| -> Vec<f64> {
        found["steps"].as_array().unwrap().iter().filter_map(|it| it["rate"].as_f64()).collect()
    };
    assert_eq!((found["rate"].as_f64(), rates(found)), (Some(150.0), vec![50.0, 100.0, 150.0]));

    // An answer is committed once in two seconds, so the median of a second cannot hold.
    settle.stop();
    stage.configure("[settle]\ncommit_interval_ms = 2000\n");
    let slow = stage.settle("kneeling");
    let ended = knee(&stage, "p50<100ms", &["--from", "50", "--steps", "2"]).expect_code(1);
    let found = &ended.json()["knee"];
    assert_eq!((&found["rate"], rates(found)), (&Value::Null, vec![50.0, 25.0]), "{ended:#?}");
    assert_eq!(ended.json()["verdict"]["undecided"], 0, "{ended:#?}");
    slow.stop();
}

#[test]
fn a_load_that_is_only_published_waits_for_a_pipeline() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let command = ["drill", "run"];
    let flags = ["--publish-only", "--profile", "1k/s for 1s"];
    let ended = run(&stage.arguments(&command, &flags)).expect_code(0);
    assert!(ended.stdout.contains("1,000 orders among them"), "{ended:#?}");
    assert!(published(&stage) > 1_000);
}
