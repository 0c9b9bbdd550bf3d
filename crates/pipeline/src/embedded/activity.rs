//! Lets a poll sleep until something happened anywhere in the broker.
//!
//! Not a queue: it says that something happened, not what. Invariant: whoever notes the count,
//! looks around, finds nothing and waits, is woken by everything that happened after the note.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::locked;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// How often something happened. Written by whoever did it, read by sleepers.
    count: AtomicU64,
    /// How many sleep or are about to. Written by sleepers, read by whoever does something.
    sleepers: AtomicUsize,
    gate: Mutex<()>,
    woken: Condvar,
}

impl Activity {
    /// To be noted before looking around.
    pub(super) fn count(&self) -> u64 {
        // Pairs with `announce`: what was done before an announcement that is counted here is seen.
        self.count.load(Ordering::SeqCst)
    }

    /// Something happened that a sleeper may wait for. Takes no lock while nobody sleeps.
    pub(super) fn announce(&self) {
        // This and `sleep` each write one of the two and then read the other; in the one order of
        // all `SeqCst` operations at least one of them sees what the other wrote.
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            // A sleeper between its last look at the count and its wait holds the gate: once the
            // gate is passed it does wait, and is woken.
            drop(locked(&self.gate));
            self.woken.notify_all();
        }
    }

    /// Whether somebody sleeps, or is about to.
    #[cfg(test)]
    pub(super) fn has_sleepers(&self) -> bool {
        self.sleepers.load(Ordering::SeqCst) > 0
    }

    /// Sleeps until something happened since `seen` was noted, or until `deadline`. Says whether
    /// something did.
    pub(super) fn sleep(&self, seen: u64, deadline: Deadline) -> bool {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let nothing_happened = |(): &mut ()| self.count.load(Ordering::SeqCst) == seen;
        let (gate, _) = self
            .woken
            .wait_timeout_while(locked(&self.gate), deadline.left(), nothing_happened)
            .expect("no call panics while it holds a lock of the broker");
        drop(gate);
        // Pairs with the load in `announce`; too high a count of sleepers only costs a needless wake.
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        self.count() != seen
    }
}

/// When a wait is over. The broker's only look at a clock: it bounds how long a thread sleeps and
/// decides nothing else; without a wait there is no look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// No wait at all.
    pub(super) const PASSED: Deadline = Deadline(None);

    /// That far from now, a year at most.
    pub(super) fn after(wait: Duration) -> Deadline {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        if wait.is_zero() {
            Deadline::PASSED
        } else {
            Deadline(Some(Instant::now() + wait.min(YEAR)))
        }
    }

    /// Zero once it has passed.
    pub(super) fn left(self) -> Duration {
        self.0.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }
}
