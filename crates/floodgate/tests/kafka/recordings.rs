//! What `floodgate drill record` keeps of a topic, and what a pipeline makes of it when
//! `floodgate drill replay` publishes it again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use drill::recording::Recording;
use pipeline::objects::Objects;
use serde_json::Value;
use wire::partition::partition_of;

use crate::orders::{SKU, Shop, sale};
use crate::process::{Ended, Process, await_some, floodgate, run};
use crate::stage::{Record, Seen, Stage, Stamps};

const DAY_MS: i64 = 86_400_000;
const LARGEST_MS: i64 = 1_000_000_000_000_000;
const ANSWERS: [&str; 3] = ["orders.status", "orders.settled", "orders.dlq"];

/// A sale with what breaks the contract in it, and behind it what a careless replay would change.
fn hostile(partitions: u32) -> Vec<Record> {
    let mut records = sale(600, 11, partitions);
    let mut shop = Shop::in_partition(1, partitions);
    shop.now_ms = records.last().unwrap().timestamp;
    records.extend(shop.open(1_000));
    let now = shop.now_ms + 1;
    let merchant = shop.merchant;
    let long = "L".repeat(40);
    let mut values = vec![
        // Ids and names with escapes, a buyer in a string, an unknown field that looks like a known one.
        format!(
            r#" {{ "\u0074ype" : "order.placed", "placed_at":{now}, "merchant_id":"00{merchant}",
            "order_id":"\u0045-1", "buyer_id":"0042", "note":{{"order_id":"E-1","placed_at":1}},
            "lines":[{{"sku":{SKU}, "qty":1, "unit_price":100, "x":[]}}], "pay_by":{}, "channel":"a\"b" }} "#,
            now + 5_000
        ),
        format!(
            r#"{{"type":"order.paid","merchant_id":{merchant},"payment_id":"{long}","order_id":"E-1","amount":100,"paid_at":{now}}}"#
        ),
        // The longest id there is, in several commands.
        format!(
            r#"{{"type":"order.placed","merchant_id":{merchant},"order_id":"{long}","buyer_id":42,"placed_at":{now},"pay_by":null,"lines":[{{"sku":{SKU},"qty":2,"unit_price":50}}],"presale":{{"deposit":10,"balance_due":{}}}}}"#,
            now + 9_000
        ),
        format!(
            r#"{{"type":"order.paid","merchant_id":{merchant},"payment_id":"D-1","order_id":"{long}","amount":10,"part":"deposit","paid_at":{now}}}"#
        ),
        format!(
            r#"{{"type":"order.paid","merchant_id":{merchant},"payment_id":"B-1","order_id":"{long}","amount":90,"part":"balance","paid_at":{now}}}"#
        ),
        format!(r#"{{"type":"order.cancelled","merchant_id":{merchant},"order_id":"{long}"}}"#),
        format!(
            r#"{{"type":"order.refunded","merchant_id":{merchant},"refund_id":"F-1","order_id":"{long}","refunded_at":{now},"amount":5,"lines":[]}}"#
        ),
        // Never settled, never expired.
        format!(
            r#"{{"type":"order.placed","merchant_id":{merchant},"order_id":"E-2","buyer_id":1,"placed_at":{now},"pay_by":{LARGEST_MS},"lines":[{{"sku":{SKU},"qty":1,"unit_price":1}}]}}"#
        ),
        // No commands, though they have ids and times.
        format!(
            r#"{{"type":"order.placed","merchant_id":{merchant},"order_id":"E-3","placed_at":{now}}}"#
        ),
        r#"{"type":"order.paid","order_id":"E-1","paid_at":1,"order_id":"E-1"}"#.to_owned(),
        "\u{feff}{}".to_owned(),
        String::new(),
    ];
    values.push(values[0].clone());
    let by_hand = values.into_iter().map(|value| {
        let mut record = shop.record(&value);
        record.headers =
            vec![("trace".to_owned(), b"\x00\xff".to_vec()), ("trace".to_owned(), vec![])];
        record
    });
    records.extend(by_hand.collect::<Vec<_>>());
    // Clocks that go back, or show no time at all.
    for (timestamp, key) in
        [(now - 7_200_000, None), (-1, Some(b"".to_vec())), (LARGEST_MS + 1, None)]
    {
        let value = Some(b"{\"type\":\"tick\"}".to_vec());
        records.push(Record { partition: 1, timestamp, key, value, headers: Vec::new() });
    }
    records.push(Record { partition: 0, timestamp: now, ..Record::default() });
    records
}

/// Publishes and settles; the stage with all its outputs.
fn settled(records: &[Record], partitions: u32) -> Option<Stage> {
    let stage = Stage::new(partitions, Stamps::Create)?;
    let settle = stage.settle("original");
    let mut publisher = stage.publisher();
    publisher.publish(records);
    stage.await_settled(publisher.ends());
    settle.stop();
    Some(stage)
}

fn place(stage: &Stage, name: &str) -> PathBuf {
    stage.snapshots().with_file_name(name)
}

fn record(stage: &Stage, to: &Path, more: &[&str]) -> Ended {
    let to = to.display().to_string();
    run(&stage
        .arguments(&["drill", "record"], &[&["--to", &to, "--format", "json"], more].concat()))
}

fn replay(stage: &Stage, from: &Path, more: &[&str]) -> Ended {
    let from = from.display().to_string();
    let out = place(stage, "report").display().to_string();
    let flags = ["--from", &from, "--out", &out, "--format", "json"];
    let mut command = floodgate();
    command.args(stage.arguments(&["drill", "replay"], &[&flags, more].concat()));
    Process::spawn(command).wait()
}

/// Replays into topics of its own while somebody settles.
fn replayed(partitions: u32, from: &Path, more: &[&str]) -> (Stage, Ended) {
    let stage = Stage::new(partitions, Stamps::Create).unwrap();
    let settle = stage.settle("replayed");
    let ended = replay(&stage, from, more);
    settle.stop();
    (stage, ended)
}

/// What a replay must make of the original's ids and times, by the documentation alone.
#[derive(Clone, Copy)]
struct Mapping {
    tag: &'static str,
    shift_ms: i64,
}

impl Mapping {
    /// Found from the first records of both.
    fn between(original: &Stage, replayed: &Stage, tag: &'static str) -> Mapping {
        let first = |stage: &Stage| stage.read("orders", 0)[0].timestamp;
        let shift_ms = first(replayed) - first(original);
        assert_eq!(shift_ms % DAY_MS, 0, "minutes and days hold what they held");
        assert!(shift_ms > 0);
        Mapping { tag, shift_ms }
    }

    fn time(self, time_ms: i64) -> i64 {
        match (0..=LARGEST_MS).contains(&time_ms) {
            true => (time_ms + self.shift_ms).clamp(0, LARGEST_MS),
            false => time_ms,
        }
    }

    /// Ids that leave room for the tag keep their text; the others are only known by their tag.
    fn id(self, id: &str) -> String {
        let whole = format!("{}.{id}", self.tag);
        if whole.len() <= 40 { whole } else { format!("{}.*", self.tag) }
    }

    fn object(self, value: &mut Value) {
        let Some(object) = value.as_object_mut() else { return };
        for (name, field) in object {
            match (name.as_str(), &*field) {
                ("order_id" | "payment_id" | "refund_id" | "receipt_id", Value::String(id)) => {
                    *field = self.id(id).into();
                }
                (
                    "at" | "placed_at" | "paid_at" | "refunded_at" | "received_at" | "expires_at"
                    | "pay_by" | "balance_due",
                    Value::Number(time),
                ) => *field = self.time(time.as_i64().unwrap()).into(),
                ("presale", Value::Object(_)) => self.object(field),
                _ => {}
            }
        }
    }
}

/// Ids of which only the tag is known are told by it.
fn without_hashes(text: &str, tag: &str) -> String {
    let before = format!("\"{tag}.");
    let mut pieces = text.split(&before);
    let mut all = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (id, rest) = piece.split_once('"').unwrap();
        let is_hash = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        all += &format!("\"{tag}.{}\"{rest}", if is_hash { "*" } else { id });
    }
    all
}

/// An output as far as a replay must repeat it.
#[derive(Debug, PartialEq)]
struct Told {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<String>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    let name = format!("__connect.errors.{name}");
    let (_, value) = seen.headers.iter().find(|(candidate, _)| *candidate == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

/// The original's output as a replay must give it.
fn expected(seen: &Seen, mapping: Mapping) -> Told {
    let code = header(seen, "exception.class.name");
    let is_command = !matches!(code, Some("invalid" | "too_large"));
    let value = seen.value.as_deref().map(|value| match serde_json::from_slice::<Value>(value) {
        Ok(mut value) if is_command => {
            mapping.object(&mut value);
            value.to_string()
        }
        _ => String::from_utf8_lossy(value).into_owned(),
    });
    let mut headers = told_headers(seen);
    for (name, value) in &mut headers {
        if name == "__connect.errors.timestamp" {
            let own: i64 = std::str::from_utf8(value.as_ref().unwrap()).unwrap().parse().unwrap();
            *value = Some(mapping.time(own).to_string().into_bytes());
        }
    }
    Told { timestamp: mapping.time(seen.timestamp), key: seen.key.clone(), value, headers }
}

/// A replay's output.
fn found(seen: &Seen, tag: &str) -> Told {
    let code = header(seen, "exception.class.name");
    let is_command = !matches!(code, Some("invalid" | "too_large"));
    let value = seen.value.as_deref().map(|value| match serde_json::from_slice::<Value>(value) {
        Ok(value) if is_command => without_hashes(&value.to_string(), tag),
        _ => String::from_utf8_lossy(value).into_owned(),
    });
    let (timestamp, key) = (seen.timestamp, seen.key.clone());
    Told { timestamp, key, value, headers: told_headers(seen) }
}

/// All but the topic's name, and the text for people.
fn told_headers(seen: &Seen) -> Vec<(String, Option<Vec<u8>>)> {
    let varies = ["__connect.errors.topic", "__connect.errors.exception.message"];
    seen.headers.iter().filter(|(name, _)| !varies.contains(&name.as_str())).cloned().collect()
}

#[track_caller]
fn same_outputs(original: &Stage, replayed: &Stage, mapping: Mapping) {
    for topic in ["orders", ANSWERS[0], ANSWERS[1], ANSWERS[2]] {
        for partition in 0..original.partitions {
            let (before, after) =
                (original.read(topic, partition), replayed.read(topic, partition));
            assert_eq!(before.len(), after.len(), "{topic} {partition}");
            if topic == "orders" {
                continue;
            }
            for (before, after) in before.iter().zip(&after) {
                let told = found(after, mapping.tag);
                assert_eq!(told, expected(before, mapping), "{topic} {partition}: {before:?}");
            }
        }
    }
    assert_eq!(counters(replayed, 0), counters(original, mapping.shift_ms / DAY_MS));
}

/// The last counters of each key, so many days later; which record they were written behind is the wall
/// clock's choice.
fn counters(stage: &Stage, days: i64) -> BTreeMap<String, Value> {
    let mut counters = BTreeMap::new();
    for (_, mut value) in stage.counters() {
        let day = format!("{}T00:00:00Z", value["day"].as_str().unwrap());
        let Ok(drill::recording::moment::Moment::Time(day_ms)) = day.parse() else {
            panic!("{day}")
        };
        let day_ms = (day_ms + days * DAY_MS).unsigned_abs();
        value["day"] = drill::recording::moment::told(day_ms)[..10].into();
        if value["dimension"] == "minute" {
            let minute: i64 = value["value"].as_str().unwrap().parse().unwrap();
            value["value"] = (minute + days * 24 * 60).to_string().into();
        }
        let object = value.as_object_mut().unwrap();
        object.remove("offset");
        object.remove("at");
        let name = |field: &str| object[field].to_string();
        let key = ["partition", "day", "dimension", "value"].map(name).join("/");
        counters.insert(key, value);
    }
    counters
}

#[test]
fn a_recording_replayed_twice_gives_the_originals_outputs_up_to_ids_and_times() {
    let records = hostile(2);
    let Some(original) = settled(&records, 2) else { return };
    let to = place(&original, "recording");
    let told = record(&original, &to, &[]).expect_code(0).json();
    assert_eq!(told["records"], records.len());

    let (first, ended) = replayed(2, &to, &["--tag", "one", "--unpaced"]);
    assert_eq!(ended.json()["commands"]["sent"], records.len(), "{ended:#?}");
    assert_eq!(ended.json()["latency"]["answers"], 0, "nothing was due");
    ended.expect_code(0);
    same_outputs(&original, &first, Mapping::between(&original, &first, "one"));

    let (second, ended) =
        replayed(2, &to, &["--tag", "two", "--speed", "100", "--longest-pause", "1"]);
    let report = ended.json();
    assert!(report["latency"]["answers"].as_u64() > Some(600), "{ended:#?}");
    // Times of day that were not brought back to when records were due would be hours off.
    assert!(report["latency"]["max_ms"].as_u64() < Some(60_000), "{ended:#?}");
    ended.expect_code(0);
    same_outputs(&original, &second, Mapping::between(&original, &second, "two"));
}

/// Both into the same topics: the second is not taken for a repetition of the first.
#[test]
fn the_once_rule_swallows_no_second_replay() {
    let Some(stage) = settled(&hostile(2), 2) else { return };
    let to = place(&stage, "recording");
    record(&stage, &to, &[]).expect_code(0);
    let before = answers(&stage);
    let settle = stage.settle("again");
    replay(&stage, &to, &["--unpaced"]).expect_code(0);
    settle.stop();
    let (placed, again) = (before["hold.placed"], answers(&stage)["hold.placed"]);
    // Stock and limits are what the first left of them, so not every order is accepted again.
    assert!(again > placed + placed / 2, "{placed} holds, then {again}");
}

/// Answers by type, reason and code.
fn answers(stage: &Stage) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for seen in ANSWERS.iter().flat_map(|topic| stage.read_all(topic)) {
        let name = match header(&seen, "exception.class.name") {
            Some(code) => code.to_owned(),
            None => {
                let value = seen.json();
                [&value["type"], &value["reason"]]
                    .map(|part| part.as_str().unwrap_or_default())
                    .join(" ")
            }
        };
        *counted.entry(name.trim_end().to_owned()).or_default() += 1;
    }
    counted
}

#[test]
fn a_pseudonymised_recording_names_no_buyer_and_no_order_and_does_the_same() {
    let Some(original) = settled(&hostile(2), 2) else { return };
    let secret = place(&original, "secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    let to = place(&original, "recording");
    let flags = ["--pseudonymise", "--secret-file", &secret.display().to_string()];
    let told = record(&original, &to, &flags).expect_code(0).json();
    assert!(told["pseudonymised"]["values"].as_u64() > Some(3), "{told}");
    assert!(told["pseudonymised"]["headers"].as_u64() > Some(10), "{told}");

    let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
    let recorded = all(&open(&to)).into_iter().filter_map(|record| record.value);
    let texts: Vec<String> = recorded.map(text).collect();
    let kept = named(texts.iter().map(String::as_bytes));
    let seen = original.read_all("orders");
    let names = named(seen.iter().filter_map(|seen| seen.value.as_deref()));
    assert!(names.len() > 1_000 && kept.len() > 1_000);
    assert_eq!(names.intersection(&kept).next(), None);
    assert!(texts.iter().all(|text| !text.contains("note") && !text.contains("a\\\"b")));

    let (replayed, ended) = replayed(2, &to, &["--unpaced"]);
    ended.expect_code(0);
    assert_eq!(answers(&replayed), answers(&original));
}

/// Who and what is named in commands, with the field that names it.
fn named<'a>(values: impl Iterator<Item = &'a [u8]>) -> BTreeSet<(&'static str, String)> {
    let fields = ["order_id", "payment_id", "refund_id", "receipt_id", "buyer_id"];
    let commands = values.filter_map(|value| serde_json::from_slice::<Value>(value).ok());
    let names = commands.flat_map(|command| {
        let name = |field| command.get(field).map(|name| (field, name.to_string()));
        fields.into_iter().filter_map(name).collect::<Vec<_>>()
    });
    names.collect()
}

fn open(place: &Path) -> Recording {
    Recording::open(Objects::in_directory(place).unwrap(), &place.display().to_string()).unwrap()
}

fn all(recording: &Recording) -> Vec<drill::recording::Record> {
    let partitions = recording.manifest().partitions.len() as u32;
    (0..partitions).flat_map(|partition| recording.records(partition)).map(Result::unwrap).collect()
}

#[test]
fn a_recording_holds_every_record_as_it_was() {
    let Some(stage) = Stage::new(3, Stamps::Create) else { return };
    stage.publisher().publish(&hostile(3));
    let to = place(&stage, "recording");
    record(&stage, &to, &[]).expect_code(0);
    let recording = open(&to);
    for partition in 0..3 {
        let read = recording.records(partition).map(Result::unwrap).map(|record| Seen {
            offset: record.offset.cast_signed(),
            timestamp: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: record.headers,
        });
        assert_eq!(read.collect::<Vec<_>>(), stage.read("orders", partition));
    }
}

#[test]
fn a_part_of_a_topic_is_recorded_by_offset_by_time_and_as_it_grows() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let mut shop = Shop::in_partition(0, 1);
    let start = shop.now_ms;
    let records: Vec<Record> = (0..100).map(|_| shop.place()).collect();
    stage.publisher().publish(&records);
    let offsets = |name: &str, flags: &[&str]| {
        let to = place(&stage, name);
        record(&stage, &to, flags).expect_code(0);
        all(&open(&to)).iter().map(|record| record.offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets("a", &["--since", "10", "--until", "20"]), (10..20).collect::<Vec<_>>());
    // 2025-11-10T15:59:00Z is when the shop opens.
    assert_eq!(start, 1_762_790_340_000);
    assert!(offsets("b", &["--until", "2025-11-10T15:59:00Z"]).is_empty());
    assert_eq!(
        offsets("c", &["--since", "2025-11-10T23:59:00+08:00"]),
        (0..100).collect::<Vec<_>>()
    );
    let ended = record(&stage, &place(&stage, "d"), &["--since", "101"]);
    assert!(ended.stderr.contains("holds offsets 0 up to 100"), "{ended:#?}");

    let to = place(&stage, "e");
    let to_text = to.display().to_string();
    let mut command = floodgate();
    let flags = ["--to", &to_text, "--follow", "--since", "90"];
    command.args(stage.arguments(&["drill", "record"], &flags));
    let following = Process::spawn(command);
    // It says what it has every five seconds.
    await_some("ten records", || (following.times_said("10 records") > 0).then_some(()));
    stage.publisher().publish(&[shop.place()]);
    await_some("eleven records", || (following.times_said("11 records") > 0).then_some(()));
    following.stop();
    assert_eq!(all(&open(&to)).len(), 11);
    assert!(!open(&to).manifest().stopped_early);
}

#[test]
fn a_replay_into_another_number_of_partitions_sends_every_key_where_it_belongs() {
    let Some(stage) = Stage::new(2, Stamps::Create) else { return };
    stage.publisher().publish(&hostile(2));
    let to = place(&stage, "recording");
    record(&stage, &to, &[]).expect_code(0);
    let (replayed, ended) = replayed(3, &to, &["--unpaced"]);
    ended.expect_code(0);
    assert_eq!(replayed.read_all("orders").len(), stage.read_all("orders").len());
    for partition in 0..3 {
        for seen in replayed.read("orders", partition) {
            let Some(key) = seen.key else { continue };
            assert_eq!(partition_of(&key, 3), partition);
        }
    }
}

/// Answers carry T, and what is behind it would be told at a latency of 0.
#[test]
fn a_replay_behind_a_later_record_has_no_latency_at_all() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let to = place(&stage, "recording");
    stage.publisher().publish(&Shop::in_partition(0, 1).sell(5));
    record(&stage, &to, &[]).expect_code(0);
    let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let timestamp = i64::try_from(since_1970).unwrap() + DAY_MS;
    stage.publisher().publish(&[Record { timestamp, ..Record::default() }]);
    let ended = replay(&stage, &to, &[]).expect_code(1);
    assert!(ended.stderr.contains("name a fresh prefix"), "{ended:#?}");
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_refused_and_named() {
    let Some(stage) = Stage::new(1, Stamps::Create) else { return };
    let to = place(&stage, "recording");
    stage.publisher().publish(&Shop::in_partition(0, 1).sell(5));
    record(&stage, &to, &[]).expect_code(0);
    let refuses = |ended: Ended, what: &[&str]| {
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        what.iter().for_each(|what| assert!(ended.stderr.contains(what), "{what}: {ended:#?}"));
    };
    refuses(record(&stage, &to, &[]), &["holds a recording", "--to"]);
    refuses(replay(&stage, &place(&stage, "nowhere"), &[]), &["there is no directory", "nowhere"]);
    let from = to.display().to_string();
    let real = ["drill", "replay", "--brokers", &stage.brokers, "--from", &from];
    refuses(run(&real), &["--yes-into-production"]);

    let chunk = to.join("000000").join("000000000000.chunk");
    let whole = std::fs::read(&chunk).unwrap();
    std::fs::write(&chunk, &whole[..whole.len() - 1]).unwrap();
    refuses(replay(&stage, &to, &["--unpaced"]), &["000000000000.chunk", "damaged or cut off"]);
    std::fs::remove_file(&chunk).unwrap();
    refuses(replay(&stage, &to, &["--unpaced"]), &["000000000000.chunk", "is missing"]);
    std::fs::write(&chunk, &whole).unwrap();
    let manifest = to.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    refuses(replay(&stage, &to, &[]), &["manifest.json", "version 2", "reads version 1"]);
    std::fs::remove_file(&manifest).unwrap();
    refuses(replay(&stage, &to, &[]), &["not finished", "record again"]);
}
