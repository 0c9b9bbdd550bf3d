//! The fold of `gmv` records, judged by the plain model's counters of the same orders: those that the
//! audit compares with.

use std::collections::BTreeMap;

use board::{CounterRecord, Counters, Totals};
use drill::traffic::{Sent, Settings, Traffic};
use model::{InputRecord, PlainPartition, Rules};

const PARTITIONS: u32 = 3;
/// 2025-11-10 23:54:00 +8: most is sold before midnight, much of it ends after it.
const STARTS_AT_MS: i64 = 1_762_790_040_000;
const EIGHT_HOURS_MS: u64 = 28_800_000;

type Record = (Vec<u8>, Vec<u8>);

/// A day's counters by dimension and value.
type Sums = BTreeMap<(String, String, String), Counters>;

/// What the plain model counts of a sale: its records in their order, several for each counter, and
/// the sums that must come of them.
fn sale() -> (Vec<Record>, Sums) {
    let rules = Rules { partitions: PARTITIONS, ..Rules::default() };
    let new = |partition| PlainPartition::new(rules.clone(), partition).with_input_topic("orders");
    let mut partitions: Vec<PlainPartition> = (0..PARTITIONS).map(new).collect();
    let mut traffic = Traffic::new(Settings::default(), 4_000, 11, PARTITIONS, STARTS_AT_MS);
    let (mut sent, mut offsets) = (Sent::new(), [0; PARTITIONS as usize]);
    let mut records = Vec::new();
    let mut count = 0;
    while traffic.next_into(&mut sent) {
        let partition = sent.partition as usize;
        let record = InputRecord {
            offset: offsets[partition],
            timestamp: sent.timestamp_ms,
            key: sent.key().map(<[u8]>::to_vec),
            value: sent.value().map(<[u8]>::to_vec),
            headers: Vec::new(),
        };
        partitions[partition].apply(&record);
        offsets[partition] += 1;
        count += 1;
        if count % 1_500 == 0 {
            write(&partitions, &offsets, &mut records);
        }
    }
    write(&partitions, &offsets, &mut records);
    (records, sums(&partitions))
}

/// Every counter of every partition, as a record.
fn write(partitions: &[PlainPartition], offsets: &[u64], records: &mut Vec<Record>) {
    for (partition, offset) in partitions.iter().zip(offsets) {
        let counters = partition.counters();
        for (key, _) in counters.iter() {
            let output = counters.record(key, *offset, partition.time()).expect("it is counted");
            records
                .push((output.key.expect("a counter has a key"), output.value.expect("a value")));
        }
    }
}

fn sums(partitions: &[PlainPartition]) -> Sums {
    let mut sums = Sums::new();
    for (key, counter) in partitions.iter().flat_map(|partition| partition.counters().iter()) {
        let name = (key.day.to_string(), key.dimension.name().to_owned(), key.value.clone());
        let sum = sums.entry(name).or_default();
        let figures = counter.figures;
        let number = |figure: u128| u64::try_from(figure).expect("a small sale");
        sum.orders_placed += number(figures.orders_placed);
        sum.placed += figures.placed;
        sum.orders_settled += number(figures.orders_settled);
        sum.units_settled += number(figures.units_settled);
        sum.settled += figures.settled;
        sum.orders_refunded += number(figures.orders_refunded);
        sum.refunded += figures.refunded;
    }
    sums
}

fn fold<'a>(records: impl Iterator<Item = &'a Record>) -> Totals {
    let mut totals = Totals::new(EIGHT_HOURS_MS, 3);
    for (key, value) in records {
        totals.apply(&CounterRecord::read(Some(key), Some(value)).expect("it is a counter"));
    }
    totals
}

fn folded(totals: &Totals, sums: &Sums) -> Sums {
    let days = sums.keys().map(|(day, _, _)| day.clone());
    let days: std::collections::BTreeSet<String> = days.collect();
    let mut folded = Sums::new();
    for day in days {
        for (dimension, value, counters) in totals.counters(day.parse().expect("a day")) {
            folded.insert((day.clone(), dimension.to_owned(), value), counters);
        }
    }
    folded
}

#[test]
fn what_the_board_adds_up_is_what_the_audit_counts() {
    let (records, sums) = sale();
    let totals = fold(records.iter());
    assert_eq!(folded(&totals, &sums), sums);
    // The traffic reaches every dimension, and two days.
    let dimensions: std::collections::BTreeSet<&str> =
        sums.keys().map(|(_, dimension, _)| dimension.as_str()).collect();
    assert_eq!(dimensions.len(), 9);
    assert!(sums.contains_key(&("2025-11-10".into(), "all".into(), "all".into())), "{sums:?}");
}

#[test]
fn reading_again_changes_nothing_and_partitions_come_in_any_order() {
    let (records, sums) = sale();
    let twice = fold(records.iter().chain(&records));
    assert_eq!(folded(&twice, &sums), sums);
    let of = |partition: u32| {
        let prefix = format!("{partition}/");
        records.iter().filter(move |(key, _)| key.starts_with(prefix.as_bytes()))
    };
    let one_by_one = fold((0..PARTITIONS).rev().flat_map(of));
    assert_eq!(folded(&one_by_one, &sums), sums);
}

/// Compaction leaves each key's last record and nothing else.
#[test]
fn a_compacted_topic_gives_the_same_figures() {
    let (records, sums) = sale();
    let last: BTreeMap<&[u8], &Record> =
        records.iter().map(|record| (record.0.as_slice(), record)).collect();
    assert!(last.len() * 2 < records.len(), "nothing was compacted");
    assert_eq!(folded(&fold(last.into_values()), &sums), sums);
}

#[test]
fn a_deleted_counter_counts_nothing() {
    let (records, sums) = sale();
    let mut totals = fold(records.iter());
    for (key, _) in &records {
        totals.apply(&CounterRecord::read(Some(key), None).expect("a key names its counter"));
    }
    let left = folded(&totals, &sums);
    assert!(left.values().all(|counters| *counters == Counters::default()));
}
