//! Snapshots of random logs: whoever goes on from one writes what the other would have written.

mod support;

use ledger::rules::Rules;
use ledger::units::Offset;
use ledger::{Ledger, LogRecord, RestoreError, SectionId};
use proptest::prelude::*;
use support::notation::{Row, effect_text};
use support::{Sections, rows};

fn rules() -> Rules {
    Rules {
        order_window_ms: 100,
        receipt_window_ms: 300,
        skew_ms: 20,
        hold_ttl_ms: 60,
        day_offset_ms: 3_000,
        ..Rules::default()
    }
}

/// A command of a few merchants, SKUs, locations and ids, so that they meet often.
fn command() -> impl Strategy<Value = String> {
    let order =
        (0..40u32, 1..4u32, 1..5u32, 0..4u32, 0..10u32).prop_map(|(id, qty, sku, at, kind)| {
            let extra = match kind {
                0 => "now",
                1 => "pickup=2",
                2 => "presale=1,4000 2x3@5",
                3 => "pay_by=0",
                4 => "region=330106 rural channel=app discount=1",
                _ => "",
            };
            format!("place o{id} {qty}x{sku}@9 1x{at}@7 {extra} buyer={at} m={}", id % 2)
        });
    let pay = (0..60u32, 0..40u32, 0..4u32).prop_map(|(payment, order, kind)| {
        let what = ["16", "25", "1 deposit", "32 balance"][kind as usize];
        format!("pay p{payment} o{order} {what} m={}", order % 2)
    });
    let stock = (0..60u32, 1..5u32, 0..3u32, -2..9i32, 0..2u32, any::<bool>());
    let stock = stock.prop_map(|(id, sku, location, qty, m, to)| match to {
        true => format!("move r{id} {sku}@{location} {} to={} m={m}", qty.abs() + 1, location + 1),
        false => format!("receive r{id} {sku}@{location} {} m={m}", if qty == 0 { 5 } else { qty }),
    });
    let listing =
        (1..5u32, 0..5u32, 0..3u32, 0..2u32, 0..3u32).prop_map(|(sku, limit, cat, m, kind)| {
            match kind {
                0 => format!("withdraw {sku} m={m}"),
                _ => format!("list {sku} limit={} cat=c{cat} m={m}", limit / 2 * 2),
            }
        });
    let place = (1..4u32, 0..2u32, 0..4u32).prop_map(|(location, m, kind)| match kind {
        0 => format!("close {location} m={m}"),
        1 => format!("open {location} pickup region=330106 m={m}"),
        _ => format!("open {location} m={m}"),
    });
    let refund = (0..40u32, 1..5u32).prop_map(|(id, sku)| {
        format!("refund f{id} o{id} 5 1x{sku}@1 {} m={}", ["", "restock"][id as usize % 2], id % 2)
    });
    prop_oneof![
        10 => order,
        6 => pay,
        2 => (0..40u32).prop_map(|id| format!("cancel o{id} m={}", id % 2)),
        5 => stock,
        3 => listing,
        1 => place,
        2 => refund,
        1 => Just("tick".to_owned()),
        1 => Just("dead invalid".to_owned()),
    ]
}

fn log() -> impl Strategy<Value = Vec<Row>> {
    let step = prop_oneof![20 => 0..3u64, 2 => 0..80u64, 1 => 0..100_000u64];
    prop::collection::vec((step, command()), 1..400).prop_map(|steps| {
        let mut time = 0;
        let row = |(step, command): &(u64, String)| {
            time += step;
            Row::parse(&format!("{time} | {command} |")).expect("a row")
        };
        steps.iter().map(row).collect()
    })
}

fn apply(ledger: &mut Ledger, offset: usize, row: &Row, effects: &mut Vec<String>) {
    ledger.apply(Offset(offset as u64), row.time, row.command(), &mut |effect| {
        effects.push(format!("{offset} {}", effect_text(&effect)));
    });
}

/// Effects and final counters of a log; `before` may exchange the ledger before each record.
fn run(rows: &[Row], mut before: impl FnMut(usize, &mut Ledger)) -> (Vec<String>, Vec<String>) {
    let mut ledger = Ledger::new(rules());
    let mut effects = Vec::new();
    for (offset, row) in rows.iter().enumerate() {
        before(offset, &mut ledger);
        apply(&mut ledger, offset, row, &mut effects);
    }
    let mut book = support::book::Book::default();
    book.close(&mut ledger);
    (effects, book.lines())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn units_and_counters_are_conserved_on_any_log(rows in log()) {
        let mut ledger = Ledger::new(rules());
        let mut book = support::book::Book::default();
        for (offset, row) in rows.iter().enumerate() {
            book.apply(&mut ledger, offset as u64, row, &mut |_| ());
        }
        book.close(&mut ledger);
    }

    #[test]
    fn a_restored_ledger_goes_on_identically(rows in log()) {
        let straight = run(&rows, |_, _| ());
        let restored = run(&rows, |offset, ledger| {
            let sections = Sections::of(&ledger.snapshot());
            let again = sections.restore(rules()).expect("what was frozen can be restored");
            assert_eq!(again.next_offset(), Offset(offset as u64));
            assert_eq!(again.holds_open(), ledger.holds_open());
            *ledger = again;
        });
        prop_assert_eq!(straight, restored);
    }

    #[test]
    fn where_a_log_is_cut_into_batches_changes_no_effect(rows in log(), size in 2..40usize) {
        let (mut ledger, mut effects, mut latest) = (Ledger::new(rules()), Vec::new(), 0);
        for (batch, rows) in rows.chunks(size).enumerate() {
            let commands: Vec<_> = rows.iter().map(Row::command).collect();
            let inputs = rows.iter().zip(&commands).zip(batch * size..);
            let inputs = inputs.map(|((row, command), offset)| LogRecord {
                offset: Offset(offset as u64),
                timestamp: row.time,
                command: command.as_ref().map_err(|code| *code),
            });
            ledger.apply_all(inputs, &mut |number, at, effect| {
                latest = latest.max(rows[number].time.unsigned_abs());
                assert_eq!(at.0, latest, "an effect comes with T after its record");
                effects.push(format!("{} {}", batch * size + number, effect_text(&effect)));
            });
        }
        let mut book = support::book::Book::default();
        book.close(&mut ledger);
        prop_assert_eq!(run(&rows, |_, _| ()), (effects, book.lines()));
    }

    #[test]
    fn an_image_stays_as_it_was_while_the_ledger_goes_on(rows in log(), every in 1..60usize) {
        let mut ledger = Ledger::new(rules());
        let mut images = Vec::new();
        for (offset, row) in rows.iter().enumerate() {
            if offset % every == 0 {
                let image = ledger.snapshot();
                let then = Sections::of(&image);
                images.push((image, then));
            }
            if images.len() > 3 {
                images.remove(offset % 3);
            }
            apply(&mut ledger, offset, row, &mut Vec::new());
        }
        for (image, then) in &images {
            prop_assert!(Sections::of(image) == *then, "an image changed");
        }
    }
}

#[test]
fn a_snapshot_is_written_on_another_thread_while_the_ledger_goes_on() {
    let mut ledger = Ledger::new(Rules::default());
    let setup = "0 | list 1 |\n0 | receive r 1 1000000 |";
    for (offset, row) in rows(setup).iter().enumerate() {
        apply(&mut ledger, offset, row, &mut Vec::new());
    }
    let place = |ledger: &mut Ledger, number: usize| {
        let row = Row::parse(&format!("1 | place o{number} 1x1 |")).expect("a row");
        apply(ledger, number, &row, &mut Vec::new());
    };
    (0..5_000).for_each(|number| place(&mut ledger, number));
    let image = ledger.snapshot();
    let sections = std::thread::scope(|scope| {
        let writer = scope.spawn(|| Sections::of(&image));
        (5_000..10_000).for_each(|number| place(&mut ledger, number));
        writer.join().expect("the image can be written")
    });
    let restored = sections.restore(Rules::default()).expect("what was frozen can be restored");
    assert_eq!((restored.holds_open(), ledger.holds_open()), (5_000, 10_000));
    let units: i64 = support::book::stock(&restored).values().map(|(_, held)| held).sum();
    assert_eq!(units, 5_000);
}

#[test]
fn a_section_that_is_missing_cut_or_of_another_shape_is_an_error() {
    let mut ledger = Ledger::new(Rules::default());
    let log = "0 | list 1 limit=3 |\n0 | receive r 1 9 |\n0 | place a 1x1 |\n1 | place b 1x1 now |";
    for (offset, row) in rows(log).iter().enumerate() {
        apply(&mut ledger, offset, row, &mut Vec::new());
    }
    let whole = Sections::of(&ledger.snapshot());
    assert!(whole.restore(Rules::default()).is_ok());
    for section in 0..whole.sections.len() {
        let id = SectionId(section as u16);
        let mut missing = whole.clone();
        missing.sections.remove(section);
        assert_eq!(missing.restore(Rules::default()).err(), Some(RestoreError::Missing(id)));
        // One byte more or less fits no section.
        for change in [1i64, -1] {
            let mut other = whole.clone();
            let bytes = &mut other.sections[section].1;
            let len = (bytes.len() as i64 + change).max(0) as usize;
            if len != bytes.len() {
                bytes.resize(len, 0);
                assert_eq!(other.restore(Rules::default()).err(), Some(RestoreError::Damaged(id)));
            }
        }
    }
}
