//! What a running `settle` tells: metrics, health, status, live stock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::orders::{SKU, Shop};
use crate::process::{Process, run};
use crate::stage::{Stage, Stamps, WAIT};

/// The samples of a page in Prometheus' text format, by name with labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.is_empty());
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.split(' ').collect();
            assert!(["TYPE", "HELP"].contains(&words[0]), "{line}");
            types.insert(words[1].to_owned(), words[2..].join(" "));
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let value = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        let family = name.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| family.strip_suffix(suffix).filter(|f| types.contains_key(*f)))
            .unwrap_or(family);
        assert!(types.contains_key(family), "{line} has no TYPE");
        assert!(samples.insert(name.to_owned(), value).is_none(), "{line} is there twice");
    }
    samples
}

fn sum(samples: &BTreeMap<String, f64>, family: &str, label: &str) -> f64 {
    let of = |name: &str| name.split('{').next() == Some(family) && name.contains(label);
    samples.iter().filter(|(name, _)| of(name)).map(|(_, value)| value).sum()
}

/// Two shops, each with two orders sold and three held.
fn assert_counted(samples: &BTreeMap<String, f64>, page: &str) {
    assert_eq!(sum(samples, "floodgate_holds_placed_total", ""), 10.0, "{page}");
    assert_eq!(sum(samples, "floodgate_holds_open", ""), 6.0, "{page}");
    assert_eq!(sum(samples, "floodgate_orders_settled_total", ""), 4.0, "{page}");
    assert_eq!(sum(samples, "floodgate_committed_offset", ""), 18.0, "{page}");
    assert_eq!(sum(samples, "floodgate_log_end_offset", ""), 18.0, "{page}");
    for nothing in ["lag_records", "lag_seconds", "undecided_records", "replay_remaining_records"] {
        let name = format!("floodgate_{nothing}");
        let found = (0..2).map(|it| samples[&format!("{name}{{partition=\"{it}\"}}")]);
        assert_eq!(found.collect::<Vec<_>>(), [0.0, 0.0], "{name}");
    }
    assert_eq!(sum(samples, "floodgate_partitions", "phase=\"live\""), 2.0, "{page}");
}

#[test]
fn what_a_running_settle_tells_agrees_with_what_it_wrote() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let mut shops = Shop::everywhere(2);
    for shop in &mut shops {
        let mut records = shop.open(10);
        records.extend(shop.sell(2));
        records.extend([shop.place(), shop.place(), shop.place()]);
        publisher.publish(&records);
    }
    let published: u64 = publisher.ends().iter().sum();
    let mut settle = stage.settle_with(&["--instance", "told", "--workers", "2"]);
    settle.await_live(2);
    stage.await_settled(publisher.ends());
    let partitions = settle.await_some("a report of everything", |settle| {
        let shown = settle.partitions();
        let done = |shown: &Value| shown["committed"] == 9 && shown["lag_records"] == 0;
        shown.iter().all(done).then_some(shown)
    });
    for shown in &partitions {
        assert_eq!(shown["phase"], "live");
        assert_eq!((&shown["next"], &shown["holds_open"]), (&9.into(), &3.into()));
        assert_eq!(shown["time_ms"], shops[0].now_ms);
    }
    let (code, body) = settle.get("/readyz");
    assert_eq!(code, 200, "{body}");
    assert_eq!(body.lines().filter(|line| line.starts_with("[+]worker ")).count(), 2, "{body}");
    assert_eq!(settle.get("/livez").0, 200);

    let (code, page) = settle.get("/metrics");
    assert_eq!(code, 200);
    let samples = samples(&page);
    assert_eq!(sum(&samples, "floodgate_records_total", ""), published as f64, "{page}");
    for topic in ["orders.status", "orders.settled"] {
        let written = stage.read_all(topic).len() as f64;
        let counted = sum(&samples, "floodgate_outputs_total", &format!("topic=\"{topic}\""));
        assert_eq!(counted, written, "{topic}: {page}");
    }
    assert_eq!(sum(&samples, "floodgate_commits_total", "outcome=\"fenced\""), 0.0);
    assert!(sum(&samples, "floodgate_commit_duration_seconds_count", "") >= 1.0, "{page}");
    assert_counted(&samples, &page);
    assert_documented(&page, "settle");

    for shop in &shops {
        let merchant = shop.merchant;
        let (code, body) = settle.get(&format!("/api/v1/stock/{merchant}/{SKU}"));
        let stock: Value = serde_json::from_str(&body).unwrap();
        let expected = json!({
            "merchant_id": merchant, "sku": SKU, "listed": true, "safety_stock": 0,
            "locations": [{ "location": 0, "on_hand": 5, "held": 3, "available": 5 }],
        });
        assert_eq!((code, &stock), (200, &expected));
        let at = settle.address();
        let (merchant, sku) = (merchant.to_string(), SKU.to_string());
        let got = run(&["stock", "get", &merchant, &sku, "--at", &at, "--format", "json"]);
        assert_eq!(got.expect_code(0).json(), expected);
        let text = run(&["stock", "get", &merchant, &sku, "--at", &at]).expect_code(0);
        assert!(text.stdout.contains(&format!("merchant {merchant}, SKU {sku}, listed")));
        let unknown = run(&["stock", "get", &merchant, "999", "--at", &at]).expect_code(1);
        assert!(unknown.stdout.contains("has no SKU 999"), "{unknown:#?}");
        assert_eq!(settle.get(&format!("/api/v1/stock/{merchant}/999")).0, 404);
    }
    assert_eq!(settle.get("/api/v1/stock/one/two").0, 400);
    assert_eq!(settle.get("/nowhere").0, 404);
    settle.stop();
    stage.audit(publisher.ends());
    let nobody = run(&["stock", "get", "1", "1", "--at", "127.0.0.1:1"]).expect_code(1);
    assert!(nobody.said().contains("--at"), "{nobody:#?}");
}

/// Compares the families of a page with those of the section of `docs/metrics.md`, both ways.
pub(crate) fn assert_documented(page: &str, section: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = std::fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let heading = format!("## {section}\n");
    let (_, rest) = document.split_once(&heading).unwrap_or_else(|| panic!("no {heading}"));
    let rest = rest.split("\n## ").next().unwrap();
    let told: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let documented: BTreeMap<&str, &str> = rest
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap()))
        .collect();
    assert_eq!(documented, told, "docs/metrics.md, {section}");
}

/// The partitions that a process tells a lag of.
fn series(settle: &mut Process) -> BTreeSet<String> {
    let samples = samples(&settle.get("/metrics").1);
    let of = |name: &&String| name.starts_with("floodgate_lag_records{");
    samples.keys().filter(of).cloned().collect()
}

/// Two partitions, a second process that takes one of them: its series move with it.
#[test]
fn series_of_a_partition_end_with_its_ownership() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    let mut first = stage.settle_with(&["--instance", "first", "--workers", "1"]);
    first.await_live(2);
    let mut second = stage.settle_with(&["--instance", "second", "--workers", "1"]);
    second.await_live(1);
    first.await_live(1);
    let (first_owns, second_owns) = (own_series(&mut first, 1), own_series(&mut second, 1));
    assert!(first_owns.is_disjoint(&second_owns), "{first_owns:?} {second_owns:?}");
    first.stop();
    second.await_live(2);
    own_series(&mut second, 2);
}

/// The series of a process that works on so many partitions: never more, and all of them as soon as each
/// partition's end is known from a first fetch.
fn own_series(settle: &mut Process, partitions: usize) -> BTreeSet<String> {
    settle.await_some("a series for each partition", |settle| {
        let series = series(settle);
        assert!(series.len() <= partitions, "{series:?}");
        (series.len() == partitions).then_some(series)
    })
}

/// Waits until a page of metrics is as it should be.
fn await_told(settle: &mut Process, what: &str, is_told: impl Fn(&BTreeMap<String, f64>) -> bool) {
    settle.await_some(what, |settle| is_told(&samples(&settle.get("/metrics").1)).then_some(()));
}

#[test]
fn what_is_replayed_is_not_counted_again() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let mut shop = Shop::in_partition(0, 1);
    let mut records = shop.open(10);
    records.extend(shop.sell(3));
    publisher.publish(&records);
    let mut first = stage.settle("counts");
    stage.await_settled(publisher.ends());
    first.kill();
    let mut second = stage.settle("counts");
    second.await_live(1);
    publisher.publish(&shop.sell(1));
    stage.await_settled(publisher.ends());
    await_told(&mut second, "what the second process did", |samples| {
        let counted = |name: &str| sum(samples, &format!("floodgate_{name}_total"), "");
        counted("replayed_records") == records.len() as f64
            && counted("records") == 2.0
            && counted("holds_placed") == 1.0
            && counted("orders_settled") == 1.0
    });
}

#[test]
fn a_quiet_partition_beats_all_the_way() {
    let Some(stage) = Stage::new(1, Stamps::Append) else { return };
    stage.configure("[settle]\nheartbeat_ms = 200\n");
    let mut settle = stage.settle("beats");
    await_told(&mut settle, "two heartbeats that came through", |samples| {
        let told = |name: &str| sum(samples, &format!("floodgate_{name}"), "");
        told("committed_offset") >= 2.0
            && told("ticks_total") >= 2.0
            && told("committed_timestamp_seconds") > 0.0
            && told("lag_records") == 0.0
    });
}

#[test]
fn a_publisher_that_does_not_decide_is_told_of() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let mut settle = stage.settle("reads");
    settle.await_live(1);
    let mut config = stage.client();
    config.set("transactional.id", format!("{}undecided", stage.prefix));
    let undecided: BaseProducer = config.create().unwrap();
    undecided.init_transactions(WAIT).unwrap();
    undecided.begin_transaction().unwrap();
    let topic = stage.topic("orders");
    let tick: BaseRecord<'_, str, str> = BaseRecord::to(&topic).payload("{\"type\":\"tick\"}");
    undecided.send(tick).map_err(|(error, _)| error).unwrap();
    undecided.flush(WAIT).unwrap();
    let told = |samples: &BTreeMap<String, f64>| {
        ["undecided_records", "lag_records", "committed_offset"]
            .map(|name| sum(samples, &format!("floodgate_{name}"), ""))
    };
    await_told(&mut settle, "one that nobody can read", |it| told(it) == [1.0, 0.0, 0.0]);
    undecided.commit_transaction(WAIT).unwrap();
    await_told(&mut settle, "that it was read", |it| told(it) == [0.0, 0.0, 1.0]);
}

#[test]
fn a_port_in_use_ends_the_process_before_it_joins() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = stage.settle_with(&["--listen", &address]).wait();
    assert!(ended.stderr.contains("--listen"), "{ended:#?}");
    assert!(!ended.stderr.contains("joining the group"), "{ended:#?}");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
}
