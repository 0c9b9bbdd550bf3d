//! When the time of a recording comes on the wall clock.
//!
//! The recording's own time never stretches: windows and times to live are what they were, whatever the
//! speed. Only long silences are cut short. Who publishes moves the timeline on, who times answers
//! looks moments up. Invariant: what is later in the recording is not due earlier.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded.
    Times(f64),
    /// As fast as the publisher goes: nothing is due, so nothing is late, and no answer is timed.
    Unpaced,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Timeline {
    speed: f64,
    pause_ms_max: i64,
    /// Where the two times meet anew, in the order of both; never empty.
    knots: Mutex<Vec<Knot>>,
}

#[derive(Debug, Clone, Copy)]
struct Knot {
    t_ms: i64,
    due_ms: i64,
}

impl Timeline {
    /// A timeline on which `t_ms` is due at `due_ms`, and no silence lasts longer than `pause_ms_max`.
    /// A speed that is no positive number counts as 1.
    #[must_use]
    pub fn new(t_ms: i64, due_ms: i64, speed: f64, pause_ms_max: i64) -> Timeline {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Timeline { speed, pause_ms_max, knots: Mutex::new(vec![Knot { t_ms, due_ms }]) }
    }

    /// When a moment of the recording is due, in milliseconds since 1970.
    #[must_use]
    pub fn due_ms(&self, t_ms: i64) -> i64 {
        let knots = self.lock();
        let behind = knots.partition_point(|knot| knot.t_ms <= t_ms);
        self.from(knots[behind.saturating_sub(1)], t_ms)
    }

    /// When the next record is due, whose T is `t_ms`, if the one before it was due at `last_due_ms`.
    /// A silence that is too long ends earlier, for good.
    pub(super) fn advance(&self, t_ms: i64, last_due_ms: i64) -> i64 {
        let mut knots = self.lock();
        let last = *knots.last().expect("a timeline begins with a knot");
        let due_ms = self.from(last, t_ms);
        let due_ms_max = last_due_ms.saturating_add(self.pause_ms_max);
        if due_ms <= due_ms_max {
            return due_ms;
        }
        knots.push(Knot { t_ms, due_ms: due_ms_max });
        due_ms_max
    }

    fn from(&self, knot: Knot, t_ms: i64) -> i64 {
        let passed = t_ms.saturating_sub(knot.t_ms) as f64 / self.speed;
        knot.due_ms.saturating_add(passed as i64)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Knot>> {
        // A knot is pushed whole or not at all.
        self.knots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod timeline_tests {
    use super::*;

    #[test]
    fn speed_divides_the_distances_and_leaves_the_order() {
        let timeline = Timeline::new(1_000, 50_000, 4.0, 60_000);
        assert_eq!(timeline.advance(1_000, 50_000), 50_000);
        assert_eq!(timeline.advance(1_400, 50_000), 50_100);
        assert_eq!(timeline.due_ms(1_200), 50_050);
        let slow = Timeline::new(1_000, 50_000, 0.1, 60_000);
        assert_eq!(slow.due_ms(1_200), 52_000);
    }

    /// Otherwise one record from a clock far ahead would keep a replay waiting for years.
    #[test]
    fn a_long_silence_is_cut_short_and_what_follows_moves_up() {
        let timeline = Timeline::new(0, 0, 1.0, 5_000);
        assert_eq!(timeline.advance(4_000, 0), 4_000);
        assert_eq!(timeline.advance(1_000_000, 4_000), 9_000);
        assert_eq!(timeline.advance(1_000_700, 9_000), 9_700);
        assert_eq!(timeline.advance(1_000_000_000_000_000, 9_700), 14_700);
        // Answers come later than that, and are timed from when their cause was due.
        let looked_up: Vec<i64> = [3_999, 4_000, 1_000_000, 1_000_700, 1_000_000_000_000_000]
            .map(|t_ms| timeline.due_ms(t_ms))
            .to_vec();
        assert_eq!(looked_up, [3_999, 4_000, 9_000, 9_700, 14_700]);
    }
}
