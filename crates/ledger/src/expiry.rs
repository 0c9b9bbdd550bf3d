//! The order in which holds expire: a 4-ary heap that knows where each hold stands in it.
//!
//! Not a timer: it never looks at a clock, it only says which hold is first. Each hold remembers its
//! position (through [`Positions`]), so that one that is settled, cancelled or extended leaves or
//! moves at once and the heap holds open holds only. Invariant: the order is exactly (expires_at,
//! order of placement), whatever the number of holds with the same time.

use crate::paged::Paged;
use crate::snapshot::{Frozen, RestoreError, Thaw};

/// Children of a node.
const ARITY: usize = 4;
/// Bits of an entry that hold the order of placement, and above it the time.
pub(crate) const SEQUENCE_BITS: u32 = 44;
/// Bits of an entry that hold the reference to the hold.
const HOLD_BITS: u32 = 32;

/// Where the heap notes a hold's position.
pub(crate) trait Positions {
    fn set_position(&mut self, hold: u32, position: u32);
}

/// When a hold expires, and which hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct Expiring(u128);

impl Expiring {
    pub(crate) fn new(expires_at: u64, sequence: u64, hold: u32) -> Expiring {
        let time = u128::from(expires_at) << (SEQUENCE_BITS + HOLD_BITS);
        Expiring(time | u128::from(sequence) << HOLD_BITS | u128::from(hold))
    }

    pub(crate) fn expires_at(self) -> u64 {
        (self.0 >> (SEQUENCE_BITS + HOLD_BITS)) as u64
    }

    pub(crate) fn hold(self) -> u32 {
        self.0 as u32
    }
}

#[derive(Debug, Default)]
pub(crate) struct Expiry {
    heap: Paged<Expiring>,
}

impl Expiry {
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Every open hold, in no particular order.
    pub(crate) fn holds(&self) -> impl Iterator<Item = u32> {
        (0..self.heap.len()).map(|position| self.heap.get(position).hold())
    }

    /// The hold that expires first.
    pub(crate) fn first(&self) -> Option<Expiring> {
        (self.heap.len() > 0).then(|| *self.heap.get(0))
    }

    pub(crate) fn push(&mut self, entry: Expiring, holds: &mut impl Positions) {
        let end = self.heap.push(entry);
        self.rise(end, entry, holds);
    }

    /// Takes out the hold at this position.
    pub(crate) fn remove(&mut self, position: u32, holds: &mut impl Positions) {
        let last = self.heap.pop().expect("a hold that knows its position is in the heap");
        let position = position as usize;
        if position < self.heap.len() {
            self.settle_in(position, last, holds);
        }
    }

    /// Gives the hold at this position another time; it keeps its place in the order of placement.
    pub(crate) fn change(&mut self, position: u32, entry: Expiring, holds: &mut impl Positions) {
        self.settle_in(position as usize, entry, holds);
    }

    /// Puts an entry at or near a position whose old entry is gone.
    fn settle_in(&mut self, position: usize, entry: Expiring, holds: &mut impl Positions) {
        if position > 0 && entry < *self.heap.get((position - 1) / ARITY) {
            self.rise(position, entry, holds);
        } else {
            self.sink(position, entry, holds);
        }
    }

    fn rise(&mut self, mut position: usize, entry: Expiring, holds: &mut impl Positions) {
        while position > 0 {
            let parent = (position - 1) / ARITY;
            let above = *self.heap.get(parent);
            if above < entry {
                break;
            }
            self.put(position, above, holds);
            position = parent;
        }
        self.put(position, entry, holds);
    }

    fn sink(&mut self, mut position: usize, entry: Expiring, holds: &mut impl Positions) {
        loop {
            let first = position * ARITY + 1;
            let children = first..self.heap.len().min(first + ARITY);
            let smallest = children.map(|child| (*self.heap.get(child), child)).min();
            match smallest {
                Some((below, child)) if below < entry => {
                    self.put(position, below, holds);
                    position = child;
                }
                _ => break,
            }
        }
        self.put(position, entry, holds);
    }

    fn put(&mut self, position: usize, entry: Expiring, holds: &mut impl Positions) {
        *self.heap.get_mut(position) = entry;
        holds.set_position(entry.hold(), position as u32);
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        frozen.push(self.heap.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Expiry, RestoreError> {
        Ok(Expiry { heap: Paged::thaw(thaw)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

    #[derive(Default)]
    struct Noted(HashMap<u32, u32>);

    impl Positions for Noted {
        fn set_position(&mut self, hold: u32, position: u32) {
            self.0.insert(hold, position);
        }
    }

    #[test]
    fn holds_of_one_moment_expire_in_the_order_of_placement() {
        let (mut expiry, mut noted) = (Expiry::default(), Noted::default());
        for sequence in 0..20_000u64 {
            let hold = (sequence * 7919 % 20_000) as u32;
            expiry.push(Expiring::new(5, sequence, hold), &mut noted);
        }
        for sequence in 0..20_000u64 {
            let first = expiry.first().unwrap();
            assert_eq!(first.hold(), (sequence * 7919 % 20_000) as u32);
            expiry.remove(noted.0[&first.hold()], &mut noted);
        }
        assert_eq!(expiry.first(), None);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64),
        Remove(usize),
        Change(usize, u64),
        Pop,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..50u64).prop_map(Step::Push),
            1 => any::<usize>().prop_map(Step::Remove),
            1 => (any::<usize>(), 0..50u64).prop_map(|(which, at)| Step::Change(which, at)),
            1 => Just(Step::Pop),
        ]
    }

    proptest! {
        #[test]
        fn first_is_always_the_smallest(steps in prop::collection::vec(step(), 0..600)) {
            let (mut expiry, mut noted) = (Expiry::default(), Noted::default());
            let mut plain = BTreeSet::new();
            for (number, step) in steps.into_iter().enumerate() {
                let chosen = |which: usize| plain.iter().nth(which % plain.len().max(1)).copied();
                match step {
                    Step::Push(at) => {
                        let entry = Expiring::new(at, number as u64, number as u32);
                        expiry.push(entry, &mut noted);
                        plain.insert(entry);
                    }
                    Step::Remove(which) => if let Some(entry) = chosen(which) {
                        expiry.remove(noted.0[&entry.hold()], &mut noted);
                        plain.remove(&entry);
                    }
                    Step::Change(which, at) => if let Some(entry) = chosen(which) {
                        let sequence = (entry.0 >> 32) as u64 & ((1 << SEQUENCE_BITS) - 1);
                        let later = Expiring::new(at, sequence, entry.hold());
                        expiry.change(noted.0[&entry.hold()], later, &mut noted);
                        plain.remove(&entry);
                        plain.insert(later);
                    }
                    Step::Pop => if let Some(entry) = plain.pop_first() {
                        prop_assert_eq!(expiry.first(), Some(entry));
                        expiry.remove(noted.0[&entry.hold()], &mut noted);
                    }
                }
                prop_assert_eq!(expiry.first(), plain.first().copied());
                prop_assert_eq!(expiry.len(), plain.len());
            }
        }
    }
}
