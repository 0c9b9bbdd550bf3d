//! Contract section 5 where the example log does not reach: keys, timestamps and dead letters.

use crate::text_log::{header, record};
use crate::{Headers, InputRecord, Output, PlainPartition, Rules, Topic};

fn dead_letter_of(record: &InputRecord) -> Output {
    let mut partition =
        PlainPartition::new(Rules::default(), 0).with_input_topic("rehearsal.orders");
    let mut outputs = partition.apply(record);
    assert_eq!(outputs.len(), 1);
    outputs.remove(0)
}

fn input(key: &[u8], value: &[u8], headers: Headers) -> InputRecord {
    let (key, value) = (Some(key.to_vec()), Some(value.to_vec()));
    InputRecord { offset: 42, timestamp: -5, key, value, headers }
}

#[test]
fn an_output_has_its_own_merchants_key_and_the_partitions_time() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    partition.apply(&record(0, 10, "sku.listed 1"));
    partition.apply(&record(1, 10, "stock.received r qty=1"));
    partition.apply(&record(2, 10, "order.placed a pay_by=20"));
    let outputs = partition.apply(&record(3, 30, "order.placed b merchant_id=8"));
    let keys: Vec<&[u8]> = outputs.iter().filter_map(|output| output.key.as_deref()).collect();
    assert_eq!(keys, [b"7", b"8"]);
    assert!(outputs.iter().all(|output| output.timestamp == 30 && output.headers.is_empty()));
    let late = partition.apply(&record(4, 15, "order.placed c merchant_id=8"));
    assert_eq!(late[0].timestamp, 30, "T, not the record's own timestamp");
}

#[test]
fn a_dead_letter_keeps_the_original_and_says_where_it_came_from() {
    let original: Headers =
        vec![("trace".to_owned(), Some(b"\xff".to_vec())), ("empty".to_owned(), None)];
    let dead = dead_letter_of(&input(b"\xfe", b"\xfd", original.clone()));
    assert_eq!(dead.topic, Topic::DeadLetters);
    assert_eq!(
        (dead.key.as_deref(), dead.value.as_deref()),
        (Some(&b"\xfe"[..]), Some(&b"\xfd"[..]))
    );
    assert_eq!(dead.timestamp, 0);
    assert_eq!(dead.headers[..2], original[..]);
    let names: Vec<&str> = dead.headers[2..].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "__connect.errors.topic",
            "__connect.errors.partition",
            "__connect.errors.offset",
            "__connect.errors.timestamp",
            "__connect.errors.stage",
            "__connect.errors.exception.class.name",
            "__connect.errors.exception.message",
        ]
    );
    for (name, value) in [
        ("topic", "rehearsal.orders"),
        ("partition", "0"),
        ("offset", "42"),
        ("timestamp", "-5"),
        ("stage", "decode"),
        ("exception.class.name", "invalid"),
    ] {
        assert_eq!(header(&dead, name), value);
    }
}

#[test]
fn a_dead_letter_names_its_stage_and_the_right_partition() {
    let stage = |command: &str| header(&dead_letter_of(&record(0, 0, command)), "stage");
    assert_eq!(stage("sku.listed -1"), "decode");
    assert_eq!(stage("stock.received r qty=-1"), "apply");
    let misrouted = input(b"8", br#"{"type":"sku.withdrawn","merchant_id":7,"sku":1}"#, vec![]);
    assert_eq!(header(&dead_letter_of(&misrouted), "stage"), "route");
    let rules = Rules { partitions: 64, ..Rules::default() };
    let homes: Vec<u32> = (0..64)
        .filter(|number| {
            let mut partition = PlainPartition::new(rules.clone(), *number);
            partition.apply(&record(0, 0, "sku.listed 1")).is_empty()
        })
        .collect();
    let [home] = homes[..] else { panic!("one partition is right: {homes:?}") };
    let mut wrong = PlainPartition::new(rules, (home + 1) % 64);
    let dead = wrong.apply(&record(0, 0, "sku.listed 1")).remove(0);
    let message = header(&dead, "exception.message");
    assert!(message.ends_with(&format!(" {home}")), "{message}");
}

#[test]
fn a_dead_letter_that_is_too_large_leaves_parts_out_one_after_the_other() {
    let headers = |bytes: usize| vec![("h".to_owned(), Some(vec![b'h'; bytes - 1]))];
    // Sizes of key, value and headers; whether each is kept; what is named as missing.
    let table = [
        (1, 899_998, 1, [true, true, true], None),
        (1, 899_999, 1, [true, false, true], Some("value")),
        (1, 2_000_000, 899_999, [true, false, true], Some("value")),
        (2, 0, 899_999, [true, false, false], Some("value,headers")),
        (900_000, 10, 1, [true, false, false], Some("value,headers")),
        (900_001, 10, 1, [false, false, false], Some("value,headers,key")),
    ];
    for (key, value, header_bytes, kept, omitted) in table {
        let record = input(&vec![b'k'; key], &vec![b'v'; value], headers(header_bytes));
        let dead = dead_letter_of(&record);
        let has_headers = dead.headers.iter().any(|(name, _)| name == "h");
        let found = [dead.key.is_some(), dead.value.is_some(), has_headers];
        assert_eq!(found, kept, "{key} {value} {header_bytes}");
        let named = dead.headers.iter().any(|(name, _)| name == "__connect.errors.omitted");
        assert_eq!(named, omitted.is_some());
        if let Some(omitted) = omitted {
            assert_eq!(header(&dead, "omitted"), omitted);
        }
    }
}

#[test]
fn a_counter_record_says_which_counter_and_what_it_stands_at() {
    let mut partition = PlainPartition::new(Rules::default(), 0);
    partition.apply(&record(0, 5, "order.placed a"));
    let counters = partition.counters();
    let (key, counter) = counters.iter().next().unwrap();
    assert_eq!(counter.changed_at, 0);
    let output = counters.record(key, 3, 77).unwrap();
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    assert_eq!(text(&output.key), "0/1970-01-01/all/all");
    assert_eq!(
        text(&output.value),
        r#"{"partition":0,"day":"1970-01-01","dimension":"all","value":"all","orders_placed":0,"placed":0,"orders_settled":0,"units_settled":0,"settled":0,"orders_refunded":0,"refunded":0,"orders_rejected":1,"orders_released":0,"dead_letters":0,"duplicates":0,"offset":3,"at":77}"#
    );
    assert_eq!((output.timestamp, output.topic), (77, Topic::Gmv));
}
