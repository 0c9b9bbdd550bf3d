//! The time of day, which never goes back while a load runs.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    started: Instant,
    started_at_ms: f64,
}

impl WallClock {
    /// A clock that shows the machine's time as of now.
    #[must_use]
    pub fn new() -> WallClock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallClock { started: Instant::now(), started_at_ms: since_1970.as_secs_f64() * 1_000.0 }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.started_at_ms + self.started.elapsed().as_secs_f64() * 1_000.0) as i64
    }
}

impl Default for WallClock {
    fn default() -> WallClock {
        WallClock::new()
    }
}
