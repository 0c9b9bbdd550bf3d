//! A hash index from keys to 32-bit references, by extendible hashing (Fagin et al., 1979).
//!
//! Not a map: keys live behind the references, and whoever looks up says how to compare. An entry is
//! one word: 32 bits of the key's hash and the reference. The hash's upper 21 bits choose a page of
//! 16 KiB through a directory, eight of the others a cache line in it; probing begins at the start of
//! that line, where it nearly always ends too, and goes on linearly within the page.
//! A page that is three quarters full is split by one more bit of the directory, without looking at a
//! key, so the largest step of growth is one page and a copy of the directory (4 bytes for each
//! page). An owner whose references die in bulk need not take each of them out: a full page first
//! drops the dead. Invariants: a reference is never 0; a page always has an empty slot, so probing ends.
//!
//! Ids come from publishers who are authenticated but could choose them so that hashes collide.
//! Then a page that 21 bits cannot split any further is filled up, and what it cannot take goes to a
//! list that is searched from end to end: such ids are found slowly, and still correctly.

use crate::paged::{PAGE_BYTES, Paged};
use crate::snapshot::{Frozen, RestoreError, Thaw};

/// Slots of one cache line.
const LINE_SLOTS: usize = 8;
/// Slots in a page.
const SLOTS: usize = PAGE_BYTES / size_of::<u64>();
const SLOT_MASK: usize = SLOTS - 1;
/// Entries at which a page is split. Fuller pages would save an eighth of the memory and double the
/// slots that a look-up in vain goes over.
const SPLIT_AT: u16 = (SLOTS / 4 * 3) as u16;
/// Entries that a page keeps without being split, once its dead are dropped: few enough that it does
/// not have to drop them again soon.
const KEPT_AT: u16 = (SLOTS / 16 * 9) as u16;
/// Entries in a page that cannot be split: all but the one slot that ends a probe.
const FULL_AT: u16 = (SLOTS - 1) as u16;
/// Most bits of a hash that the directory uses.
const DEPTH_MAX: u32 = 32 - SLOTS.trailing_zeros();

/// What the index knows about a page besides its slots.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Head {
    entries: u16,
    /// Bits of the hash that all entries share.
    depth: u8,
    /// 1 if entries of this page are in the overflow list.
    overflown: u8,
}

#[derive(Debug)]
pub(crate) struct Index {
    /// Page numbers by the upper `depth` bits of the hash.
    directory: Vec<u32>,
    depth: u32,
    heads: Vec<Head>,
    slots: Paged<u64>,
    overflow: Vec<u64>,
    len: u64,
    /// The page that was swept last.
    swept: usize,
}

fn entry(hash: u32, reference: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(reference)
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

/// Where probing for a hash begins.
fn home(hash: u32) -> usize {
    hash as usize & SLOT_MASK & !(LINE_SLOTS - 1)
}

impl Default for Index {
    fn default() -> Index {
        let mut slots = Paged::default();
        slots.push_page();
        Index {
            directory: vec![0],
            depth: 0,
            heads: vec![Head { entries: 0, depth: 0, overflown: 0 }],
            slots,
            overflow: Vec::new(),
            len: 0,
            swept: 0,
        }
    }
}

impl Index {
    /// Number of entries.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The reference whose key has this hash and satisfies `is`.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let page = self.page_of(hash);
        let slots = self.page(page);
        let mut slot = home(hash);
        loop {
            let found = slots[slot];
            if found == 0 {
                break;
            }
            if hash_of(found) == hash && is(found as u32) {
                return Some(found as u32);
            }
            slot = (slot + 1) & SLOT_MASK;
        }
        if self.overflow.is_empty() {
            return None;
        }
        let mut same = self.overflow.iter().filter(|found| hash_of(**found) == hash);
        same.find(|found| is(**found as u32)).map(|found| *found as u32)
    }

    /// Brings the line near in which a look-up of this hash begins, without waiting for it.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        prefetch::prefetch(&self.page(self.page_of(hash))[home(hash)]);
    }

    /// A reference whose key has this hash and may or may not be the one that is meant.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Adds a reference that is not in the index.
    pub(crate) fn insert(&mut self, hash: u32, reference: u32) {
        self.insert_among(hash, reference, |_| false);
    }

    /// Adds a reference to an index of which some references are dead.
    #[inline]
    pub(crate) fn insert_among(
        &mut self,
        hash: u32,
        reference: u32,
        is_dead: impl Fn(u32) -> bool,
    ) {
        debug_assert_ne!(reference, 0, "0 marks an empty slot");
        let mut page = self.page_of(hash);
        if self.heads[page].entries >= SPLIT_AT {
            self.drop_dead(page, is_dead);
            while self.heads[page].entries >= KEPT_AT && self.split(page, hash) {
                page = self.page_of(hash);
            }
        }
        self.len += 1;
        let head = &mut self.heads[page];
        if head.entries == FULL_AT {
            head.overflown = 1;
            self.overflow.push(entry(hash, reference));
        } else {
            head.entries += 1;
            put(self.page_mut(page), entry(hash, reference));
        }
    }

    /// Drops the dead of one page, another one at each call, in turn.
    pub(crate) fn sweep_page(&mut self, is_dead: impl Fn(u32) -> bool) {
        self.swept = (self.swept + 1) % self.heads.len();
        self.drop_dead(self.swept, is_dead);
    }

    #[cold]
    fn drop_dead(&mut self, page: usize, is_dead: impl Fn(u32) -> bool) {
        let dead = |entry: u64| is_dead(entry as u32);
        let before = self.heads[page].entries;
        // Counted first, several at once: a page without dead is left alone, and perhaps a snapshot shares it.
        let references = self.page(page).iter().map(|entry| *entry as u32);
        let alive: u32 = references.map(|found| u32::from((found != 0) & !is_dead(found))).sum();
        if alive < u32::from(before) {
            let mut kept = [0; SLOTS];
            let mut count = 0;
            for entry in self.page(page) {
                // Without branches, since nobody could foretell them.
                kept[count % SLOTS] = *entry;
                count += usize::from((*entry != 0) & !dead(*entry));
            }
            let slots = self.page_mut(page);
            slots.fill(0);
            kept[..count].iter().for_each(|entry| put(slots, *entry));
            self.heads[page].entries = count as u16;
            self.len -= u64::from(before) - count as u64;
        }
        if self.heads[page].overflown != 0 {
            let before = self.overflow.len();
            self.overflow.retain(|entry| !dead(*entry));
            self.len -= (before - self.overflow.len()) as u64;
        }
    }

    /// Replaces a reference; tells whether it was there.
    pub(crate) fn replace(&mut self, hash: u32, old: u32, new: u32) -> bool {
        let page = self.page_of(hash);
        if let Some(slot) = self.slot_of(page, entry(hash, old)) {
            self.page_mut(page)[slot] = entry(hash, new);
            return true;
        }
        let found = self.overflow.iter_mut().find(|found| **found == entry(hash, old));
        found.map(|found| *found = entry(hash, new)).is_some()
    }

    /// Takes a reference out; tells whether it was there.
    pub(crate) fn remove(&mut self, hash: u32, reference: u32) -> bool {
        let page = self.page_of(hash);
        if let Some(slot) = self.slot_of(page, entry(hash, reference)) {
            close_gap(self.page_mut(page), slot);
            self.heads[page].entries -= 1;
        } else if let Some(place) =
            self.overflow.iter().position(|found| *found == entry(hash, reference))
        {
            self.overflow.swap_remove(place);
        } else {
            return false;
        }
        self.len -= 1;
        true
    }

    #[inline]
    fn page_of(&self, hash: u32) -> usize {
        // In 64 bits, since a depth of 0 would shift all 32 away.
        self.directory[((u64::from(hash) << self.depth) >> 32) as usize] as usize
    }

    #[inline]
    fn page(&self, page: usize) -> &[u64] {
        self.slots.page(page)
    }

    #[inline]
    fn page_mut(&mut self, page: usize) -> &mut [u64] {
        self.slots.page_mut(page)
    }

    fn slot_of(&self, page: usize, entry: u64) -> Option<usize> {
        let slots = self.page(page);
        let mut slot = home(hash_of(entry));
        while slots[slot] != 0 {
            if slots[slot] == entry {
                return Some(slot);
            }
            slot = (slot + 1) & SLOT_MASK;
        }
        None
    }

    /// Divides a page by the next bit of its entries' hashes; false if there is no such bit.
    #[cold]
    fn split(&mut self, page: usize, hash: u32) -> bool {
        let depth = u32::from(self.heads[page].depth);
        if depth == DEPTH_MAX {
            return false;
        }
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|page| [*page, *page]).collect();
            self.depth += 1;
        }
        let upper = self.slots.push_page();
        let depth = depth + 1;
        let mut heads = [Head { entries: 0, depth: depth as u8, overflown: 0 }; 2];
        let entries = self.page(page).to_vec();
        self.page_mut(page).fill(0);
        for entry in entries.into_iter().filter(|entry| *entry != 0) {
            let side = (hash_of(entry) >> (32 - depth)) as usize & 1;
            heads[side].entries += 1;
            put(self.page_mut([page, upper][side]), entry);
        }
        self.heads[page] = heads[0];
        self.heads.push(heads[1]);
        // The directory's entries for this page are one run; its second half is the new page's.
        let spare = self.depth - depth;
        let first = (((u64::from(hash) << depth) >> 32) as usize | 1) << spare;
        self.directory[first..first + (1 << spare)].fill(upper as u32);
        true
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        frozen.push_slice(&[self.swept as u64]);
        frozen.push_slice(&self.directory);
        frozen.push_slice(&self.heads);
        frozen.push_slice(&self.overflow);
        frozen.push(self.slots.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Index, RestoreError> {
        let swept = thaw.exactly::<u64>(1)?[0] as usize;
        let directory: Vec<u32> = thaw.vec()?;
        thaw.check(directory.len().is_power_of_two())?;
        let depth = directory.len().trailing_zeros();
        thaw.check(depth <= DEPTH_MAX)?;
        let heads: Vec<Head> = thaw.vec()?;
        thaw.check(directory.iter().all(|page| (*page as usize) < heads.len()))?;
        thaw.check(heads.iter().all(|head| head.entries <= FULL_AT))?;
        let overflow: Vec<u64> = thaw.vec()?;
        let slots: Paged<u64> = Paged::thaw(thaw)?;
        thaw.check(slots.len() == heads.len() * SLOTS)?;
        let paged: u64 = heads.iter().map(|head| u64::from(head.entries)).sum();
        let len = paged + overflow.len() as u64;
        Ok(Index { directory, depth, heads, slots, overflow, len, swept })
    }
}

/// Puts an entry into the first free slot from where probing begins.
fn put(slots: &mut [u64], entry: u64) {
    let mut slot = home(hash_of(entry));
    while slots[slot] != 0 {
        slot = (slot + 1) & SLOT_MASK;
    }
    slots[slot] = entry;
}

/// Empties a slot and moves back whatever would not be found beyond the gap (Knuth, 6.4 R).
fn close_gap(slots: &mut [u64], mut gap: usize) {
    let mut slot = gap;
    loop {
        slot = (slot + 1) & SLOT_MASK;
        let moving = slots[slot];
        if moving == 0 {
            break;
        }
        // It may move if its probing does not begin behind the gap, on the way to where it is.
        if (slot.wrapping_sub(home(hash_of(moving))) & SLOT_MASK)
            >= (slot.wrapping_sub(gap) & SLOT_MASK)
        {
            slots[gap] = moving;
            gap = slot;
        }
    }
    slots[gap] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// An index beside a plain map, from reference to hash.
    #[derive(Default)]
    struct Pair {
        index: Index,
        plain: HashMap<u32, u32>,
    }

    impl Pair {
        fn insert(&mut self, hash: u32, reference: u32) {
            if self.plain.insert(reference, hash).is_none() {
                self.index.insert(hash, reference);
            }
        }

        fn remove(&mut self, reference: u32) {
            let hash = self.plain.remove(&reference);
            assert_eq!(self.index.remove(hash.unwrap_or(reference), reference), hash.is_some());
        }

        fn find(&self, hash: u32, reference: u32) -> Option<u32> {
            self.index.find(hash, |found| found == reference)
        }

        fn check(&self) {
            assert_eq!(self.index.len(), self.plain.len() as u64);
            for (reference, hash) in &self.plain {
                assert_eq!(self.find(*hash, *reference), Some(*reference));
            }
        }
    }

    fn spread(number: u32) -> u32 {
        crate::hash::pair(number.into(), 1)
    }

    #[test]
    fn growth_over_many_splits_loses_nothing() {
        let mut pair = Pair::default();
        for number in 1..=60_000 {
            pair.insert(spread(number), number);
        }
        pair.check();
        assert_eq!(pair.find(spread(60_001), 60_001), None);
        for number in (1..=60_000).filter(|number| number % 3 != 0) {
            pair.remove(number);
        }
        pair.check();
        assert!((1..=60_000).all(|n| pair.find(spread(n), n).is_some() == (n % 3 == 0)));
    }

    #[test]
    fn colliding_hashes_end_in_slow_look_ups_and_not_in_wrong_ones() {
        let mut pair = Pair::default();
        for number in 1..=5_000 {
            pair.insert(0xdead_beef, number);
        }
        // The same page, but another slot.
        for number in 5_001..=9_000 {
            pair.insert(0xdead_bf00 | number & 0xff, number);
        }
        pair.insert(7, 10_000);
        pair.check();
        assert_eq!(pair.find(0xdead_beef, 9_999), None);
        for number in (1..=9_000).step_by(2) {
            pair.remove(number);
        }
        pair.check();
        assert!(pair.index.replace(0xdead_beef, 4_000, 20_000));
        assert_eq!(pair.find(0xdead_beef, 20_000), Some(20_000));
        assert_eq!(pair.find(0xdead_beef, 4_000), None);
    }

    #[test]
    fn dead_references_make_room_and_living_ones_stay() {
        let mut index = Index::default();
        for number in 1..=200_000u32 {
            index.insert_among(spread(number), number, |other| other + 5_000 < number);
            if number % 500 == 0 {
                index.sweep_page(|other| other + 5_000 < number);
            }
        }
        assert!((195_001..=200_000).all(|n| index.find(spread(n), |found| found == n).is_some()));
        // Had the dead stayed, they would fill some 150 pages.
        assert!(index.heads.len() <= 8, "{} pages", index.heads.len());
        for _ in 0..index.heads.len() {
            index.sweep_page(|other| other <= 195_000);
        }
        assert_eq!(index.len(), 5_000);
    }

    proptest! {
        #[test]
        fn an_index_finds_what_a_map_finds(
            // Few hashes close to the end of a page, so that probes wrap around and gaps close.
            steps in prop::collection::vec((0..3u32, 1..400u32), 0..800)
        ) {
            let mut pair = Pair::default();
            let hash = |number: u32| (number % 5) << 30 | (0x7e0 + number % 37) & 0x7ff;
            for (kind, number) in steps {
                if kind == 0 { pair.remove(number) } else { pair.insert(hash(number), number) }
            }
            pair.check();
            prop_assert!((1..400).all(|n| pair.find(hash(n), n).is_some() == pair.plain.contains_key(&n)));
        }
    }
}
