//! Figures of counters, and arrays of them that remember their day and what is unwritten.
//!
//! Not rules: what is counted where is `gmv`'s. Invariant: in a [`Daily`], an entry whose bit is set
//! has figures of its day that have not left yet; one whose day is over and whose bit is not set is
//! as good as zero.

use crate::counters::{Answers, Figures};
use crate::gmv::{Sale, Slice};
use crate::paged::Paged;
use crate::snapshot::{Frozen, RestoreError, Thaw};

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
    #[inline]
    pub(crate) fn add(&mut self, change: &Change) {
        self.orders_placed += u64::from(change.placed);
        self.orders_settled += u64::from(change.settled);
        self.orders_refunded += u64::from(change.refunded);
        self.units_settled += change.units_settled;
        self.placed += u128::from(change.amount_placed);
        self.settled += u128::from(change.amount_settled);
        self.refunded += u128::from(change.amount_refunded);
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

/// What one event adds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    placed: bool,
    settled: bool,
    refunded: bool,
    units_settled: u64,
    amount_placed: u64,
    amount_settled: u64,
    amount_refunded: u64,
}

impl Change {
    #[inline]
    pub(crate) fn sale(sale: Sale, amount: u64, units: u64) -> Change {
        let (placed, settled) = (sale != Sale::Settled, sale != Sale::Placed);
        Change {
            placed,
            settled,
            units_settled: if settled { units } else { 0 },
            amount_placed: if placed { amount } else { 0 },
            amount_settled: if settled { amount } else { 0 },
            ..Change::default()
        }
    }

    pub(crate) fn refund(amount: u64) -> Change {
        Change { refunded: true, amount_refunded: amount, ..Change::default() }
    }

    /// The same without the order itself, if the counter knows that one already.
    #[inline]
    pub(crate) fn once(self, known: bool) -> Change {
        Change { placed: self.placed && !known, settled: self.settled && !known, ..self }
    }

    /// Only what it settles.
    #[inline]
    pub(crate) fn settled_only(self) -> Change {
        Change { placed: false, amount_placed: 0, ..self }
    }
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
    day: u64,
}

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
    #[inline]
    fn add(&mut self, orders: bool, amount: u64) {
        let (low, carry) = self.low.overflowing_add(amount);
        self.low = low;
        self.orders_and_high += u64::from(orders) | u64::from(carry) << ORDERS_BITS;
    }

    fn orders(self) -> u64 {
        self.orders_and_high & ((1 << ORDERS_BITS) - 1)
    }

    fn amount(self) -> u128 {
        u128::from(self.orders_and_high >> ORDERS_BITS) << 64 | u128::from(self.low)
    }
}

impl Entry {
    #[inline]
    fn add(&mut self, change: &Change) {
        self.placed.add(change.placed, change.amount_placed);
        self.settled.add(change.settled, change.amount_settled);
        if change.refunded {
            self.refunded.add(true, change.amount_refunded);
        }
        self.units_settled += change.units_settled;
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
    /// A bit for each entry that changed since it was written.
    unwritten: Paged<u64>,
    /// Where the sweep that is under way stands.
    cursor: usize,
}

impl Daily {
    /// Makes room for `len` counters. Called for each new one, so that no call has much to do.
    pub(crate) fn make_room(&mut self, len: usize) {
        self.entries.grow(len);
        self.unwritten.grow(len.div_ceil(64));
    }

    #[inline]
    pub(crate) fn count(
        &mut self,
        day: u64,
        subject: Subject,
        change: &Change,
        past: &mut Paged<Past>,
    ) {
        let number = subject.number();
        let (word, bit) = (number / 64, 1 << (number % 64));
        let entry = self.entries.get_mut(number);
        let unwritten = *self.unwritten.get(word);
        if entry.day != day {
            if unwritten & bit != 0 {
                past.push(Past::new(entry.day, subject, entry.tally(), Answers::default()));
            }
            *entry = Entry { day, ..Entry::default() };
        }
        entry.add(change);
        if unwritten & bit == 0 {
            *self.unwritten.get_mut(word) |= bit;
        }
    }

    pub(crate) fn touch(&self, number: u32) -> u64 {
        let number = number as usize;
        self.entries.get(number).day ^ self.unwritten.get(number / 64)
    }

    /// Gives number, day and figures of the slice's unwritten counters, and marks them written.
    pub(crate) fn write(&mut self, slice: Slice, mut write: impl FnMut(u32, u64, &Tally)) {
        // The slice goes on where the last one ended: entries that came meanwhile shift the bounds.
        let start = if slice.is_first() { 0 } else { self.cursor };
        let end = slice.end(self.unwritten.len());
        for word in start..end {
            let mut bits = *self.unwritten.get(word);
            if bits == 0 {
                continue;
            }
            *self.unwritten.get_mut(word) = 0;
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let entry = self.entries.get(number);
                write(number as u32, entry.day, &entry.tally());
            }
        }
        self.cursor = end;
    }

    /// Gives number, day and figures of every counter of `today`, and of earlier ones that are not
    /// written yet.
    pub(crate) fn for_each(&self, today: u64, mut on: impl FnMut(u32, u64, &Tally)) {
        for number in 0..self.entries.len() {
            let entry = self.entries.get(number);
            let is_unwritten = *self.unwritten.get(number / 64) >> (number % 64) & 1 == 1;
            let tally = entry.tally();
            if (entry.day == today || is_unwritten) && tally != Tally::default() {
                on(number as u32, entry.day, &tally);
            }
        }
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        frozen.push(self.entries.freeze());
        frozen.push(self.unwritten.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Daily, RestoreError> {
        let entries: Paged<Entry> = Paged::thaw(thaw)?;
        let unwritten: Paged<u64> = Paged::thaw(thaw)?;
        thaw.check(unwritten.len() == entries.len().div_ceil(64))?;
        Ok(Daily { entries, unwritten, cursor: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_beyond_64_bits_is_exact() {
        let mut entry = Entry::default();
        let largest = 1_000_000_000_000_000;
        for _ in 0..100_000 {
            entry.add(&Change::sale(Sale::PlacedAndSettled, largest, 3));
            entry.add(&Change::refund(largest).once(false));
        }
        let figures = entry.tally().figures();
        let sum = u128::from(largest) * 100_000;
        assert!(sum > u128::from(u64::MAX));
        assert_eq!((figures.placed, figures.settled, figures.refunded), (sum, sum, sum));
        assert_eq!((figures.orders_placed, figures.orders_settled), (100_000, 100_000));
        assert_eq!((figures.orders_refunded, figures.units_settled), (100_000, 300_000));
    }
}
