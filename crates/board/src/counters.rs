//! The counters of the contract, section 6, by their names there, and their sums.
//!
//! Invariant: sums are exact. They wrap rather than panic, so that no record, however wrong, can stop
//! the board.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;

/// Counters of one value of a dimension. Money is in the currency's minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Orders held, or settled on placement.
    pub orders_placed: u64,
    /// Their amount.
    pub placed: u128,
    /// Orders settled.
    pub orders_settled: u64,
    /// Units in them.
    pub units_settled: u64,
    /// Their amount.
    pub settled: u128,
    /// `order.refunded` written.
    pub orders_refunded: u64,
    /// Their amount.
    pub refunded: u128,
}

/// The four further counters of the dimension `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Answers {
    /// `hold.rejected` written.
    pub orders_rejected: u64,
    /// `hold.released` written.
    pub orders_released: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Commands whose id was remembered.
    pub duplicates: u64,
}

/// Everything that dimension `all` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AllCounters {
    /// What every dimension counts.
    #[serde(flatten)]
    pub counters: Counters,
    /// What only this one counts.
    #[serde(flatten)]
    pub answers: Answers,
}

impl Counters {
    /// Settled less refunded.
    pub fn net(&self) -> i128 {
        self.settled.wrapping_sub(self.refunded) as i128
    }
}

/// Something that partitions are summed of. By default it counts nothing, as if it were not there.
pub(crate) trait Sum: Copy + Default + PartialEq {
    /// Takes one part out and puts another in.
    fn exchange(&mut self, old: &Self, new: &Self);
}

macro_rules! exchange {
    ($sum:ty: $($name:ident),+) => {
        impl Sum for $sum {
            fn exchange(&mut self, old: &Self, new: &Self) {
                $(self.$name = self.$name.wrapping_sub(old.$name).wrapping_add(new.$name);)+
            }
        }
    };
}
exchange!(Counters: orders_placed, placed, orders_settled, units_settled, settled, orders_refunded,
    refunded);
exchange!(Answers: orders_rejected, orders_released, dead_letters, duplicates);

impl Sum for AllCounters {
    fn exchange(&mut self, old: &Self, new: &Self) {
        self.counters.exchange(&old.counters, &new.counters);
        self.answers.exchange(&old.answers, &new.answers);
    }
}

/// One counter of every partition, and their sum. Setting a partition's part again replaces it, so
/// that a record that is read twice counts once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged<V> {
    sum: V,
    /// By partition, ascending. A part that counts nothing is not kept.
    parts: Vec<(u32, V)>,
}

impl<V: Sum> Merged<V> {
    /// False if this would be a part more than there is room for; nothing is changed then.
    fn set(&mut self, partition: u32, new: &V, room: &mut Room) -> bool {
        let is_something = *new != V::default();
        let old = match self.parts.binary_search_by_key(&partition, |(partition, _)| *partition) {
            Ok(index) if is_something => std::mem::replace(&mut self.parts[index].1, *new),
            Ok(index) => {
                room.give_back(1);
                self.parts.remove(index).1
            }
            Err(index) => {
                if is_something {
                    if !room.take() {
                        return false;
                    }
                    self.parts.insert(index, (partition, *new));
                }
                V::default()
            }
        };
        self.sum.exchange(&old, new);
        true
    }

    /// How many partitions it is the sum of.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn sum(&self) -> &V {
        &self.sum
    }
}

/// Counters of all values of a dimension.
pub(crate) type ByValue<K> = BTreeMap<K, Merged<Counters>>;

/// For how many parts there is room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    used: usize,
    most: usize,
}

impl Room {
    pub(crate) fn of(most: usize) -> Room {
        Room { used: 0, most }
    }

    fn take(&mut self) -> bool {
        let is_room = self.used < self.most;
        self.used += usize::from(is_room);
        is_room
    }

    pub(crate) fn give_back(&mut self, parts: usize) {
        self.used -= parts;
    }
}

/// Sets a partition's part of a value's counter. A value of which no part is left is not kept. False if
/// there is no room for one more part; nothing is changed then.
#[must_use]
pub(crate) fn set<K: Ord, V: Sum>(
    values: &mut BTreeMap<K, Merged<V>>,
    value: K,
    partition: u32,
    new: &V,
    room: &mut Room,
) -> bool {
    match values.entry(value) {
        Entry::Occupied(mut found) => {
            let is_set = found.get_mut().set(partition, new, room);
            if found.get().parts.is_empty() {
                found.remove();
            }
            is_set
        }
        Entry::Vacant(place) if *new != V::default() => {
            // Room for a first part alone: of values without end each has one, and a vector's first four
            // would take three times the memory.
            let mut merged = Merged { sum: V::default(), parts: Vec::with_capacity(1) };
            let is_set = merged.set(partition, new, room);
            if is_set {
                place.insert(merged);
            }
            is_set
        }
        Entry::Vacant(_) => true,
    }
}
