//! What `floodgate board` shows of a pipeline that the audit found right.

use std::collections::BTreeMap;

use drill::translation::model_rules;
use ledger::rules::Rules;
use model::{InputRecord, PlainPartition};
use rdkafka::producer::Producer as _;
use serde_json::Value;

use crate::orders::sale;
use crate::process::{Process, floodgate, run};
use crate::served::assert_documented;
use crate::stage::{Seen, Stage, Stamps, WAIT};

pub(crate) fn board(stage: &Stage, more: &[&str]) -> Process {
    board_with(stage, more, &[])
}

fn board_with(stage: &Stage, more: &[&str], environment: &[(&str, &str)]) -> Process {
    let mut command = floodgate();
    command.envs(environment.iter().copied());
    let flags = [&["--rehearsal", "--listen", "127.0.0.1:0"], more].concat();
    command.args(stage.arguments(&["board"], &flags));
    Process::spawn(command)
}

pub(crate) fn await_read(board: &mut Process) {
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

/// What the plain model counts, reading the same input.
fn counted_by_the_model(stage: &Stage) -> BTreeMap<&'static str, u128> {
    let rules = model_rules(&Rules { partitions: stage.partitions, ..Rules::default() });
    let mut sums: BTreeMap<&'static str, u128> = BTreeMap::new();
    for partition in 0..stage.partitions {
        let mut model = PlainPartition::new(rules.clone(), partition);
        for Seen { offset, timestamp, key, value, headers } in stage.read("orders", partition) {
            let offset = offset.unsigned_abs();
            model.apply(&InputRecord { offset, timestamp, key, value, headers });
        }
        let all = model.counters().iter().filter(|(key, _)| key.dimension.name() == "all");
        for figures in all.map(|(_, counter)| &counter.figures) {
            for (name, figure) in [
                ("orders_placed", figures.orders_placed),
                ("placed", figures.placed),
                ("orders_settled", figures.orders_settled),
                ("units_settled", figures.units_settled),
                ("settled", figures.settled),
                ("orders_refunded", figures.orders_refunded),
                ("refunded", figures.refunded),
                ("orders_rejected", figures.orders_rejected),
                ("orders_released", figures.orders_released),
                ("dead_letters", figures.dead_letters),
                ("duplicates", figures.duplicates),
            ] {
                *sums.entry(name).or_default() += figure;
            }
        }
    }
    sums
}

#[test]
fn a_board_that_watched_crashes_shows_what_an_independent_count_finds() {
    let Some(stage) = Stage::new(3, Stamps::Create) else { return };
    let mut watching = board(&stage, &[]);
    let mut publisher = stage.publisher();
    let records = sale(4_000, 23, 3);
    let mut answers = stage.follow("orders.status");
    for (turn, part) in records.chunks(records.len() / 4 + 1).enumerate() {
        let mut settle = stage.settle("crashing");
        publisher.publish(part);
        answers.await_seen(100 * (turn + 1));
        // In the midst of its transactions.
        settle.kill();
    }
    let settle = stage.settle("crashing");
    stage.await_settled(publisher.ends());
    settle.stop();
    let counted = counted_by_the_model(&stage);
    let mut restarted = board(&stage, &[]);
    await_read(&mut restarted);
    for board in [&mut watching, &mut restarted] {
        board.await_some("the last counters", |board| {
            let totals = json(board, "/api/v1/totals?day=all");
            let shown = |name: &str| totals[name].as_u64().map(u128::from);
            counted.iter().all(|(name, figure)| shown(name) == Some(*figure)).then_some(())
        });
    }
    assert!(counted.values().all(|figure| *figure > 0), "{counted:?}");
}

/// A shop in which nothing is sold; then a process dies in the midst of a transaction.
#[test]
fn a_board_tells_a_quiet_shop_from_a_partition_that_an_open_transaction_hides() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    publisher.publish(&sale(200, 5, 2));
    let settle = stage.settle("died");
    stage.await_settled(publisher.ends());
    settle.stop();
    let mut board = board_with(&stage, &[], &[("FLOODGATE__BOARD__STALE_MS", "1500")]);
    let mut await_state = |state: &str, is_well: bool| {
        board.await_some(state, |board| {
            let health = json(board, "/api/v1/health");
            (health["state"] == state && health["ok"] == is_well).then_some(health)
        })
    };
    await_state("quiet", true);
    let died = stage.leaves_open(&[("gmv", 1)]);
    let standstill = &await_state("standstill", false)["standstill"];
    assert_eq!(standstill.as_array().unwrap().len(), 1, "{standstill}");
    assert_eq!(standstill[0]["partition"], 1);
    assert_eq!(standstill[0]["why"], "open_transaction");
    died.abort_transaction(WAIT).expect("the broker answers");
    await_state("quiet", true);
    board.stop();
}

#[test]
fn a_board_outlives_its_broker_and_says_for_how_long_it_is_away() {
    let Some(mut server) = e2e::start_or_skip(&e2e::Options::default()) else { return };
    let stage = Stage::on(server.bootstrap(), 1, Stamps::Create);
    let (mut publisher, records) = (stage.publisher(), sale(400, 5, 1));
    let (before, after) = records.split_at(records.len() / 2);
    let settle = stage.settle("outlived");
    publisher.publish(before);
    stage.await_settled(publisher.ends());
    settle.stop();
    let mut board = board(&stage, &[]);
    await_read(&mut board);
    let shown = json(&mut board, "/api/v1/totals?day=all");
    server.stop();
    board.await_some("trouble", |board| {
        (!json(board, "/api/v1/health")["trouble"].is_null()).then_some(())
    });
    // Each answer of a board whose brokers are away says so.
    for _ in 0..20 {
        let health = json(&mut board, "/api/v1/health");
        assert!(health["trouble"].as_str().unwrap().contains("is Kafka up"), "{health}");
    }
    assert_eq!(json(&mut board, "/api/v1/totals?day=all"), shown, "what was read stays");
    server.restart().expect("it starts again");
    board.await_some("no trouble", |board| {
        json(board, "/api/v1/health")["trouble"].is_null().then_some(())
    });
    let settle = stage.settle("outlived");
    publisher.publish(after);
    stage.await_settled(publisher.ends());
    settle.stop();
    let counted = counted_by_the_model(&stage);
    board.await_some("what came after the restart", |board| {
        let totals = json(board, "/api/v1/totals?day=all");
        (totals["placed"].as_u64().map(u128::from) == Some(counted["placed"])).then_some(())
    });
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
