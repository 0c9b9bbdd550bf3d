//! What comes out, byte for byte: the demo's traffic, dead letters, holds that expire by themselves.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ledger::rules::Rules;
use ledger::units::Offset;
use pipeline::engine::Engine;
use serde_json::Value;
use wire::{NoHeaders, Outputs, Topic};

use crate::orders::{SKU, Shop, sale};
use crate::process::await_some;
use crate::stage::{Record, Seen, Stage, Stamps};

/// Before the first record with a time of its own, T is 0, which no Kafka client can write.
#[test]
fn the_audit_misses_no_timestamp_that_cannot_be_written() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let mut publisher = stage.publisher();
    let garbage = Some(b"garbage".to_vec());
    publisher.publish(&[Record { timestamp: -1, value: garbage, ..Record::default() }]);
    let settle = stage.settle("zero");
    stage.await_settled(publisher.ends());
    settle.stop();
    let letters = stage.read("orders.dlq", 0);
    assert!(letters.len() == 1 && letters[0].timestamp > 0, "{letters:?}");
    stage.audit(publisher.ends());
}

const ANSWERS: [Topic; 3] = [Topic::Status, Topic::Settled, Topic::DeadLetters];

/// What the pipeline's own machine makes of the same records, without any log.
#[derive(Default)]
struct Derived {
    /// Outputs by topic.
    outputs: BTreeMap<&'static str, Vec<Seen>>,
    /// The last counters of each key.
    counters: BTreeMap<String, Value>,
}

impl Derived {
    fn take(&mut self, outputs: &mut Outputs) {
        for output in outputs.iter() {
            let mut seen = Seen {
                offset: 0,
                timestamp: output.timestamp.0.cast_signed(),
                key: output.key.map(<[u8]>::to_vec),
                value: output.value.map(<[u8]>::to_vec),
                headers: Vec::new(),
            };
            let headers = output.headers;
            headers.for_each(|(name, value)| {
                seen.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
            });
            if output.topic == Topic::Gmv {
                let key = seen.key.clone().expect("counters have keys");
                let key = String::from_utf8(key).expect("keys are text");
                self.counters.insert(key, seen.json());
            } else {
                self.outputs.entry(output.topic.default_name()).or_default().push(seen);
            }
        }
        outputs.clear();
    }
}

fn derive(stage: &Stage, records: &[Record], partition: u32) -> Derived {
    let rules = Rules { partitions: stage.partitions, ..Rules::default() };
    let mut engine = Engine::new(partition, &stage.topic("orders"), rules);
    let (mut derived, mut outputs) = (Derived::default(), Outputs::new());
    let own = records.iter().filter(|record| record.partition == partition);
    for (offset, record) in (0..).zip(own) {
        let Record { timestamp, key, value, .. } = record;
        engine.apply(
            &[wire::Record {
                partition,
                offset: Offset(offset),
                timestamp: *timestamp,
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &NoHeaders,
            }],
            &mut outputs,
        );
        if offset % 100 == 0 {
            engine.write_all_counters(&mut outputs);
        }
        derived.take(&mut outputs);
    }
    engine.write_all_counters(&mut outputs);
    derived.take(&mut outputs);
    derived
}

/// Without what depends on when a counter was written.
fn totals(mut counters: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for counter in counters.values_mut() {
        let counter = counter.as_object_mut().expect("a counter is an object");
        counter.remove("offset").expect("a counter says up to where it counts");
        counter.remove("at").expect("a counter says when it was written");
    }
    counters
}

#[test]
fn kafka_and_process_change_no_byte_of_what_the_machine_answers() {
    let Some(stage) = Stage::new(4, Stamps::Create) else { return };
    let records = sale(3_000, 11, 4);
    let mut publisher = stage.publisher();
    publisher.publish(&records);
    let ended = stage.settle_with(&["--until-idle", "--workers", "2"]).wait().expect_code(0);
    assert_eq!(ended.json()["records"], records.len(), "{ended:#?}");
    assert!(ended.json()["seconds"].as_f64() > Some(0.0), "{ended:#?}");

    let mut expected = BTreeMap::new();
    for partition in 0..stage.partitions {
        let mut derived = derive(&stage, &records, partition);
        expected.append(&mut derived.counters);
        for topic in ANSWERS {
            let name = topic.default_name();
            let mut found = stage.read(name, partition);
            found.iter_mut().for_each(|seen| seen.offset = 0);
            let expected = derived.outputs.remove(name).unwrap_or_default();
            assert!(!expected.is_empty(), "nothing for {name} {partition}");
            assert_eq!(found.len(), expected.len(), "{name} {partition}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{name} {partition}");
            }
        }
    }
    assert_eq!(totals(stage.counters()), totals(expected));
    stage.audit(publisher.ends());
}

/// The headers of a dead letter that are ours, without their common beginning.
fn ours(dead_letter: &Seen) -> BTreeMap<&str, String> {
    let ours = dead_letter.headers.iter().filter_map(|(name, value)| {
        let value = String::from_utf8(value.clone()?).ok()?;
        Some((name.strip_prefix("__connect.errors.")?, value))
    });
    ours.collect()
}

fn bad(value: Option<Vec<u8>>, headers: Vec<(String, Vec<u8>)>) -> Record {
    Record { partition: 0, timestamp: 5_000, key: Some(b"k".to_vec()), value, headers }
}

#[test]
fn no_bad_record_is_lost_and_none_stops_its_partition() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let tag = || vec![("trace".to_owned(), b"abc".to_vec())];
    let megabyte = || vec![("big".to_owned(), vec![b'h'; 960_000])];
    let text = |length: usize| Some(vec![b'x'; length]);
    // What is published, its code, and what of it is left out.
    let cases = [
        (bad(None, tag()), "invalid", None),
        (bad(Some(b"\xff\x00garbage".to_vec()), tag()), "invalid", None),
        (bad(text(0), Vec::new()), "invalid", None),
        (bad(text(262_145), tag()), "too_large", None),
        (bad(text(990_000), tag()), "too_large", Some("value")),
        (bad(text(10), megabyte()), "invalid", Some("value,headers")),
        (bad(None, megabyte()), "invalid", Some("headers")),
    ];
    let mut publisher = stage.publisher();
    publisher.publish(&cases.clone().map(|(record, ..)| record));
    let mut shop = Shop::in_partition(0, 1);
    publisher.publish(&[shop.open(1), shop.sell(1)].concat());
    stage.settle_with(&["--until-idle"]).wait().expect_code(0);

    let dead_letters = stage.read("orders.dlq", 0);
    assert_eq!(dead_letters.len(), cases.len());
    for (offset, (found, (sent, code, omitted))) in dead_letters.iter().zip(cases).enumerate() {
        let case = format!("record {offset}");
        let ours = ours(found);
        assert_eq!(ours["topic"], stage.topic("orders"), "{case}");
        assert_eq!(ours["partition"], "0", "{case}");
        assert_eq!(ours["offset"], offset.to_string(), "{case}");
        assert_eq!(ours["timestamp"], "5000", "{case}");
        assert_eq!(ours["stage"], "decode", "{case}");
        assert_eq!(ours["exception.class.name"], code, "{case}");
        assert!(!ours["exception.message"].is_empty(), "{case}");
        assert_eq!(ours.get("omitted").map(String::as_str), omitted, "{case}");
        let is_kept = |part: &str| !omitted.is_some_and(|omitted| omitted.contains(part));
        assert_eq!(found.key, sent.key, "{case}");
        let kept = sent.value.filter(|_| is_kept("value"));
        assert!(found.value == kept, "{case}: its value");
        for (name, value) in &sent.headers {
            let copy = found.headers.iter().find(|(candidate, _)| candidate == name);
            let same = copy.is_some_and(|(_, copy)| copy.as_ref() == Some(value));
            assert_eq!(same, is_kept("headers"), "{case}: its header {name}");
        }
    }
    assert_eq!(stage.read("orders.settled", 0).len(), 1, "the sale behind them is settled");
    stage.audit(publisher.ends());
}

#[test]
fn a_hold_expires_on_a_quiet_topic_by_itself() {
    let Some(stage) = Stage::new(1, Stamps::Append) else { return };
    let mut settle = stage.settle("ticking");
    settle.await_live(1);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let now_ms = i64::try_from(since_1970.as_millis()).expect("it is before the year 10000");
    let mut shop = Shop::in_partition(0, 1);
    shop.now_ms = now_ms;
    let mut records = shop.open(5);
    records.push(shop.place_with(&format!(r#","pay_by":{}"#, now_ms + 1_500)));
    stage.publisher().publish(&records);

    let released = await_some("the release", || {
        let status = stage.read("orders.status", 0).into_iter().map(|seen| seen.json());
        status.into_iter().find(|answer| answer["type"] == "hold.released")
    });
    assert_eq!(released["reason"], "expired");
    assert!(released["at"].as_i64() >= Some(now_ms + 1_500), "{released}");
    let path = format!("/api/v1/stock/{}/{SKU}", shop.merchant);
    settle.await_some("the units back on the shelf", |settle| {
        let stock: Value = serde_json::from_str(&settle.get(&path).1).ok()?;
        (stock["locations"][0]["on_hand"] == 5 && stock["locations"][0]["held"] == 0).then_some(())
    });
    settle.await_some("no ticks without holds", |settle| {
        let partitions = settle.partitions();
        let partition = partitions.first()?;
        (partition["holds_open"] == 0 && partition["lag_records"] == 0).then_some(())
    });
    settle.stop();
    let ticks = stage.read("orders", 0).len() as u64 - 3;
    assert!((1..60).contains(&ticks), "{ticks} ticks");
    stage.audit(&[ticks + 3]);
}
