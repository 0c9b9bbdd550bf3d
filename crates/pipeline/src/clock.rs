//! The port through which a worker sees the wall clock.
//!
//! Only rhythm comes from here: when to commit, to write counters, to take a snapshot, to give up
//! waiting. Invariant: nothing that this clock says reaches the content of an output.

use std::time::{Duration, Instant};

/// Time since some fixed moment; never goes back.
pub trait Clock: Send {
    /// Now.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock, counted from its making.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts at zero.
    pub fn start() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
