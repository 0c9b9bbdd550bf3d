//! The once-memory: which ids have been seen, for as long as the contract (4.3) wants them known.
//!
//! Not a filter: ids are kept exactly. One memory serves one id space. Ids lie in a log of 32-bit
//! words in pages, oldest first. A page begins with a time; an entry has the time that decides how
//! long it is remembered, as a difference to that:
//!
//! | word | content, from the lowest bit |
//! |---|---|
//! | 0 | time less the page's 22, id tag 6, outcome 3, long 1 |
//! | 1 | merchant |
//! | 2 to 5 | only if long: time in full, the hold that pins the entry (0 for none), unused |
//! | then | the id, filled up to an even number of words |
//!
//! Whether an id is remembered is judged when it is looked up, exactly. Collecting what is forgotten
//! is another matter and never changes an answer: each addition looks at two entries at the old end,
//! steps over what is forgotten, and appends anew what is pinned. The index is not told: references
//! count positions in the log, so that one from before its old end is known to be dead, and the index
//! drops dead ones when a page of it is full. Before positions repeat (they are 31 bits), a slow sweep
//! has been over every page of the index. An order that has an open hold is not in the log: its id is
//! in the hold and the index points there. Invariant: an id that is remembered is in the index, under
//! exactly one reference that is not dead.

use crate::hash;
use crate::index::Index;
use crate::packed_id::{PackedId, TAG_BITS, WORDS_MAX, words_of};
use crate::paged::{PAGE_BYTES, Paged};
use crate::snapshot::{Frozen, RestoreError, Thaw};
use std::collections::VecDeque;

const PAGE_WORDS: usize = PAGE_BYTES / 4;
/// Words in front of a page's first entry: the time that its entries count from.
const PAGE_HEADER_WORDS: usize = 2;
/// Words of an entry before its id.
const HEADER_WORDS: usize = 2;
const LONG_HEADER_WORDS: usize = 6;
const ENTRY_WORDS_MAX: usize = LONG_HEADER_WORDS + WORDS_MAX;
/// Entries at the log's old end that are looked at for each one that is added.
const COLLECTED_EACH: usize = 2;
/// Marks a reference to a hold, as opposed to the log.
const IN_HOLD: u32 = 1 << 31;

/// Words that one step of a reference stands for.
const GRAIN: usize = 2;
/// Steps in a page.
const PAGE_STEPS: u32 = (PAGE_WORDS / GRAIN) as u32;
/// Page numbers before they repeat.
const PAGE_NUMBERS: u32 = IN_HOLD / PAGE_STEPS;
/// Most pages in use: half of the numbers, so that the other half is time enough for the sweep.
const PAGES_MAX: usize = PAGE_NUMBERS as usize / 2;

const DELTA_BITS: u32 = 22;
const DELTA_END: u64 = 1 << DELTA_BITS;
const TAG_SHIFT: u32 = DELTA_BITS;
const OUTCOME_SHIFT: u32 = TAG_SHIFT + TAG_BITS;
const LONG_SHIFT: u32 = OUTCOME_SHIFT + 3;
const _: () = assert!(LONG_SHIFT == 31 && PAGE_HEADER_WORDS + ENTRY_WORDS_MAX < PAGE_WORDS);

/// What became of a command; only an order's is ever asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Seen,
    Rejected,
    Settled,
    Cancelled,
    Expired,
}

const OUTCOMES: [Outcome; 5] =
    [Outcome::Seen, Outcome::Rejected, Outcome::Settled, Outcome::Cancelled, Outcome::Expired];

/// An id of one merchant, ready to be looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    hash: u32,
    merchant: u32,
    id: &'a PackedId,
}

impl<'a> Key<'a> {
    #[inline]
    pub(crate) fn new(merchant: u32, id: &'a PackedId) -> Key<'a> {
        Key { hash: hash::words(u64::from(merchant), id.words()), merchant, id }
    }

    /// A key whose hash was worked out before.
    #[inline]
    pub(crate) fn hashed(merchant: u32, id: &'a PackedId, hash: u32) -> Key<'a> {
        debug_assert_eq!(hash, Key::new(merchant, id).hash);
        Key { hash, merchant, id }
    }

    pub(crate) fn hash(&self) -> u32 {
        self.hash
    }

    pub(crate) fn merchant(&self) -> u32 {
        self.merchant
    }

    pub(crate) fn id(&self) -> &'a PackedId {
        self.id
    }
}

/// Where an id was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this open hold.
    Hold(u32),
    /// In the log; perhaps forgotten already.
    Log(u32),
}

impl Place {
    fn of(reference: u32) -> Place {
        if reference & IN_HOLD == 0 {
            Place::Log(reference)
        } else {
            Place::Hold(reference ^ IN_HOLD)
        }
    }

    fn reference(self) -> u32 {
        match self {
            Place::Hold(hold) => hold | IN_HOLD,
            Place::Log(entry) => entry,
        }
    }
}

/// How long something is remembered: until T exceeds its time by more than the window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    /// T, in milliseconds.
    pub(crate) now: u64,
    pub(crate) window: u64,
}

impl Horizon {
    fn reaches(self, time: u64) -> bool {
        time.saturating_add(self.window) >= self.now
    }
}

/// An entry's header.
#[derive(Debug, Clone, Copy)]
struct Entry {
    time: u64,
    tag: u8,
    outcome: u8,
    merchant: u32,
    is_long: bool,
    /// The hold that pins it; 0 for none.
    pinned_by: u32,
}

impl Entry {
    fn id_at(&self) -> usize {
        if self.is_long { LONG_HEADER_WORDS } else { HEADER_WORDS }
    }

    fn words(&self) -> usize {
        (self.id_at() + words_of(self.tag)).next_multiple_of(GRAIN)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    index: Index,
    words: Paged<u32>,
    /// Pages in use, oldest first, by their place in `words`.
    pages: VecDeque<u32>,
    /// Pages that wait to be used again.
    spare: Vec<u32>,
    /// Number of the oldest page, modulo `PAGE_NUMBERS`.
    oldest_page: u32,
    /// Next word to collect, in the oldest page.
    head: usize,
    /// Next word to write, in the newest page.
    tail: usize,
    /// Times below this were forgotten under earlier rules and do not come back.
    forgotten_below: u64,
    /// Entries between head and tail.
    entries: u64,
    /// Time of the oldest entry, or of one that was.
    oldest_time: u64,
}

impl Memory {
    /// Number of ids in the log, forgotten ones that are not collected yet included.
    pub(crate) fn len(&self) -> u64 {
        self.entries
    }

    /// Brings near where an id with this hash will be looked up.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// Where an id with this hash is, perhaps another one.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> Option<Place> {
        self.index.peek(hash).map(Place::of)
    }

    /// Finds an id, forgotten or not. `in_hold` tells whether a hold is the one of this id.
    #[inline]
    pub(crate) fn find(&self, key: &Key<'_>, in_hold: impl Fn(u32) -> bool) -> Option<Place> {
        let found = self.index.find(key.hash, |reference| match Place::of(reference) {
            Place::Hold(hold) => in_hold(hold),
            Place::Log(entry) => self.is(entry, key),
        });
        found.map(Place::of)
    }

    /// What became of an id in the log, if it is still remembered.
    pub(crate) fn outcome(&self, entry: u32, horizon: Horizon) -> Option<Outcome> {
        let (page, word) = self.place_of(entry);
        let entry = self.entry(page, word);
        let remembered = entry.pinned_by != 0 || self.in_time(entry.time, horizon);
        remembered.then(|| OUTCOMES[usize::from(entry.outcome)])
    }

    /// Notes that an order's id is in its hold from now on.
    pub(crate) fn move_to_hold(&mut self, key: &Key<'_>, before: Option<Place>, hold: u32) {
        self.point(key.hash, before, Place::Hold(hold));
    }

    /// Adds an id, in the stead of what was found under it `before`; gives where it is. An entry that
    /// is pinned by a hold is remembered until it is unpinned, whatever its time.
    pub(crate) fn add(
        &mut self,
        key: &Key<'_>,
        before: Option<Place>,
        time: u64,
        outcome: Outcome,
        pinned_by: Option<u32>,
    ) -> u32 {
        let (merchant, tag, outcome) = (key.merchant, key.id.tag(), outcome as u8);
        let pinned_by = pinned_by.unwrap_or(0);
        let is_long = pinned_by != 0;
        let entry = Entry { time, tag, outcome, merchant, is_long, pinned_by };
        let at = self.append(entry, key.id);
        self.point(key.hash, before, Place::Log(at));
        at
    }

    /// Lets go of the hold that pins an entry.
    pub(crate) fn unpin(&mut self, entry: u32) {
        let (page, word) = self.place_of(entry);
        self.words.page_mut(page)[word + HEADER_WORDS + 2] = 0;
    }

    /// Looks at the two oldest entries and steps over what is forgotten. To be called once for each
    /// entry that is added, or the log grows. `moved` learns where a pinned entry went.
    #[inline]
    pub(crate) fn collect(&mut self, horizon: Horizon, moved: impl FnMut(u32, u32)) {
        if !self.in_time(self.oldest_time, horizon) {
            self.collect_oldest(horizon, moved);
        }
    }

    fn collect_oldest(&mut self, horizon: Horizon, mut moved: impl FnMut(u32, u32)) {
        for _ in 0..COLLECTED_EACH {
            let Some((page, word)) = self.oldest() else { return };
            let entry = self.entry(page, word);
            self.oldest_time = entry.time;
            if self.in_time(entry.time, horizon) {
                return;
            }
            if entry.pinned_by != 0 {
                let id = PackedId::from_parts(entry.tag, self.id_words(page, word, &entry));
                let before = Place::Log(self.reference_of(0, self.head));
                let hash = Key::new(entry.merchant, &id).hash;
                let at = self.append(entry, &id);
                self.point(hash, Some(before), Place::Log(at));
                moved(entry.pinned_by, at);
            }
            self.head += entry.words();
            self.entries -= 1;
        }
    }

    /// Forgets for good what is forgotten now: another window must not bring it back.
    pub(crate) fn seal(&mut self, horizon: Horizon) {
        let floor = horizon.now.saturating_sub(horizon.window);
        self.forgotten_below = self.forgotten_below.max(floor);
    }

    fn in_time(&self, time: u64, horizon: Horizon) -> bool {
        time >= self.forgotten_below && horizon.reaches(time)
    }

    fn point(&mut self, hash: u32, before: Option<Place>, now: Place) {
        match before {
            Some(before) => {
                let replaced = self.index.replace(hash, before.reference(), now.reference());
                debug_assert!(replaced, "what was found is in the index");
            }
            None => {
                let ring = self.ring();
                self.index.insert_among(hash, now.reference(), |reference| ring.is_dead(reference));
            }
        }
    }

    /// The oldest entry's page and word, after giving back a page that was collected to its end.
    fn oldest(&mut self) -> Option<(usize, usize)> {
        let page = *self.pages.front()? as usize;
        if self.pages.len() == 1 {
            return (self.head < self.tail).then_some((page, self.head));
        }
        let ended = self.head >= PAGE_WORDS || self.words.page(page)[self.head + 1] == PAGE_END;
        if !ended {
            return Some((page, self.head));
        }
        self.pages.pop_front();
        self.spare.push(page as u32);
        self.oldest_page = (self.oldest_page + 1) % PAGE_NUMBERS;
        self.head = PAGE_HEADER_WORDS;
        self.oldest()
    }

    fn append(&mut self, mut entry: Entry, id: &PackedId) -> u32 {
        if self.pages.is_empty() || self.tail + entry.words() + LONG_HEADER_WORDS > PAGE_WORDS {
            // In the middle of the span, since a later entry may have an earlier time.
            self.begin_page(entry.time.saturating_sub(DELTA_END / 2));
        }
        let number = self.pages.len() - 1;
        let page = self.words.page_mut(self.pages[number] as usize);
        let base = time_at(page, 0);
        // Far from the page's time, which is rare: told in full.
        let delta = entry.time.checked_sub(base).filter(|delta| *delta < DELTA_END);
        entry.is_long |= delta.is_none();
        let words = entry.words();
        let run = &mut page[self.tail..self.tail + words];
        run[0] = delta.unwrap_or(0) as u32
            | u32::from(entry.tag) << TAG_SHIFT
            | u32::from(entry.outcome) << OUTCOME_SHIFT
            | u32::from(entry.is_long) << LONG_SHIFT;
        run[1] = entry.merchant;
        if entry.is_long {
            run[2] = entry.time as u32;
            run[3] = (entry.time >> 32) as u32;
            run[4] = entry.pinned_by;
        }
        run[entry.id_at()..][..id.words().len()].copy_from_slice(id.words());
        let at = self.reference_of(number, self.tail);
        self.tail += words;
        self.entries += 1;
        at
    }

    fn begin_page(&mut self, time: u64) {
        if let Some(page) = self.pages.back()
            && self.tail < PAGE_WORDS
        {
            self.words.page_mut(*page as usize)[self.tail + 1] = PAGE_END;
        }
        assert!(self.pages.len() < PAGES_MAX, "a once-memory has reached 8 GiB of remembered ids");
        let spare = self.spare.pop();
        let page = spare.unwrap_or_else(|| self.words.push_page() as u32);
        self.words.page_mut(page as usize)[..2]
            .copy_from_slice(&[time as u32, (time >> 32) as u32]);
        if self.pages.is_empty() {
            self.head = PAGE_HEADER_WORDS;
        }
        self.pages.push_back(page);
        self.tail = PAGE_HEADER_WORDS;
        let ring = self.ring();
        self.index.sweep_page(|reference| ring.is_dead(reference));
    }

    fn entry(&self, page: usize, word: usize) -> Entry {
        let page = self.words.page(page);
        let words = &page[word..];
        let is_long = words[0] >> LONG_SHIFT == 1;
        let delta = u64::from(words[0]) & (DELTA_END - 1);
        Entry {
            time: if is_long { time_at(words, HEADER_WORDS) } else { time_at(page, 0) + delta },
            tag: (words[0] >> TAG_SHIFT) as u8 & ((1 << TAG_BITS) - 1),
            outcome: (words[0] >> OUTCOME_SHIFT) as u8 & 7,
            merchant: words[1],
            is_long,
            pinned_by: if is_long { words[HEADER_WORDS + 2] } else { 0 },
        }
    }

    fn id_words(&self, page: usize, word: usize, entry: &Entry) -> impl Iterator<Item = u32> {
        self.words.page(page)[word + entry.id_at()..].iter().copied()
    }

    #[inline]
    fn is(&self, reference: u32, key: &Key<'_>) -> bool {
        if self.ring().is_dead(reference) {
            return false;
        }
        let (page, word) = self.place_of(reference);
        let entry = self.entry(page, word);
        entry.merchant == key.merchant && key.id.is(entry.tag, self.id_words(page, word, &entry))
    }

    #[inline]
    fn ring(&self) -> Ring {
        let collected = (self.head / GRAIN) as u32;
        let steps = (self.pages.len() as u32 * PAGE_STEPS).saturating_sub(collected);
        Ring { head: self.oldest_page * PAGE_STEPS + collected, steps }
    }

    /// Reference to a word of the page of this number among those in use.
    fn reference_of(&self, number: usize, word: usize) -> u32 {
        let page = (self.oldest_page + number as u32) % PAGE_NUMBERS;
        // Never 0, since a page's first step is its header.
        page * PAGE_STEPS + (word / GRAIN) as u32
    }

    /// Page and word of a reference that is not dead.
    fn place_of(&self, reference: u32) -> (usize, usize) {
        let number = (reference / PAGE_STEPS).wrapping_sub(self.oldest_page) % PAGE_NUMBERS;
        let word = (reference % PAGE_STEPS) as usize * GRAIN;
        (self.pages[number as usize] as usize, word)
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        frozen.push_slice(&[
            self.oldest_page.into(),
            self.head as u64,
            self.tail as u64,
            self.forgotten_below,
            self.entries,
            self.oldest_time,
        ]);
        frozen.push_slice(self.pages.make_contiguous());
        frozen.push_slice(&self.spare);
        frozen.push(self.words.freeze());
        self.index.freeze(frozen);
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Memory, RestoreError> {
        let scalars = thaw.exactly::<u64>(6)?;
        let (oldest_page, head, tail) =
            (scalars[0] as u32, scalars[1] as usize, scalars[2] as usize);
        thaw.check(oldest_page < PAGE_NUMBERS && head <= PAGE_WORDS && tail <= PAGE_WORDS)?;
        let pages: Vec<u32> = thaw.vec()?;
        let spare: Vec<u32> = thaw.vec()?;
        let words: Paged<u32> = Paged::thaw(thaw)?;
        thaw.check(words.len() == (pages.len() + spare.len()) * PAGE_WORDS)?;
        thaw.check(pages.iter().chain(&spare).all(|page| (*page as usize) < words.pages()))?;
        Ok(Memory {
            index: Index::thaw(thaw)?,
            words,
            pages: pages.into(),
            spare,
            oldest_page,
            head,
            tail,
            forgotten_below: scalars[3],
            entries: scalars[4],
            oldest_time: scalars[5],
        })
    }
}

/// Second word of an entry that is none: the rest of the page is unused. No merchant has that number,
/// for a merchant's record takes more than one byte.
const PAGE_END: u32 = u32::MAX;

fn time_at(words: &[u32], at: usize) -> u64 {
    u64::from(words[at]) | u64::from(words[at + 1]) << 32
}

/// Which positions of the log are in use, in the steps of references.
#[derive(Clone, Copy)]
struct Ring {
    /// The oldest entry.
    head: u32,
    /// From there to the end of the newest page.
    steps: u32,
}

impl Ring {
    /// Whether a reference points before the log's old end. None points behind its new end.
    #[inline]
    fn is_dead(self, reference: u32) -> bool {
        let since_head = reference.wrapping_sub(self.head) & (IN_HOLD - 1);
        (reference & IN_HOLD == 0) & (since_head >= self.steps)
    }
}

mod walk;

#[cfg(test)]
mod tests;
