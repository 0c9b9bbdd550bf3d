//! Which ids are remembered, and for how long (contract section 4.3).
//!
//! One `Memory` is one id space. An entry is forgotten once the partition's time has passed its
//! `latest` time by more than the window, unless it is pinned: an order while its hold has not
//! ended, a deposit's payment while its hold has not. Memory holds nothing else, so it is as large
//! as what is remembered; forgetting looks only at what is due.

use std::collections::{BTreeSet, HashMap};

/// An id of one merchant, as it came.
pub(crate) type Id = (u64, String);

/// An id space, with what is known of each remembered id.
#[derive(Clone, Debug)]
pub(crate) struct Memory<V> {
    window_ms: u64,
    entries: HashMap<Id, Entry<V>>,
    /// Every entry that is not pinned, in the order in which they are forgotten. It may name an
    /// entry that has been pinned or prolonged since; `forget` skips those.
    by_latest: BTreeSet<(u64, Id)>,
}

#[derive(Clone, Debug)]
struct Entry<V> {
    value: V,
    latest: u64,
    pinned: bool,
}

impl<V> Memory<V> {
    pub(crate) fn new(window_ms: u64) -> Memory<V> {
        Memory { window_ms, entries: HashMap::new(), by_latest: BTreeSet::new() }
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.entries.contains_key(id)
    }

    pub(crate) fn get(&self, id: &Id) -> Option<&V> {
        self.entries.get(id).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, id: &Id) -> Option<&mut V> {
        self.entries.get_mut(id).map(|entry| &mut entry.value)
    }

    /// Every remembered id with what is known of it, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Id, &V)> {
        self.entries.iter().map(|(id, entry)| (id, &entry.value))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Remembers `id` while `now - window <= latest`.
    pub(crate) fn remember(&mut self, id: Id, value: V, latest: u64) {
        self.by_latest.insert((latest, id.clone()));
        self.entries.insert(id, Entry { value, latest, pinned: false });
    }

    /// Keeps a remembered `id` until it is unpinned, however long that takes.
    pub(crate) fn pin(&mut self, id: &Id) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.pinned = true;
        }
    }

    /// From here on `id` is remembered while `now - window` is at most the later of what it was
    /// remembered by and `latest`.
    pub(crate) fn unpin(&mut self, id: &Id, latest: u64) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.pinned = false;
            entry.latest = entry.latest.max(latest);
            self.by_latest.insert((entry.latest, id.clone()));
        }
    }

    /// Forgets what is not to be remembered at time `now`.
    pub(crate) fn forget(&mut self, now: u64) {
        while let Some((latest, _)) = self.by_latest.first() {
            if latest.saturating_add(self.window_ms) >= now {
                return;
            }
            let Some((latest, id)) = self.by_latest.pop_first() else { return };
            let due = |entry: &Entry<V>| !entry.pinned && entry.latest == latest;
            if self.entries.get(&id).is_some_and(due) {
                self.entries.remove(&id);
            }
        }
    }
}
