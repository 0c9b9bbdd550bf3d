//! Recordings written, read, damaged and rewritten, without a Kafka.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use model::{InputRecord, Output, PlainPartition, Rules};
use pipeline::objects::Objects;
use proptest::prelude::*;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::chunk::{Header, append, open, seal};
use super::moment::DAY_MS;
use super::rewrite::{Checker, Kind, rewrite};
use super::*;
use crate::load::{LoadError, Meter, Publisher, WallClock};
use crate::traffic::{Settings, Traffic};

const START_MS: i64 = 1_762_790_340_000;

fn header(records: u32) -> Header {
    Header {
        recording: 7,
        topic: "orders".to_owned(),
        partitions: 2,
        partition: 1,
        number: 3,
        records,
        pseudonymised: false,
    }
}

fn chunk(records: &[Record]) -> Vec<u8> {
    let mut body = Vec::new();
    records.iter().for_each(|record| append(record, &mut body).unwrap());
    seal(&header(records.len() as u32), &body).unwrap()
}

fn record(offset: u64, timestamp_ms: i64, value: &str) -> Record {
    let headers = vec![("trace".to_owned(), Some(vec![0, 255])), ("trace".to_owned(), None)];
    let (key, value) = (Some(b"1001".to_vec()), Some(value.as_bytes().to_vec()));
    Record { offset, timestamp_ms, key, value, headers }
}

fn few() -> Vec<Record> {
    let nothing = Record { offset: 9, timestamp_ms: -1, ..Record::default() };
    vec![record(4, START_MS, "{}"), nothing, record(11, i64::MAX, "\u{0}not JSON")]
}

fn traffic(orders: u64, partitions: u32) -> Vec<(u32, Record)> {
    let traffic = Traffic::new(Settings::default(), orders, 3, partitions, START_MS);
    let mut ends = vec![0; partitions as usize];
    traffic
        .map(|sent| {
            let end = &mut ends[sent.partition as usize];
            *end += 1;
            let record = Record {
                offset: *end - 1,
                timestamp_ms: sent.timestamp_ms,
                key: sent.key().map(<[u8]>::to_vec),
                value: sent.value().map(<[u8]>::to_vec),
                headers: Vec::new(),
            };
            (sent.partition, record)
        })
        .collect()
}

fn recorder(place: &Path, pseudonyms: Option<Pseudonyms>) -> Result<Recorder, RecordingError> {
    let objects = Objects::in_directory(place).unwrap();
    Recorder::new(objects, &place.display().to_string(), 7, "orders", 2, pseudonyms)
}

fn reopened(place: &Path) -> Result<Recording, RecordingError> {
    Recording::open(Objects::in_directory(place).unwrap(), &place.display().to_string())
}

fn any_record() -> impl Strategy<Value = Record> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let headers = proptest::collection::vec((".{0,8}", bytes()), 0..3);
    (any::<u64>(), any::<i64>(), bytes(), bytes(), headers).prop_map(
        |(offset, timestamp_ms, key, value, headers)| Record {
            offset,
            timestamp_ms,
            key,
            value,
            headers,
        },
    )
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_the_same(records in proptest::collection::vec(any_record(), 0..20)) {
        let opened = open(&chunk(&records)).unwrap();
        prop_assert_eq!(opened, (header(records.len() as u32), records));
    }

    #[test]
    fn any_bytes_are_refused_or_opened_but_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&bytes).is_err());
        prop_assert!(Manifest::read(&bytes).is_err());
    }
}

#[test]
fn every_flipped_bit_and_every_missing_byte_of_a_chunk_is_noticed() {
    let whole = chunk(&few());
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&damaged).is_err(), "bit {bit}");
    }
    for length in 0..whole.len() {
        assert!(open(&whole[..length]).is_err(), "{length} bytes");
    }
    assert!(open(&[&whole[..], &[0]].concat()).is_err());
}

#[test]
fn every_flipped_bit_and_every_missing_byte_of_a_manifest_is_noticed() {
    let mut manifest = Manifest::new(7, "orders", 2);
    manifest.pseudonymised = Some(Withheld::default());
    let whole = manifest.to_text().into_bytes();
    let read = Manifest::read(&whole).unwrap();
    assert_eq!(read.to_text().into_bytes(), whole);
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::read(&damaged).is_err(), "bit {bit}");
    }
    for length in 0..whole.len() {
        assert!(Manifest::read(&whole[..length]).is_err(), "{length} bytes");
    }
}

/// A later program may check another way: so its version comes before the checksum.
#[test]
fn files_of_a_later_version_and_of_others_are_told_apart() {
    let mut later = chunk(&few());
    later[7] = 9;
    assert_eq!(open(&later), Err(Damage::Version(9)));
    assert_eq!(open(b"FLDGATE\x01"), Err(Damage::Foreign));
    let text = Manifest::new(7, "orders", 2).to_text();
    let later = text.replace("\"version\": 1", "\"version\": 900");
    assert_eq!(Manifest::read(later.as_bytes()), Err(Damage::Version(900)));
    assert_eq!(Manifest::read(b"{}"), Err(Damage::Foreign));
}

/// A header that a writer at fault filled in: the checksum holds.
#[test]
fn a_chunk_that_does_not_hold_what_it_says_is_refused() {
    let mut body = Vec::new();
    few().iter().for_each(|record| append(record, &mut body).unwrap());
    for records in [2, 4, u32::MAX] {
        assert_eq!(open(&seal(&header(records), &body).unwrap()), Err(Damage::Content));
    }
    let mut bytes = chunk(&few());
    bytes.truncate(bytes.len() - 40);
    bytes.extend(xxh3_128(&bytes).to_le_bytes());
    assert_eq!(open(&bytes), Err(Damage::Content));
}

/// Recordings are kept for years: what this program wrote once it reads for ever.
#[test]
fn a_chunk_of_version_1_is_read() {
    let written = include_bytes!("../../../../fuzz/corpus/recording/chunk-of-version-1");
    assert_eq!(open(written), Ok((header(3), few())));
}

#[test]
fn records_come_back_partition_by_partition_and_in_the_order_of_time() {
    let directory = tempfile::tempdir().unwrap();
    let records = traffic(16_000, 2);
    let mut recorder = recorder(directory.path(), None).unwrap();
    for (partition, record) in &records {
        recorder.push(*partition, record.clone()).unwrap();
    }
    let written = recorder.finish(false).unwrap();
    assert!(written.partitions.iter().all(|part| part.chunks > 1), "{written:?}");
    let recording = reopened(directory.path()).unwrap();
    assert_eq!(recording.manifest().to_text(), written.to_text());
    for partition in 0..2 {
        let of_partition = records.iter().filter(|(found, _)| *found == partition);
        let expected: Vec<Record> = of_partition.map(|(_, record)| record.clone()).collect();
        let read: Vec<Record> = recording.records(partition).map(Result::unwrap).collect();
        assert_eq!(read, expected);
    }
    let by_time: Vec<_> = recording.by_time().unwrap().map(Result::unwrap).collect();
    assert_eq!(by_time.len(), records.len());
    assert!(by_time.is_sorted_by_key(|recorded| recorded.t_ms));
    for partition in 0..2 {
        let of_partition = by_time.iter().filter(|recorded| recorded.partition == partition);
        assert!(of_partition.map(|recorded| recorded.record.offset).is_sorted());
    }
}

/// One clock ahead must not let a record overtake the one before it in its partition.
#[test]
fn clocks_that_jump_change_no_order_within_a_partition() {
    let directory = tempfile::tempdir().unwrap();
    let mut recorder = recorder(directory.path(), None).unwrap();
    let times: [(u32, i64); 7] =
        [(0, 50), (1, 40), (0, 10), (0, -1), (1, 60), (0, i64::MAX), (0, 70)];
    for (offset, (partition, timestamp_ms)) in (0..).zip(times) {
        recorder.push(partition, record(offset, timestamp_ms, "{}")).unwrap();
    }
    recorder.finish(false).unwrap();
    let recording = reopened(directory.path()).unwrap();
    let by_time = recording.by_time().unwrap().map(Result::unwrap);
    let order: Vec<(u64, u64)> = by_time.map(|found| (found.record.offset, found.t_ms)).collect();
    assert_eq!(order, [(1, 40), (0, 50), (2, 50), (3, 50), (5, 50), (4, 60), (6, 70)]);
}

#[test]
fn a_recording_that_is_not_whole_says_which_file_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let refusal = |place: &Path| {
        let recording = reopened(place).map_err(|error| error.to_string())?;
        let read = (0..2)
            .flat_map(|partition| recording.records(partition))
            .try_for_each(|read| read.map(drop));
        read.map_err(|error| error.to_string())
    };
    assert!(refusal(place).unwrap_err().contains("there is no recording"));
    let mut first = recorder(place, None).unwrap();
    for (partition, record) in traffic(16_000, 2) {
        first.push(partition, record).unwrap();
    }
    // Its recorder dies.
    drop(first);
    assert!(refusal(place).unwrap_err().contains("was not finished"));
    assert!(matches!(recorder(place, None), Err(RecordingError::Taken(_))));

    let place = &place.join("again");
    let mut again = recorder(place, None).unwrap();
    for (partition, record) in traffic(16_000, 2) {
        again.push(partition, record).unwrap();
    }
    again.finish(false).unwrap();
    assert_eq!(refusal(place), Ok(()));
    let chunk = |number: u32| place.join(format!("000001/{number:012}.chunk"));
    let (zero, one) = (std::fs::read(chunk(0)).unwrap(), std::fs::read(chunk(1)).unwrap());
    std::fs::write(chunk(1), &zero).unwrap();
    let told = refusal(place).unwrap_err();
    assert!(
        told.contains("000000000001.chunk") && told.contains("chunk 0 of partition 1"),
        "{told}"
    );
    std::fs::write(chunk(1), &one[..100]).unwrap();
    assert!(refusal(place).unwrap_err().contains("damaged or cut off"));
    std::fs::remove_file(chunk(1)).unwrap();
    assert!(refusal(place).unwrap_err().contains("is missing"));
    let mut foreign = open(&one).unwrap();
    foreign.0.recording = 8;
    let mut body = Vec::new();
    foreign.1.iter().for_each(|record| append(record, &mut body).unwrap());
    std::fs::write(chunk(1), seal(&foreign.0, &body).unwrap()).unwrap();
    assert!(refusal(place).unwrap_err().contains("it belongs to"));
}

/// There and back: other ids and times leave every other byte where it was.
#[test]
fn a_command_with_fresh_ids_and_times_is_otherwise_the_same_bytes() {
    let there = Fresh::new("a", 3 * DAY_MS).unwrap();
    let back = Fresh::new("b", -3 * DAY_MS).unwrap();
    let mut checker = Checker::new();
    let mut commands = 0;
    for (_, record) in traffic(2_000, 1) {
        let kind = checker.kind_of(&record);
        let Some(value) = &record.value else { continue };
        if matches!(kind, Kind::Invalid | Kind::TooLarge) {
            let mut replayed = record.clone();
            there.apply(&mut replayed, false);
            assert_eq!(replayed.value, record.value, "what is no command is not touched");
            continue;
        }
        commands += 1;
        let fresh = rewrite(value, &there).expect("a command can be rewritten");
        let restored = String::from_utf8(rewrite(&fresh, &back).unwrap()).unwrap();
        let original = std::str::from_utf8(value).unwrap();
        assert_eq!(restored.replace("\"b.a.", "\""), original);
        assert_eq!(has_ids_or_times(original), fresh != *value, "{original}");
    }
    assert!(commands > 4_000, "{commands}");
}

fn has_ids_or_times(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap();
    let fields = ["order_id", "receipt_id"];
    value["type"] != "tick" && fields.iter().any(|field| value.get(field).is_some())
}

#[test]
fn ids_and_times_of_each_command_are_fresh_and_nothing_else_is() {
    let fresh = Fresh::new("t1", 1_000).unwrap();
    let cases = [
        (
            r#"{"type":"order.placed","merchant_id":"1","order_id":"A","buyer_id":"007","placed_at":5,"lines":[{"sku":1,"qty":1,"unit_price":9,"placed_at":5}],"pay_by":7,"presale":{"deposit":1,"balance_due":8,"at":8},"note":{"order_id":"A"}}"#,
            r#"{"type":"order.placed","merchant_id":"1","order_id":"t1.A","buyer_id":"007","placed_at":1005,"lines":[{"sku":1,"qty":1,"unit_price":9,"placed_at":5}],"pay_by":1007,"presale":{"deposit":1,"balance_due":1008,"at":8},"note":{"order_id":"A"}}"#,
        ),
        (
            r#"{ "type" : "order.paid" , "payment_id":"\u0041", "order_id":"A","merchant_id":1,"amount":1,"paid_at" :0, "paid_by":3 } "#,
            r#"{ "type" : "order.paid" , "payment_id":"t1.A", "order_id":"t1.A","merchant_id":1,"amount":1,"paid_at" :1000, "paid_by":3 } "#,
        ),
        (
            r#"{"order\u005fid":"A","placed_at":5,"merchant_id":1,"type":"order.cancelled"}"#,
            r#"{"order\u005fid":"t1.A","placed_at":5,"merchant_id":1,"type":"order.cancelled"}"#,
        ),
        (
            r#"{"type":"order.refunded","merchant_id":1,"refund_id":"R","order_id":"A","refunded_at":2,"amount":1,"lines":[],"channel":"\"x\""}"#,
            r#"{"type":"order.refunded","merchant_id":1,"refund_id":"t1.R","order_id":"t1.A","refunded_at":1002,"amount":1,"lines":[],"channel":"\"x\""}"#,
        ),
        (
            r#"{"type":"stock.received","merchant_id":1,"receipt_id":"C","received_at":3,"sku":1,"qty":1}"#,
            r#"{"type":"stock.received","merchant_id":1,"receipt_id":"t1.C","received_at":1003,"sku":1,"qty":1}"#,
        ),
        (
            r#"{"type":"stock.moved","merchant_id":1,"receipt_id":"C","received_at":1000000000000000,"sku":1,"qty":1,"from":1,"to":2}"#,
            r#"{"type":"stock.moved","merchant_id":1,"receipt_id":"t1.C","received_at":1000000000000000,"sku":1,"qty":1,"from":1,"to":2}"#,
        ),
        (
            r#"{"type":"sku.listed","merchant_id":1,"sku":2,"order_id":"A","placed_at":1}"#,
            r#"{"type":"sku.listed","merchant_id":1,"sku":2,"order_id":"A","placed_at":1}"#,
        ),
        (r#"{"type":"tick","order_id":7}"#, r#"{"type":"tick","order_id":7}"#),
    ];
    for (value, expected) in cases {
        let mut given = record(0, 0, value);
        given.key = Some(b"1".to_vec());
        let kind = Checker::new().kind_of(&given);
        assert!(matches!(kind, Kind::Command { .. } | Kind::Tick), "{kind:?}: {value}");
        let rewritten = rewrite(value.as_bytes(), &fresh).unwrap();
        assert_eq!(String::from_utf8(rewritten).unwrap(), expected);
    }
}

/// An order of 262,144 bytes is an order, and it is one with a longer id too.
#[test]
fn a_command_that_would_become_too_large_gives_up_what_means_nothing() {
    let command = |padding: usize| {
        let pad = "x".repeat(padding);
        format!(
            r#"{{"type":"order.paid","merchant_id":1001,"payment_id":"P","order_id":"A","amount":1,"paid_at":5,"pad":"{pad}"}}"#
        )
    };
    let room = wire::decode::VALUE_BYTES_MAX - command(0).len();
    let fresh = Fresh::new("t", 0).unwrap();
    let replayed = |padding| {
        let mut given = record(0, 5, &command(padding));
        fresh.apply(&mut given, true);
        assert_eq!(Checker::new().kind_of(&given), Kind::Command { places: false });
        String::from_utf8(given.value.unwrap()).unwrap()
    };
    assert_eq!(replayed(room - 4).len(), wire::decode::VALUE_BYTES_MAX);
    let terse = r#"{"type":"order.paid","merchant_id":1001,"payment_id":"t.P","order_id":"t.A","amount":1,"paid_at":5}"#;
    assert_eq!(replayed(room - 3), terse);
    assert_eq!(replayed(room), terse);
}

#[test]
fn a_fresh_id_is_an_id_and_no_other_ones() {
    let [one, two] = ["a", "1234567"].map(|tag| Fresh::new(tag, 0).unwrap());
    let mut seen = std::collections::BTreeSet::new();
    for length in 1..=40 {
        for letter in ["x", "y"] {
            let id = letter.repeat(length);
            for fresh in [&one, &two] {
                let id = rewrite_id(fresh, &id);
                assert!(id.len() <= 40 && seen.insert(id.clone()), "{id}");
            }
        }
    }
    for tag in ["", "12345678", "a.b", "ä"] {
        assert!(Fresh::new(tag, 0).is_err(), "{tag}");
    }
}

fn rewrite_id(fresh: &Fresh, id: &str) -> String {
    let value = format!(r#"{{"type":"order.cancelled","merchant_id":1,"order_id":"{id}"}}"#);
    let rewritten: Value =
        serde_json::from_slice(&rewrite(value.as_bytes(), fresh).unwrap()).unwrap();
    rewritten["order_id"].as_str().unwrap().to_owned()
}

#[test]
fn times_are_shifted_by_whole_days_into_the_past_day() {
    let now_ms = 1_800_000_000_000;
    for first in [0, 1, 1_762_790_340_000, 1_800_000_000_000, 1_900_000_000_000] {
        let shift = Fresh::shift_to_today(first, now_ms);
        assert_eq!(shift % DAY_MS, 0);
        let begins = first.cast_signed() + shift;
        assert!((now_ms - DAY_MS + 1..=now_ms).contains(&begins), "{first} becomes {begins}");
    }
    let fresh = Fresh::new("a", DAY_MS).unwrap();
    let kept = [-1, i64::MIN, i64::MAX, 1_000_000_000_000_001];
    assert_eq!(kept.map(|time_ms| fresh.timestamp_ms(time_ms)), kept, "none of them is a time");
    assert_eq!(fresh.timestamp_ms(5), DAY_MS + 5);
}

/// What the plain model answers to each record of a partition.
fn answers(records: &[Record]) -> Vec<Vec<Output>> {
    let mut model = PlainPartition::new(Rules { partitions: 1, ..Rules::default() }, 0);
    let apply = |record: &Record| {
        let Record { offset, timestamp_ms: timestamp, key, value, headers } = record.clone();
        model.apply(&InputRecord { offset, timestamp, key, value, headers })
    };
    records.iter().map(apply).collect()
}

/// Answers without what may differ: topic, timestamp, and fields that are neither an id nor a time.
fn plain(answers: &[Vec<Output>], shift_ms: i64) -> Vec<Vec<(String, i64, Option<Value>)>> {
    let told = |output: &Output| {
        // A dead letter's value is the record's, which may be anything.
        let value = output.value.as_ref().filter(|_| output.topic != model::Topic::DeadLetters);
        let mut value: Option<Value> =
            value.map(|value| serde_json::from_slice(value).expect("an answer is JSON"));
        if let Some(object) = value.as_mut().and_then(Value::as_object_mut) {
            for hidden in ["order_id", "payment_id", "refund_id", "buyer_id"] {
                object.remove(hidden);
            }
            for time in ["at", "expires_at", "placed_at"] {
                if let Some(time) = object.get_mut(time) {
                    *time = (time.as_i64().unwrap() - shift_ms).into();
                }
            }
        }
        let code = |(name, _): &&(String, Option<Vec<u8>>)| name.ends_with("class.name");
        let code = output.headers.iter().find(code).and_then(|(_, code)| code.clone());
        let name = format!("{:?} {:?}", output.topic, code.map(String::from_utf8));
        (name, output.timestamp - shift_ms, value)
    };
    answers.iter().map(|outputs| outputs.iter().map(told).collect()).collect()
}

fn one_partition() -> Vec<Record> {
    traffic(1_500, 1).into_iter().map(|(_, record)| record).collect()
}

#[test]
fn a_pipeline_answers_a_replay_as_it_answered_the_original() {
    let records = one_partition();
    let original = plain(&answers(&records), 0);
    let fresh = Fresh::new("once", 40 * DAY_MS).unwrap();
    let mut checker = Checker::new();
    let mut replayed = records.clone();
    for record in &mut replayed {
        let kind = checker.kind_of(record);
        fresh.apply(record, !matches!(kind, Kind::Invalid | Kind::TooLarge));
    }
    let again = plain(&answers(&replayed), 40 * DAY_MS);
    for (record, (again, original)) in records.iter().zip(again.iter().zip(&original)) {
        assert_eq!(again, original, "offset {}", record.offset);
    }
    // Behind the original, in the same partition, none of it is taken for a repetition.
    let mut both = records.clone();
    both.extend(replayed);
    let again = &answers(&both)[records.len()..];
    let stock_answers = |answers: &[Vec<Output>]| answers.iter().flatten().count();
    assert!(stock_answers(again) * 10 > stock_answers(&answers(&records)) * 9);
}

#[test]
fn a_pipeline_answers_pseudonyms_as_it_answered_the_names() {
    let mut records = one_partition();
    let too_large = vec![b'x'; 300_000];
    let odd = Record { value: Some(too_large), ..records[5].clone() };
    records.push(odd);
    let original = plain(&answers(&records), 0);
    let mut pseudonyms = Pseudonyms::new(b"sixteen bytes are enough");
    let hidden: Vec<Record> =
        records.iter().cloned().map(|record| pseudonyms.hide(record)).collect();
    assert_eq!(plain(&answers(&hidden), 0), original);
    assert!(pseudonyms.withheld().values > 10, "{:?}", pseudonyms.withheld());
}

#[test]
fn pseudonyms_are_the_same_for_one_secret_and_others_for_another() {
    let hidden = |secret: &[u8], value: &str| {
        let given = Record { key: Some(b"1".to_vec()), ..record(0, 0, value) };
        let hidden = Pseudonyms::new(secret).hide(given);
        assert_eq!(hidden.headers, []);
        String::from_utf8(hidden.value.unwrap()).unwrap()
    };
    let value = r#"{"type":"order.placed","merchant_id":1,"name":"Li","order_id":"A","buyer_id":"7","placed_at":5,"lines":[{"sku":1,"qty":1,"unit_price":9,"gift":"for Li"}],"channel":"by Li","presale":null,"fulfilment":{"mode":"ship","to":"Li"}}"#;
    let once = hidden(&[1; 16], value);
    assert_eq!(once, hidden(&[1; 16], value));
    assert_ne!(once, hidden(&[2; 16], value));
    assert!(!once.contains("Li") && once.contains(r#""channel":"other""#), "{once}");
    let fields: Value = serde_json::from_str(&once).unwrap();
    let order = fields["order_id"].as_str().unwrap();
    assert_eq!((order.len(), fields["buyer_id"].is_u64()), (32, true));
    let paid = |order: &str| {
        format!(
            r#"{{"type":"order.paid","merchant_id":1,"payment_id":"{order}","order_id":"{order}","amount":9,"paid_at":6}}"#
        )
    };
    let paid: Value = serde_json::from_str(&hidden(&[1; 16], &paid("A"))).unwrap();
    assert_eq!(paid["order_id"], order, "what refers to an order still does");
    assert_ne!(paid["payment_id"], order, "equal ids of different kinds are not linked");
}

/// A collision would make one buyer of two, and limits would hit the wrong ones.
#[test]
fn no_two_buyers_become_one() {
    use super::rewrite::Rewriting as _;
    let pseudonyms = Pseudonyms::new(&[3; 16]);
    let buyers = (0..50_000).chain((0..50_000).map(|buyer| u64::MAX - buyer));
    let hidden: std::collections::HashSet<u64> =
        buyers.map(|buyer| pseudonyms.buyer(buyer).unwrap()).collect();
    assert_eq!(hidden.len(), 100_000);
}

/// What stands under a key that is not the merchant's may be anything.
#[test]
fn keys_that_are_no_merchants_are_withheld_and_refused_as_before() {
    let cases = [
        ("1", r#"{"type":"order.cancelled","merchant_id":1,"order_id":"A"}"#, true),
        ("13812345678", r#"{"type":"order.cancelled","merchant_id":1,"order_id":"A"}"#, false),
        ("13812345678", r#"{"type":"tick","by":"Li"}"#, false),
        ("1", "Li", false),
    ];
    for (key, value, is_kept) in cases {
        let given = Record { key: Some(key.into()), ..record(0, 5, value) };
        let mut pseudonyms = Pseudonyms::new(&[3; 16]);
        let hidden = pseudonyms.hide(given.clone());
        assert_eq!(hidden.key.is_some(), is_kept, "{key} {value}");
        assert!(!String::from_utf8(hidden.value.clone().unwrap()).unwrap().contains("Li"));
        let code = |record: Record| plain(&answers(&[record]), 0);
        assert_eq!(code(hidden), code(given));
    }
}

/// A recording of so many records of one millisecond, each with a value of so many bytes.
fn of_one_moment(place: &Path, records: u64, bytes: usize) -> Recording {
    let mut recorder = recorder(place, None).unwrap();
    let value = "x".repeat(bytes);
    (0..records).for_each(|offset| recorder.push(1, record(offset, START_MS, &value)).unwrap());
    recorder.finish(false).unwrap();
    reopened(place).unwrap()
}

#[test]
fn large_records_fill_the_memory_while_they_wait_for_the_publisher() {
    let place = tempfile::tempdir().unwrap();
    let recording = of_one_moment(place.path(), 40, 100_000);
    let (fresh, timeline) = (Fresh::new("tag", 0).unwrap(), Timeline::new(START_MS, 0, 1.0, 1_000));
    let replay = Replay::new(&recording, &fresh, 2, Speed::Unpaced, &timeline);
    let (sender, batches) = sync_channel(40);
    replay.prepare(&sender).unwrap();
    drop(sender);
    let records: Vec<usize> = batches.iter().map(|batch| batch.len()).collect();
    assert_eq!(records.iter().sum::<usize>(), 40);
    assert!(records.iter().all(|records| *records <= 3), "{records:?}");
}

/// A publisher that is told to stop by its first record.
struct Stopped<'a> {
    published: u64,
    stop: &'a AtomicBool,
}

impl Publisher<Replayed> for Stopped<'_> {
    fn publish(&mut self, _: &Replayed) -> Result<(), LoadError> {
        self.published += 1;
        self.stop.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn serve(&mut self, _: Duration) {}

    fn flush(&mut self) -> Result<(), LoadError> {
        Ok(())
    }

    fn failed(&self) -> u64 {
        0
    }
}

#[test]
fn a_moment_of_many_records_is_published_to_its_end_by_whoever_was_stopped() {
    let place = tempfile::tempdir().unwrap();
    let recording = of_one_moment(place.path(), 5_000, 2);
    let (fresh, timeline) = (Fresh::new("tag", 0).unwrap(), Timeline::new(START_MS, 0, 1.0, 1_000));
    let replay = Replay::new(&recording, &fresh, 2, Speed::Times(1.0), &timeline);
    let (clock, stop) = (WallClock::new(), AtomicBool::new(false));
    let meter = Meter::new(clock.now_ms(), &[0, 0]);
    let mut publisher = Stopped { published: 0, stop: &stop };
    drive(&replay, &mut publisher, &clock, &meter, &stop).unwrap();
    assert!((1..1_000).contains(&publisher.published), "{}", publisher.published);
}
