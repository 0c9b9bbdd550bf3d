//! What a running `settle` tells: metrics, health, status, live stock.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::orders::{SKU, Shop};
use crate::process::run;
use crate::stage::{Stage, Stamps};

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
    assert!(sum(&samples, "floodgate_commit_seconds_count", "") >= 1.0, "{page}");

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
