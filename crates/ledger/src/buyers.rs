//! How many units of a limited SKU each buyer has held or bought (contract, 4.11).
//!
//! Not a history: a count exists only while its SKU's limit does. Dropping all counts of a SKU costs
//! nothing: the SKU's limit gets a later beginning, and counts with an earlier one are dead. A clock
//! hand takes dead ones away, two steps for each new count. Invariant: a dead count is never read.

use crate::catalogue::{Sku, Skus};
use crate::hash;
use crate::index::Index;
use crate::paged::Paged;
use crate::snapshot::{Frozen, RestoreError, Thaw};

/// Steps of the clock hand for each new count.
const STEPS_EACH: usize = 2;

#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Count {
    buyer: u64,
    /// The SKU's `limit_since` when the count began.
    since: u64,
    sku: u32,
    /// 0: the record is free, and `sku` is the next free one, counted from 1.
    units: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Buyers {
    index: Index,
    counts: Paged<Count>,
    /// First free record, counted from 1; 0 for none.
    free: u32,
    hand: usize,
}

fn hash_of(sku: u32, buyer: u64) -> u32 {
    hash::pair(buyer, u64::from(sku))
}

fn is_alive(count: &Count, skus: &Skus) -> bool {
    let sku = skus.get(count.sku);
    sku.limit > 0 && sku.limit_since == count.since
}

impl Buyers {
    fn find(&self, sku: u32, buyer: u64) -> Option<usize> {
        let is = |reference: u32| {
            let count = self.counts.get(reference as usize - 1);
            count.buyer == buyer && count.sku == sku
        };
        self.index.find(hash_of(sku, buyer), is).map(|reference| reference as usize - 1)
    }

    /// What the buyer has of a SKU that has a limit.
    pub(crate) fn units(&self, number: u32, sku: &Sku, buyer: u64) -> u32 {
        let found = self.find(number, buyer).map(|found| self.counts.get(found));
        found.filter(|count| count.since == sku.limit_since).map_or(0, |count| count.units)
    }

    /// SKU, buyer and units of every count that is not dead.
    pub(crate) fn alive(&self, skus: &Skus) -> impl Iterator<Item = (u32, u64, u32)> {
        let counts = (0..self.counts.len()).map(|place| self.counts.get(place));
        let alive = counts.filter(|count| count.units > 0 && is_alive(count, skus));
        alive.map(|count| (count.sku, count.buyer, count.units))
    }

    /// Adds to what the buyer has of a SKU that has a limit.
    pub(crate) fn add(&mut self, skus: &Skus, sku: u32, buyer: u64, units: u32) {
        let since = skus.get(sku).limit_since;
        let Some(found) = self.find(sku, buyer) else {
            self.insert(Count { buyer, since, sku, units });
            self.collect(skus);
            return;
        };
        let count = self.counts.get_mut(found);
        if count.since == since {
            // Never above the largest limit, against which it was checked.
            count.units += units;
        } else {
            *count = Count { since, units, ..*count };
        }
    }

    /// Takes off what `add` added, and the count with it when nothing is left.
    pub(crate) fn take(&mut self, sku: u32, buyer: u64, units: u32) {
        let found =
            self.find(sku, buyer).expect("what a hold added is counted until it is released");
        let count = self.counts.get_mut(found);
        count.units -= units;
        if count.units == 0 {
            self.remove(found);
        }
    }

    fn insert(&mut self, count: Count) {
        let place = if self.free == 0 {
            self.counts.push(count)
        } else {
            let place = self.free as usize - 1;
            let record = self.counts.get_mut(place);
            self.free = record.sku;
            *record = count;
            place
        };
        self.index.insert(hash_of(count.sku, count.buyer), place as u32 + 1);
    }

    fn remove(&mut self, place: usize) {
        let count = self.counts.get_mut(place);
        let hash = hash_of(count.sku, count.buyer);
        *count = Count { buyer: 0, since: 0, sku: self.free, units: 0 };
        self.free = place as u32 + 1;
        self.index.remove(hash, self.free);
    }

    fn collect(&mut self, skus: &Skus) {
        for _ in 0..STEPS_EACH {
            self.hand = (self.hand + 1) % self.counts.len();
            let count = self.counts.get(self.hand);
            if count.units > 0 && !is_alive(count, skus) {
                self.remove(self.hand);
            }
        }
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        frozen.push_slice(&[u64::from(self.free), self.hand as u64]);
        frozen.push(self.counts.freeze());
        self.index.freeze(frozen);
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Buyers, RestoreError> {
        let scalars = thaw.exactly::<u64>(2)?;
        let counts: Paged<Count> = Paged::thaw(thaw)?;
        thaw.check(scalars.iter().all(|place| *place <= counts.len() as u64))?;
        let index = Index::thaw(thaw)?;
        Ok(Buyers { index, counts, free: scalars[0] as u32, hand: scalars[1] as usize })
    }
}
