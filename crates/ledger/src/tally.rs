//! Figures of counters, and arrays of them that remember their day and what is unwritten.
//!
//! Not rules: what is counted where is `gmv`'s. Invariant: in a [`Daily`], an entry that is marked as
//! unwritten has figures of its day that have not left yet, and waits once; one whose day is over and
//! that is not marked is as good as zero.

use crate::counters::{Answers, Figures};
use crate::gmv::{Sale, Slice};
use crate::paged::Paged;
use crate::snapshot::{Frozen, RestoreError, Thaw};
use std::collections::VecDeque;

/// Seven figures, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Tally {
    placed: u128,
    settled: u128,
    refunded: u128,
    orders_placed: u64,
    orders_settled: u64,
    units_settled: u64,
    orders_refunded: u64,
}

impl Tally {
    #[inline(always)]
    pub(crate) fn add(&mut self, change: Change) {
        match change {
            Change::Sale { sale, order, amount, units } => {
                if sale.places() {
                    self.orders_placed += u64::from(order);
                    self.placed += u128::from(amount);
                }
                if sale.settles() {
                    self.orders_settled += u64::from(order);
                    self.settled += u128::from(amount);
                    self.units_settled += units;
                }
            }
            Change::Refund { amount } => {
                self.orders_refunded += 1;
                self.refunded += u128::from(amount);
            }
        }
    }

    /// Adds another tally; with or without what was refunded.
    pub(crate) fn merge(&mut self, other: &Tally, refunds: bool) {
        self.placed += other.placed;
        self.settled += other.settled;
        self.orders_placed += other.orders_placed;
        self.orders_settled += other.orders_settled;
        self.units_settled += other.units_settled;
        if refunds {
            self.refunded += other.refunded;
            self.orders_refunded += other.orders_refunded;
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            orders_placed: self.orders_placed,
            placed: self.placed,
            orders_settled: self.orders_settled,
            units_settled: self.units_settled,
            settled: self.settled,
            orders_refunded: self.orders_refunded,
            refunded: self.refunded,
        }
    }
}

/// What one event adds. Whoever makes one knows its kind, so that it is never asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Sale {
        sale: Sale,
        /// Whether the order itself counts: not if the counter knows it already.
        order: bool,
        amount: u64,
        units: u64,
    },
    Refund {
        amount: u64,
    },
}

/// What a counter counts, in the ledger's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// One of `joint::ROLLED`.
    Rolled(usize),
    Category(u16),
    Merchant(u32),
    Place(u32),
    Minute(u64),
}

impl Subject {
    fn pack(self) -> [u64; 2] {
        match self {
            Subject::Rolled(number) => [0, number as u64],
            Subject::Category(category) => [1, category.into()],
            Subject::Merchant(merchant) => [2, merchant.into()],
            Subject::Place(place) => [3, place.into()],
            Subject::Minute(minute) => [4, minute],
        }
    }

    fn unpack(packed: [u64; 2]) -> Subject {
        match packed[0] {
            0 => Subject::Rolled(packed[1] as usize),
            1 => Subject::Category(packed[1] as u16),
            2 => Subject::Merchant(packed[1] as u32),
            3 => Subject::Place(packed[1] as u32),
            _ => Subject::Minute(packed[1]),
        }
    }

    /// The entry in its array.
    #[inline]
    fn number(self) -> usize {
        self.pack()[1] as usize
    }
}

/// A counter of a day or minute that is over, until it is written for the last time.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Past {
    tally: Tally,
    answers: [u64; 4],
    subject: [u64; 2],
    day: u64,
    unused: u64,
}

impl Past {
    pub(crate) fn new(day: u64, subject: Subject, tally: Tally, answers: Answers) -> Past {
        let Answers { orders_rejected, orders_released, dead_letters, duplicates } = answers;
        let answers = [orders_rejected, orders_released, dead_letters, duplicates];
        Past { tally, answers, subject: subject.pack(), day, unused: 0 }
    }

    pub(crate) fn parts(&self) -> (u64, Subject, Tally, Answers) {
        let [orders_rejected, orders_released, dead_letters, duplicates] = self.answers;
        let answers = Answers { orders_rejected, orders_released, dead_letters, duplicates };
        (self.day, Subject::unpack(self.subject), self.tally, answers)
    }
}

/// A tally and its day in one cache line. Beside each number of orders (38 bits, which no partition
/// reaches in a day) are the upper 26 bits of the sum that goes with it: amounts are below 2^50, so so
/// many of them stay below 2^90.
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Entry {
    placed: Sum,
    settled: Sum,
    refunded: Sum,
    units_settled: u64,
    /// The day, and [`UNWRITTEN`] beside it, so that one comparison tells whether both are as they
    /// have to be for an event.
    day_and_mark: u64,
}

/// Marks an entry that changed since it was written.
const UNWRITTEN: u64 = 1 << 63;

const ORDERS_BITS: u32 = 38;

/// A number of orders and the sum of their amounts.
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Sum {
    low: u64,
    /// Orders, and above them the sum's upper bits.
    orders_and_high: u64,
}

impl Sum {
    #[inline(always)]
    fn add(&mut self, order: bool, amount: u64) {
        let (low, carry) = self.low.overflowing_add(amount);
        self.low = low;
        self.orders_and_high += u64::from(order) | u64::from(carry) << ORDERS_BITS;
    }

    fn orders(self) -> u64 {
        self.orders_and_high & ((1 << ORDERS_BITS) - 1)
    }

    fn amount(self) -> u128 {
        u128::from(self.orders_and_high >> ORDERS_BITS) << 64 | u128::from(self.low)
    }
}

impl Entry {
    fn day(&self) -> u64 {
        self.day_and_mark & !UNWRITTEN
    }

    fn is_unwritten(&self) -> bool {
        self.day_and_mark & UNWRITTEN != 0
    }

    #[inline(always)]
    fn add(&mut self, change: Change) {
        match change {
            Change::Sale { sale, order, amount, units } => {
                if sale.places() {
                    self.placed.add(order, amount);
                }
                if sale.settles() {
                    self.settled.add(order, amount);
                    self.units_settled += units;
                }
            }
            Change::Refund { amount } => self.refunded.add(true, amount),
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            placed: self.placed.amount(),
            settled: self.settled.amount(),
            refunded: self.refunded.amount(),
            orders_placed: self.placed.orders(),
            orders_settled: self.settled.orders(),
            units_settled: self.units_settled,
            orders_refunded: self.refunded.orders(),
        }
    }
}

/// Counters of one dimension by dense number.
#[derive(Debug, Default)]
pub(crate) struct Daily {
    entries: Paged<Entry>,
    /// Numbers of the unwritten entries, each once, in the order in which they became so.
    waiting: VecDeque<u32>,
    /// How many of them the sweep that is under way has still to write.
    to_sweep: usize,
}

impl Daily {
    /// Makes room for `len` counters. Called for each new one, so that no call has much to do.
    pub(crate) fn make_room(&mut self, len: usize) {
        self.entries.grow(len);
    }

    #[inline(always)]
    pub(crate) fn count(
        &mut self,
        day: u64,
        subject: Subject,
        change: Change,
        past: &mut Paged<Past>,
    ) {
        let number = subject.number();
        let entry = self.entries.get_mut(number);
        if entry.day_and_mark != day | UNWRITTEN {
            if !entry.is_unwritten() {
                self.waiting.push_back(number as u32);
            }
            renew(entry, day, subject, past);
        }
        entry.add(change);
    }

    /// Brings a counter near that will be counted in soon.
    #[inline]
    pub(crate) fn prefetch(&self, number: u32) {
        self.entries.prefetch(number as usize);
    }

    /// Gives number, day and figures of the slice's unwritten counters, and marks them written. What
    /// becomes unwritten during a sweep is left to the next one.
    pub(crate) fn write(&mut self, slice: Slice, mut write: impl FnMut(u32, u64, &Tally)) {
        if slice.is_first() {
            self.to_sweep = self.waiting.len();
        }
        let now = slice.of_waiting(self.to_sweep);
        self.to_sweep -= now;
        for number in self.waiting.drain(..now) {
            let entry = self.entries.get_mut(number as usize);
            entry.day_and_mark = entry.day();
            write(number, entry.day(), &entry.tally());
        }
    }

    /// Gives number, day and figures of every counter of `today`, and of earlier ones that are not
    /// written yet.
    pub(crate) fn for_each(&self, today: u64, mut on: impl FnMut(u32, u64, &Tally)) {
        for number in 0..self.entries.len() {
            let entry = self.entries.get(number);
            let tally = entry.tally();
            if (entry.day() == today || entry.is_unwritten()) && tally != Tally::default() {
                on(number as u32, entry.day(), &tally);
            }
        }
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        frozen.push(self.entries.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Daily, RestoreError> {
        let entries: Paged<Entry> = Paged::thaw(thaw)?;
        let waiting = (0..entries.len()).filter(|number| entries.get(*number).is_unwritten());
        let waiting = waiting.map(|number| number as u32).collect();
        Ok(Daily { entries, waiting, to_sweep: 0 })
    }
}

/// Makes an entry ready for an event of this day: the day is its own, and it is marked as unwritten.
#[inline(never)]
fn renew(entry: &mut Entry, day: u64, subject: Subject, past: &mut Paged<Past>) {
    if entry.day() != day {
        if entry.is_unwritten() {
            past.push(Past::new(entry.day(), subject, entry.tally(), Answers::default()));
        }
        *entry = Entry::default();
    }
    entry.day_and_mark = day | UNWRITTEN;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_beyond_64_bits_is_exact() {
        let mut entry = Entry::default();
        let largest = 1_000_000_000_000_000;
        for _ in 0..100_000 {
            let sale = Sale::PlacedAndSettled;
            entry.add(Change::Sale { sale, order: true, amount: largest, units: 3 });
            entry.add(Change::Refund { amount: largest });
        }
        let figures = entry.tally().figures();
        let sum = u128::from(largest) * 100_000;
        assert!(sum > u128::from(u64::MAX));
        assert_eq!((figures.placed, figures.settled, figures.refunded), (sum, sum, sum));
        assert_eq!((figures.orders_placed, figures.orders_settled), (100_000, 100_000));
        assert_eq!((figures.orders_refunded, figures.units_settled), (100_000, 300_000));
    }
}
