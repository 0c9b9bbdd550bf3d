//! Stock cells under one thread and under many.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use stock::{CellId, Cells, Image, PAGE_CELLS, Quantities, Refusal, UNITS_MAX};

const CELL: CellId = CellId(70_000);

/// So many, or a hundredth under Miri, which is some hundred times slower.
const fn many(number: u32) -> u32 {
    if cfg!(miri) { number / 100 } else { number }
}

fn quantities(on_hand: u32, held: u32) -> Quantities {
    Quantities { on_hand, held }
}

#[test]
fn a_cell_that_was_never_received_is_empty() {
    let cells = Cells::new();
    assert_eq!(cells.read(CellId(u32::MAX)), quantities(0, 0));
    assert!(!cells.hold(CELL, 1, 0));
    assert!(!cells.sell(CELL, 1, 0));
    assert!(!cells.release(CELL, 1));
    assert!(!cells.settle(CELL, 1));
    assert_eq!(cells.receive(CELL, -1), Err(Refusal::Underflow));
}

#[test]
fn units_go_from_on_hand_to_held_and_out_or_back() {
    let cells = Cells::new();
    assert_eq!(cells.receive(CELL, 10), Ok(()));
    assert!(cells.hold(CELL, 4, 6));
    assert_eq!(cells.read(CELL), quantities(6, 4));
    assert!(cells.release(CELL, 1));
    assert!(cells.settle(CELL, 2));
    assert_eq!(cells.read(CELL), quantities(7, 1));
    assert!(cells.sell(CELL, 7, 0));
    assert_eq!(cells.read(CELL), quantities(0, 1));
    assert_eq!(cells.read(CellId(CELL.0 + 1)), quantities(0, 0));
}

#[test]
fn what_is_not_there_is_neither_held_nor_released() {
    let cells = Cells::new();
    assert_eq!(cells.receive(CELL, 5), Ok(()));
    assert!(!cells.hold(CELL, 5, 1), "the floor stays");
    assert!(!cells.hold(CELL, u32::MAX, u32::MAX));
    assert!(!cells.sell(CELL, 6, 0));
    assert!(cells.hold(CELL, 2, 0));
    assert!(!cells.release(CELL, 3));
    assert!(!cells.settle(CELL, 3));
    assert_eq!(cells.read(CELL), quantities(3, 2));
}

#[test]
fn a_receipt_that_cannot_be_counted_changes_nothing() {
    let cells = Cells::new();
    assert_eq!(cells.receive(CELL, i64::from(UNITS_MAX)), Ok(()));
    assert!(cells.hold(CELL, 10, 0));
    assert_eq!(cells.receive(CELL, 1), Err(Refusal::Overflow), "held units count too");
    assert_eq!(cells.receive(CELL, i64::MAX), Err(Refusal::Overflow));
    assert_eq!(cells.receive(CELL, i64::MIN), Err(Refusal::Underflow));
    assert_eq!(cells.receive(CELL, -i64::from(UNITS_MAX)), Err(Refusal::Underflow));
    assert_eq!(cells.read(CELL), quantities(UNITS_MAX - 10, 10));
}

#[test]
fn many_threads_never_oversell_one_cell() {
    const STOCKED: u32 = many(20_000);
    const FLOOR: u32 = 13;
    let cells = Cells::new();
    assert_eq!(cells.receive(CELL, i64::from(STOCKED)), Ok(()));
    let (settled, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let sellers: Vec<_> = (0..4u32)
            .map(|seller| {
                let (cells, settled) = (&cells, &settled);
                scope.spawn(move || {
                    let mut units = seller + 1;
                    // Every second hold is given back, so stock is contended to the last unit.
                    let mut give_back = false;
                    loop {
                        if !cells.hold(CELL, units, FLOOR) {
                            if units == 1 {
                                break;
                            }
                            units = 1;
                        } else if give_back {
                            assert!(cells.release(CELL, units));
                            give_back = false;
                        } else {
                            assert!(cells.settle(CELL, units));
                            settled.fetch_add(u64::from(units), Ordering::Relaxed);
                            give_back = true;
                        }
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = cells.read(CELL);
                assert!(u64::from(now.on_hand) + u64::from(now.held) <= u64::from(STOCKED));
            }
        });
        let sold: Vec<_> = sellers.into_iter().map(|seller| seller.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(sold.iter().all(Result::is_ok) && reader.join().is_ok());
    });
    let left = cells.read(CELL);
    assert_eq!(left.held, 0);
    assert_eq!(u64::from(left.on_hand) + settled.into_inner(), u64::from(STOCKED));
    assert!(left.on_hand >= FLOOR, "the floor stays whatever the threads do");
}

#[test]
fn an_image_shows_the_moment_it_was_taken_while_cells_change() {
    let cells = Arc::new(Cells::new());
    let count = 3 * PAGE_CELLS as u32 + 5;
    for cell in 0..count {
        assert_eq!(cells.receive(CellId(cell), 1_000_000), Ok(()));
    }
    for round in 1..=many(20).max(2) {
        let before: Vec<Quantities> = (0..count).map(|cell| cells.read(CellId(cell))).collect();
        let image = Arc::new(Image::new(&cells, count));
        let seen = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = Vec::new();
                let mut page = vec![0; PAGE_CELLS];
                for number in 0..image.pages() {
                    let len = image.read_page(number, &mut page);
                    seen.extend_from_slice(&page[..len]);
                }
                seen
            });
            for step in 0..many(20_000) {
                let cell = CellId(step * 7919 * round % count);
                image.keep(cell);
                assert!(cells.hold(cell, 1, 0));
            }
            // A cell that came later is no part of the image.
            image.keep(CellId(count + 100_000));
            reader.join()
        });
        let expected: Vec<u64> =
            before.iter().map(|now| u64::from(now.on_hand) << 32 | u64::from(now.held)).collect();
        assert_eq!(seen.ok(), Some(expected), "round {round}");
    }
}
