//! What `floodgate board` shows of a pipeline that the audit found right.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::orders::sale;
use crate::process::{Process, floodgate, run};
use crate::served::assert_documented;
use crate::stage::{Stage, Stamps};

fn board(stage: &Stage, more: &[&str]) -> Process {
    let mut command = floodgate();
    let flags = [&["--rehearsal", "--listen", "127.0.0.1:0"], more].concat();
    command.args(stage.arguments(&["board"], &flags));
    Process::spawn(command)
}

fn await_read(board: &mut Process) {
    board.await_some("a board that has read everything", |board| {
        (board.get("/readyz").0 == 200).then_some(())
    });
}

fn json(board: &mut Process, path: &str) -> Value {
    let (code, body) = board.get(path);
    assert_eq!(code, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// Every counter that is a number, of all partitions together, by day, dimension and value.
fn sums(stage: &Stage) -> BTreeMap<(String, String, String), BTreeMap<String, u64>> {
    let mut sums: BTreeMap<_, BTreeMap<String, u64>> = BTreeMap::new();
    for record in stage.counters().values() {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        let sum = sums.entry((text("day"), text("dimension"), text("value"))).or_default();
        for (name, value) in record.as_object().unwrap() {
            if let (Some(value), false) =
                (value.as_u64(), ["partition", "offset", "at"].contains(&name.as_str()))
            {
                *sum.entry(name.clone()).or_default() += value;
            }
        }
    }
    sums
}

/// Compares whatever the board names; a location's item names settled figures only.
fn assert_shown(board: &mut Process, stage: &Stage) {
    let mut dimensions: BTreeMap<(String, String), usize> = BTreeMap::new();
    let sums = sums(stage);
    for (day, dimension, _) in sums.keys() {
        *dimensions.entry((day.clone(), dimension.clone())).or_default() += 1;
    }
    for ((day, dimension), count) in &dimensions {
        let page = json(board, &format!("/api/v1/dimensions/{dimension}?day={day}&limit=1000"));
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), *count, "{day} {dimension}");
        for item in items {
            let value = item["value"].as_str().unwrap().to_owned();
            let sum = &sums[&(day.clone(), dimension.clone(), value)];
            let mut numbers = item.as_object().unwrap().clone();
            numbers.retain(|name, _| name != "value" && name != "net");
            for (name, number) in &numbers {
                assert_eq!(number.as_u64(), sum.get(name).copied(), "{day} {item} {name}");
            }
        }
        if dimension == "all" {
            let totals = json(board, &format!("/api/v1/totals?day={day}"));
            for (name, number) in &sums[&(day.clone(), "all".to_owned(), "all".to_owned())] {
                assert_eq!(totals[name], *number, "{day} {name}");
            }
        }
    }
    assert!(dimensions.len() >= 9, "{dimensions:?}");
}

/// Prometheus is told what the API tells.
fn assert_metrics(board: &mut Process) {
    let totals = json(board, "/api/v1/totals");
    let (_, page) = board.get("/metrics");
    let sample = |name: &str| -> f64 {
        let line = page.lines().find(|line| line.split(' ').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    for (counter, name) in [
        ("orders_placed", "orders_placed"),
        ("settled", "settled_fen"),
        ("net", "net_fen"),
        ("orders_rejected", "orders_rejected"),
        ("duplicates", "duplicates"),
    ] {
        let told = sample(&format!("floodgate_board_{name}"));
        assert_eq!(Some(told), totals[counter].as_f64(), "{counter}");
    }
    let merchants = json(board, "/api/v1/dimensions/merchant?limit=1");
    let (id, settled) = (&merchants["items"][0]["value"], &merchants["items"][0]["settled"]);
    let (_, merchant) = board.get(&format!("/metrics/merchant/{}", id.as_str().unwrap()));
    let told = format!("floodgate_merchant_settled_fen{{merchant={id}}} {settled}\n");
    assert!(merchant.contains(&told), "{told} is not in {merchant}");
    let both = page + &merchant;
    assert_documented(&both, "board");
}

#[test]
fn a_board_shows_what_the_audit_found_right_also_after_a_restart() {
    let Some(stage) = Stage::new(3, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    publisher.publish(&sale(3_000, 5, 3));
    let settle = stage.settle("counted");
    stage.await_settled(publisher.ends());
    settle.stop();
    stage.audit(publisher.ends());

    let mut first = board(&stage, &[]);
    await_read(&mut first);
    assert_shown(&mut first, &stage);
    assert!(first.get("/").1.contains("/assets/board.js"));
    first.kill();
    let mut second = board(&stage, &[]);
    await_read(&mut second);
    assert_shown(&mut second, &stage);

    assert_metrics(&mut second);
    // A saved day is what the next one is compared with.
    let health = json(&mut second, "/api/v1/health");
    let day = health["today"].as_str().unwrap().to_owned();
    let (_, minutes) = second.get(&format!("/api/v1/minutes?day={day}"));
    second.stop();
    let file = stage.snapshots().with_file_name("saved.json");
    std::fs::write(&file, &minutes).unwrap();
    let mut third = board(&stage, &["--compare", &file.display().to_string()]);
    assert_eq!(third.get("/api/v1/compare"), (200, minutes));
    third.stop();
}

#[test]
fn a_board_without_brokers_says_so_and_ends_when_asked() {
    let mut command = floodgate();
    let flags = ["board", "--brokers", "127.0.0.1:1", "--listen", "127.0.0.1:0"];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("floodgate.toml");
    std::fs::write(&file, "[log]\nformat = 'json'\n").unwrap();
    command.args(flags).args(["--config", &file.display().to_string()]);
    let mut board = Process::spawn(command);
    board.await_some("a reason", |board| {
        let (code, body) = board.get("/readyz");
        (code == 503 && body.contains("partitions")).then_some(())
    });
    assert_eq!(board.get("/livez").0, 200);
    assert_eq!(board.get("/api/v1/totals").0, 503);
    board.stop();
}

#[test]
fn a_wrong_setting_is_refused_before_anything_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.display().to_string();
    for (flag, hint) in [
        ("--token-file", "one token"),
        ("--users-file", "user:password"),
        ("--compare", "/api/v1/minutes"),
    ] {
        let ended = run(&["board", flag, &empty]).expect_code(78);
        assert!(ended.said().contains(hint), "{ended:#?}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&["board", "--listen", &address]).expect_code(1);
    assert!(ended.said().contains("--listen"), "{ended:#?}");
}
