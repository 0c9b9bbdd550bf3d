//! What happened in a run, in order: a hash of all of it, and the last of it in words.
//!
//! Not a log for operators. Invariant: the hash depends on the seed and the code alone; nothing that
//! differs from run to run (a wall clock, an address, the order of a hash map) is ever noted.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

use pipeline::log::Partition;
use xxhash_rust::xxh3::Xxh3;

use super::fault::{Fault, Phases};

/// Events that are kept for the report of a failure.
const KEPT: usize = 60;

/// Nobody in particular.
pub(super) const WORLD: u64 = u64::MAX;

/// Something that happened to a worker, or in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    Hired { name: u32 },
    Gone { how: Gone },
    Stopped,
    Struck { fault: Fault, phases: Phases },
    Called { call: CallName, ending: Ending },
    Assigned { partition: Partition },
    Revoked { partition: Partition },
    Lost { partition: Partition },
    Handed { partition: Partition, first: u64, records: usize },
    End { partition: Partition, position: u64 },
    OutOfRange { partition: Partition, oldest: u64 },
    Started { partition: Partition, at: u64 },
    Released { partition: Partition },
    Commit { outcome: Outcome, partitions: usize },
    Opened { partition: Partition, at: u64, replay_until: Option<u64> },
    NotOpened { partition: Partition, refused: bool },
    Answered { partition: Partition, committed: Option<u64> },
    Published { partition: Partition, offset: u64, well: bool },
    Store { call: StoreCall, partition: Partition, offset: u64, well: bool },
    Fed { partition: Partition, records: usize, end: u64 },
    Arrived { late: usize, changed: bool },
    Adopted { partition: Partition, snapshot: u64, committed: u64 },
    Calm,
    Probed { partition: Partition, offset: u64 },
    Output { topic: usize, partition: Partition, hash: u64 },
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Gone {
    Crashed,
    Left,
    FencedByNamesake,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Committed,
    Suspect,
    Unknown,
    Fenced,
    Aborted,
}

/// Calls on the log, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CallName {
    Poll,
    Start,
    Stop,
    Release,
    Join,
    Leave,
    InitProducer,
    Begin,
    Produce,
    SendOffsets,
    EndTransaction,
    AbortTransaction,
    AppendTick,
    Committed,
    InputBounds,
    OutputsAreEmpty,
    PartitionCount,
    ClusterId,
}

/// What was made of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    Passed,
    Lost,
    Unanswered,
    Late,
    Doubled,
}

/// Calls on the snapshot store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StoreCall {
    List,
    Read,
    Create,
    Replace,
    Delete,
}

/// An event with its time and whom it concerns.
#[derive(Debug, Clone, Copy, Hash)]
struct Noted {
    at_ms: u64,
    who: u64,
    event: Event,
}

/// See the module's documentation.
pub(super) struct Trace {
    hash: Xxh3,
    events: u64,
    last: VecDeque<Noted>,
    /// Whether everything is kept.
    whole: bool,
}

impl Trace {
    pub(super) fn new(whole: bool) -> Trace {
        Trace { hash: Xxh3::new(), events: 0, last: VecDeque::with_capacity(KEPT), whole }
    }

    pub(super) fn note(&mut self, at_ms: u64, who: u64, event: Event) {
        let noted = Noted { at_ms, who, event };
        noted.hash(&mut self.hash);
        self.events += 1;
        if self.last.len() == KEPT && !self.whole {
            self.last.pop_front();
        }
        self.last.push_back(noted);
    }

    /// The hash of everything so far.
    pub(super) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// The last of what is kept, in words.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let from = self.last.len().saturating_sub(KEPT);
        self.last.iter().skip(from).map(Noted::to_string).collect()
    }

    /// What is kept, in words.
    pub(super) fn lines(&self) -> Vec<String> {
        self.last.iter().map(Noted::to_string).collect()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trace").field("events", &self.events).finish_non_exhaustive()
    }
}

impl fmt::Display for Noted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Noted { at_ms, who, event } = self;
        match *who {
            WORLD => write!(formatter, "{at_ms:>8} ms            {event:?}"),
            who => write!(formatter, "{at_ms:>8} ms  worker {who:<3} {event:?}"),
        }
    }
}
