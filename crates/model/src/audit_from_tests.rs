//! The audit from the middle of a partition's life: it judges all that comes from there on, as if it
//! had begun at 0, and nothing that was before.

use std::convert::Infallible;

use crate::audit_tests::{
    DEAD_LETTERS, Figures, GMV, Log, NONE, SETTLED, STATUS, replace, sale, text_of,
};
use crate::example_tests::example_inputs;
use crate::text_log::record;
use crate::{
    AuditError, OutputRecord, PartitionVerdict, PlainPartition, Rules, audit_partition_from,
};

/// The verdict of an audit that begins before the input record of this number.
fn judge_from(log: &Log, number: usize) -> PartitionVerdict {
    let mut model = PlainPartition::new(log.rules.clone(), 0);
    log.inputs[..number].iter().for_each(|input| drop(model.apply(input)));
    let starts_at = log.inputs.get(number).map_or(log.committed, |input| input.offset);
    let mut cut = log.from(starts_at);
    cut.inputs.drain(..number);
    audit_partition_from(model, cut).unwrap()
}

#[track_caller]
fn expect_from(log: &Log, number: usize, figures: Figures) {
    let found = judge_from(log, number);
    assert_eq!(Figures::of(&found.verdict), figures, "from {number}: {:#?}", found.findings);
}

fn cause_of(record: &OutputRecord) -> u64 {
    let digits = match record.headers.iter().find(|(name, _)| name.ends_with("errors.offset")) {
        Some((_, value)) => String::from_utf8(value.clone().unwrap()).unwrap(),
        None => {
            let text = text_of(record);
            let (_, rest) = text.split_once("\"offset\":").unwrap();
            rest.split(',').next().unwrap().to_owned()
        }
    };
    digits.parse().unwrap()
}

#[test]
fn a_faultless_log_is_clean_from_everywhere_and_every_output_is_accounted_for() {
    for rhythm in [1, 7, 1_000] {
        let log = Log::of(&Rules::default(), example_inputs(), rhythm);
        for number in 0..=log.inputs.len() {
            expect_from(&log, number, NONE);
            let PartitionVerdict { verdict, starts_at, .. } = judge_from(&log, number);
            let before = |record: &&OutputRecord| cause_of(record) < starts_at;
            let before = log.topics.iter().flatten().filter(before).count();
            let outputs: usize = log.topics.iter().map(Vec::len).sum();
            assert_eq!(verdict.inputs, (log.inputs.len() - number) as u64);
            assert_eq!(verdict.outputs_not_checked, before as u64, "from {number}");
            assert_eq!(verdict.outputs, (outputs - before) as u64, "from {number}");
        }
    }
}

#[test]
fn the_first_output_of_the_beginning_is_judged_and_the_last_one_before_it_is_not() {
    let example = Log::of(&Rules::default(), example_inputs(), 7);
    for (topic, whole) in [(STATUS, sale(20)), (SETTLED, sale(20)), (DEAD_LETTERS, example)] {
        for index in 0..whole.topics[topic].len() {
            let cause = cause_of(&whole.topics[topic][index]);
            let number = whole.inputs.iter().position(|input| input.offset == cause).unwrap();
            let mut log = whole.clone();
            log.topics[topic].remove(index);
            expect_from(&log, number, Figures { lost: 1, ..NONE });
            expect_from(&log, number + 1, NONE);
        }
    }
}

#[test]
fn an_output_of_before_the_beginning_that_comes_after_it_is_different() {
    let whole = sale(40);
    let (half, middle) = (whole.inputs.len() / 2, whole.topics[STATUS].len() / 2);
    let starts_at = whole.inputs[half].offset;
    assert!(cause_of(&whole.topics[STATUS][middle / 4]) < starts_at);
    let mut log = whole.clone();
    let again = log.topics[STATUS][middle / 4].clone();
    log.topics[STATUS].push(again.clone());
    log.renumber(STATUS);
    expect_from(&log, half, Figures { different: 1, ..NONE });
    // Among those of before it is none of the audit's business.
    let mut log = whole;
    log.topics[STATUS].insert(middle / 3, again);
    log.renumber(STATUS);
    expect_from(&log, half, NONE);
}

#[test]
fn any_altered_output_is_different_from_wherever_the_audit_begins_before_it() {
    let whole = sale(12);
    for topic in [STATUS, SETTLED] {
        for index in 0..whole.topics[topic].len() {
            let mut log = whole.clone();
            log.topics[topic][index].timestamp += 1;
            for number in (0..log.inputs.len()).step_by(7) {
                let is_judged = cause_of(&log.topics[topic][index]) >= log.inputs[number].offset;
                let figures = Figures { different: u64::from(is_judged), ..NONE };
                expect_from(&log, number, figures);
            }
        }
    }
}

#[test]
fn the_last_record_of_a_counter_is_compared_though_it_was_written_before() {
    // Everything is written at every tenth input; the last inputs change little.
    let whole = Log::of(&Rules::default(), example_inputs(), 10);
    let number = 60;
    let starts_at = whole.inputs[number].offset;
    let last = |record: &&OutputRecord| {
        let same = |other: &&OutputRecord| other.key == record.key;
        whole.topics[GMV].iter().rfind(same).unwrap().offset == record.offset
    };
    let is_before = |record: &OutputRecord| cause_of(record) < starts_at;
    let (mut altered, mut ignored) = (0, 0);
    for index in 0..whole.topics[GMV].len() {
        let record = &whole.topics[GMV][index];
        let mut log = whole.clone();
        replace(&mut log.topics[GMV][index], "\"orders_placed\":", "\"orders_placed\":1");
        if is_before(record) && !last(&record) {
            ignored += 1;
            expect_from(&log, number, NONE);
        } else {
            altered += 1;
            expect_from(&log, number, Figures { miscounted: 1, ..NONE });
        }
    }
    assert!(altered > 10 && ignored > 10, "{altered} {ignored}");
}

#[test]
fn a_counter_that_was_unwritten_at_the_beginning_and_stays_so_is_miscounted() {
    let whole = Log::of(&Rules::default(), example_inputs(), 10);
    let unwritten = |log: &mut Log| {
        log.topics[GMV].retain(|record| cause_of(record) < 50);
    };
    let mut log = whole.clone();
    unwritten(&mut log);
    let missed = judge_from(&log, 0).verdict.miscounted;
    assert!(missed > 5, "{missed}");
    // The same counters are missed from wherever the audit begins.
    for number in [45, 50, 55, 61, 62] {
        expect_from(&log, number, Figures { miscounted: missed, ..NONE });
    }
}

#[test]
fn stock_of_before_can_be_sold_once() {
    let commands = [
        "sku.listed 1",
        "stock.received r qty=2",
        "order.placed a",
        "tick",
        "order.placed b",
        "order.placed c",
        "order.paid p order_id=a",
    ];
    let inputs = commands.iter().enumerate();
    let inputs = inputs.map(|(index, command)| record(index as u64, 0, command));
    let mut log = Log::of(&Rules::default(), inputs.collect(), 100);
    // What `a` holds is settled without taking anything more.
    (0..=7).for_each(|number| expect_from(&log, number, NONE));
    let mut third = log.topics[STATUS][1].clone();
    replace(&mut third, "\"offset\":4,\"order_id\":\"b\"", "\"offset\":5,\"order_id\":\"c\"");
    third.offset = log.topics[STATUS][2].offset;
    log.topics[STATUS][2] = third;
    for number in 0..=5 {
        expect_from(&log, number, Figures { oversold: 1, different: 1, ..NONE });
    }
}

#[test]
fn input_of_before_the_beginning_gets_no_verdict() {
    let log = sale(3);
    let model = PlainPartition::new(log.rules.clone(), 0);
    let refused = audit_partition_from::<_, _, Infallible>(model, log.from(1));
    assert_eq!(refused, Err(AuditError::InputOutOfOrder { partition: 0, offset: 0 }));
}
