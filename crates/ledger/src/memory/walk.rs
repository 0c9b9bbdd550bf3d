//! All ids that a once-memory remembers, one after the other, for those who take the state along.
//!
//! Not a look-up: the log is read from its old end to its new one. An entry that was replaced by a
//! later one of the same id is still in the log, but it was forgotten before it was replaced.
//! Invariant: an id that is remembered is given exactly once.

use super::{Entry, Horizon, Memory, OUTCOMES, Outcome, PAGE_END, PAGE_HEADER_WORDS, PAGE_WORDS};
use crate::packed_id::PackedId;

/// An id as the memory has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remembered {
    pub(crate) merchant: u32,
    pub(crate) id: PackedId,
    pub(crate) outcome: Outcome,
    /// The time that decides how long it is remembered.
    pub(crate) time: u64,
}

impl Memory {
    /// Gives every id in the log that is remembered for its time; not one that a hold pins, nor one
    /// that is in a hold.
    pub(crate) fn for_each_in_time(&self, horizon: Horizon, mut on: impl FnMut(Remembered)) {
        for (number, page) in self.pages.iter().map(|page| *page as usize).enumerate() {
            let mut word = if number == 0 { self.head } else { PAGE_HEADER_WORDS };
            let end = if number + 1 == self.pages.len() { self.tail } else { PAGE_WORDS };
            while word < end && self.words.page(page)[word + 1] != PAGE_END {
                let entry = self.entry(page, word);
                if entry.pinned_by == 0 && self.in_time(entry.time, horizon) {
                    on(self.remembered(page, word, &entry));
                }
                word += entry.words();
            }
        }
    }

    /// The id at a reference that is not dead.
    pub(crate) fn read(&self, reference: u32) -> Remembered {
        let (page, word) = self.place_of(reference);
        self.remembered(page, word, &self.entry(page, word))
    }

    fn remembered(&self, page: usize, word: usize, entry: &Entry) -> Remembered {
        Remembered {
            merchant: entry.merchant,
            id: PackedId::from_parts(entry.tag, self.id_words(page, word, entry)),
            outcome: OUTCOMES[usize::from(entry.outcome)],
            time: entry.time,
        }
    }
}
