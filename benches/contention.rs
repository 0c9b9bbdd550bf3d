//! Stock cells with one to four threads on one hot cell and on many, beside a mutex and a map of locks.
//!
//! Not a test: it prints millions of operations a second. An operation is a hold or the settlement of
//! one, so half of them are each. What they stand for: a partition has one writer, so the column of one
//! thread is what an order pays; the others say what it would cost to share a hot SKU between cores.
//!
//! ```text
//! cargo run --release -p benches --bin contention
//! ```
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use dashmap::DashMap;
use stock::{CellId, Cells};

const OPERATIONS: u64 = 2_000_000;
const MANY: u32 = 65_536;
const THREADS: [u64; 4] = [1, 2, 3, 4];
const STOCKED: u32 = 1_000_000_000;
const ROUNDS: usize = 3;

/// Something that keeps stock, shared by threads.
trait Shared: Sync {
    fn new(cells: u32) -> Self;
    fn hold(&self, cell: u32) -> bool;
    fn settle(&self, cell: u32) -> bool;
}

/// on_hand and held.
type Pair = (u32, u32);

fn hold(pair: &mut Pair) -> bool {
    let serves = pair.0 > 0;
    if serves {
        *pair = (pair.0 - 1, pair.1 + 1);
    }
    serves
}

fn settle(pair: &mut Pair) -> bool {
    let is_held = pair.1 > 0;
    pair.1 -= u32::from(is_held);
    is_held
}

impl Shared for Cells {
    fn new(cells: u32) -> Cells {
        let shared = Cells::new();
        for cell in 0..cells {
            shared.receive(CellId(cell), i64::from(STOCKED)).expect("a cell counts that many");
        }
        shared
    }

    fn hold(&self, cell: u32) -> bool {
        Cells::hold(self, CellId(cell), 1, 0)
    }

    fn settle(&self, cell: u32) -> bool {
        Cells::settle(self, CellId(cell), 1)
    }
}

/// One lock for all, which is the fastest one as long as nobody shares it.
struct OneMutex(Mutex<Vec<Pair>>);

impl Shared for OneMutex {
    fn new(cells: u32) -> OneMutex {
        OneMutex(Mutex::new(vec![(STOCKED, 0); cells as usize]))
    }

    fn hold(&self, cell: u32) -> bool {
        hold(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[cell as usize])
    }

    fn settle(&self, cell: u32) -> bool {
        settle(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[cell as usize])
    }
}

impl Shared for DashMap<u32, Pair> {
    fn new(cells: u32) -> DashMap<u32, Pair> {
        (0..cells).map(|cell| (cell, (STOCKED, 0))).collect()
    }

    fn hold(&self, cell: u32) -> bool {
        self.get_mut(&cell).is_some_and(|mut pair| hold(&mut pair))
    }

    fn settle(&self, cell: u32) -> bool {
        self.get_mut(&cell).is_some_and(|mut pair| settle(&mut pair))
    }
}

fn main() {
    println!("millions of holds and settlements a second, best of {ROUNDS}");
    println!("{:28} {:>9} {:>9} {:>9} {:>9}", "", "1 thread", "2", "3", "4");
    for (name, cells) in [("one hot cell", 1), ("65,536 cells", MANY)] {
        row::<Cells>(&format!("{name}, stock"), cells);
        row::<OneMutex>(&format!("{name}, Mutex"), cells);
        row::<DashMap<u32, Pair>>(&format!("{name}, DashMap"), cells);
    }
}

fn row<S: Shared>(name: &str, cells: u32) {
    print!("{name:28}");
    for threads in THREADS {
        let best = (0..ROUNDS).map(|_| rate::<S>(threads, cells)).fold(0.0, f64::max);
        print!(" {best:>9.1}");
    }
    println!();
}

/// Millions of operations a second of all threads together.
fn rate<S: Shared>(threads: u64, cells: u32) -> f64 {
    let shared = S::new(cells);
    let barrier = Barrier::new(threads as usize + 1);
    let started = thread::scope(|scope| {
        for number in 0..threads {
            let (shared, barrier) = (&shared, &barrier);
            scope.spawn(move || {
                barrier.wait();
                work(shared, number, cells);
            });
        }
        barrier.wait();
        Instant::now()
    });
    // The scope has waited for the threads.
    (threads * OPERATIONS) as f64 / started.elapsed().as_secs_f64() / 1e6
}

/// A hold and its settlement, each time in another cell where there are several.
fn work(shared: &impl Shared, number: u64, cells: u32) {
    let mut random = number + 1;
    for _ in 0..OPERATIONS / 2 {
        // A linear congruential generator: what picks the cell must cost next to nothing.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let cell = (random >> 40) as u32 % cells;
        assert!(shared.hold(cell) && shared.settle(cell), "there is stock, and it was held");
    }
}
