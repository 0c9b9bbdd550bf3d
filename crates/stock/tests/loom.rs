//! The laws of stock cells under every interleaving of two or three threads and every order of memory
//! that the language allows, explored by loom on the production type.
//!
//! Not a test of speed, and not of many threads: two that meet at one word show what a thousand would.
//! To be run with `RUSTFLAGS="--cfg loom" cargo test -p stock --release --test loom`; without the
//! flag nothing is in here. Invariant: each test is one law, and a wrong `Cells` breaks it.
#![cfg(loom)]

use loom::thread;
use std::sync::Arc;
use stock::{CellId, Cells, Image, PAGE_CELLS, Quantities};

const CELL: CellId = CellId(0);
/// In the same segment and page as [`CELL`].
const NEIGHBOUR: CellId = CellId(1);

fn quantities(on_hand: u32, held: u32) -> Quantities {
    Quantities { on_hand, held }
}

/// One cell with so many units on hand, of which so many are held.
fn stocked(units: i64, held: u32) -> Arc<Cells> {
    let cells = Arc::new(Cells::new());
    assert_eq!(cells.receive(CELL, units), Ok(()));
    assert!(cells.hold(CELL, held, 0));
    cells
}

/// Has a thread of the model do something with the cells.
fn spawn<T: 'static>(
    cells: &Arc<Cells>,
    work: impl FnOnce(&Cells) -> T + 'static,
) -> thread::JoinHandle<T> {
    let cells = Arc::clone(cells);
    thread::spawn(move || work(&cells))
}

fn joined<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("a thread of the model that panics ends the model")
}

#[test]
fn never_oversells() {
    loom::model(|| {
        // Three want 2 each of 5, of which 1 must stay: two get them.
        let cells = stocked(5, 0);
        let holder = spawn(&cells, |cells| cells.hold(CELL, 2, 1));
        let seller = spawn(&cells, |cells| cells.sell(CELL, 2, 1));
        let third = cells.hold(CELL, 2, 1);
        let (held, sold) = (joined(holder), joined(seller));
        assert_eq!([held, sold, third].into_iter().filter(|served| *served).count(), 2);
        let left = cells.read(CELL);
        assert_eq!(left.on_hand, 1, "the floor stays");
        assert_eq!(left.held, 2 * u32::from(held) + 2 * u32::from(third));
    });
}

#[test]
fn no_lost_update() {
    loom::model(|| {
        let cells = stocked(10, 4);
        let receiver = spawn(&cells, |cells| cells.receive(CELL, 7));
        let settler = spawn(&cells, |cells| cells.settle(CELL, 3));
        assert!(cells.hold(CELL, 2, 0));
        assert_eq!(joined(receiver), Ok(()));
        assert!(joined(settler));
        assert_eq!(cells.read(CELL), quantities(11, 3));
    });
}

#[test]
fn release_returns_units() {
    loom::model(|| {
        // Everything is held; whoever comes after the release gets it, and nobody gets more.
        let cells = stocked(3, 3);
        let releaser = spawn(&cells, |cells| cells.release(CELL, 3));
        let holder = spawn(&cells, |cells| cells.hold(CELL, 2, 0));
        assert!(joined(releaser));
        let held = if joined(holder) { 2 } else { 0 };
        assert_eq!(cells.read(CELL), quantities(3 - held, held));
        assert!(cells.hold(CELL, 3 - held, 0), "what was released can be held again");
    });
}

#[test]
fn a_hold_ends_once() {
    loom::model(|| {
        // Released twice and settled once, all of the same 2 units: one of the three gets them.
        let cells = stocked(6, 2);
        let releaser = spawn(&cells, |cells| cells.release(CELL, 2));
        let again = spawn(&cells, |cells| cells.release(CELL, 2));
        let settled = cells.settle(CELL, 2);
        let ends = [joined(releaser), joined(again), settled];
        assert_eq!(ends.into_iter().filter(|ended| *ended).count(), 1);
        assert_eq!(cells.read(CELL), quantities(if settled { 4 } else { 6 }, 0));
    });
}

#[test]
fn readers_see_no_torn_pair() {
    loom::model(|| {
        let cells = stocked(5, 0);
        let writer = spawn(&cells, |cells| {
            assert!(cells.hold(CELL, 2, 0));
            assert!(cells.release(CELL, 1));
        });
        let reader = spawn(&cells, |cells| [cells.read(CELL), cells.read(CELL)]);
        let seen = joined(reader);
        joined(writer);
        // A hold and a release leave the sum: a pair of two moments would not.
        let moments = [quantities(5, 0), quantities(3, 2), quantities(4, 1)];
        let at = seen.map(|pair| moments.iter().position(|moment| *moment == pair));
        assert!(at[0].is_some() && at[1].is_some(), "{seen:?} never was");
        assert!(at[0] <= at[1], "{seen:?} goes back in time");
    });
}

#[test]
fn first_receipts_share_their_memory() {
    loom::model(|| {
        let cells = Arc::new(Cells::new());
        let first = spawn(&cells, |cells| cells.receive(CELL, 2));
        let second = spawn(&cells, |cells| cells.receive(NEIGHBOUR, 3));
        let seen = cells.read(CELL);
        assert!(seen == quantities(0, 0) || seen == quantities(2, 0), "{seen:?} never was");
        assert_eq!((joined(first), joined(second)), (Ok(()), Ok(())));
        assert_eq!(cells.read(CELL), quantities(2, 0));
        assert_eq!(cells.read(NEIGHBOUR), quantities(3, 0));
    });
}

#[test]
fn an_image_shows_the_moment_it_was_taken() {
    loom::model(|| {
        let cells = stocked(5, 0);
        assert_eq!(cells.receive(NEIGHBOUR, 7), Ok(()));
        let image = Arc::new(Image::new(&cells, 2));
        let serialiser = {
            let image = Arc::clone(&image);
            thread::spawn(move || {
                let mut page = [0; PAGE_CELLS];
                assert_eq!(image.read_page(0, &mut page), 2);
                page
            })
        };
        // The one writer keeps a page before each change.
        image.keep(NEIGHBOUR);
        assert!(cells.hold(NEIGHBOUR, 4, 0));
        image.keep(CELL);
        assert!(cells.sell(CELL, 1, 0));
        assert_eq!(joined(serialiser), [5 << 32, 7 << 32]);
    });
}
