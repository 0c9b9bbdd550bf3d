//! The moments at which the settled sum passed each round sum.
//!
//! Invariant: a moment is exact to the second only if it was watched; otherwise it is the minute's,
//! which the counters of minutes keep through every restart, and says so.

use std::collections::BTreeMap;

use serde::Serialize;

/// The lowest: 10,000 yuan in fen.
const LOWEST: u128 = 1_000_000;
/// The newest so many are told.
const TOLD_MAX: usize = 12;

/// A round sum and when it was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Milestone {
    /// The sum, in minor units.
    pub(crate) amount: u128,
    /// When it was passed: the moment, or the beginning of the minute.
    pub(crate) at_ms: u64,
    /// How exactly that is known, in seconds: 1 or 60.
    pub(crate) within_seconds: u64,
}

/// 1, 2 and 5 with any number of zeros.
fn round_sums() -> impl Iterator<Item = u128> {
    let decades = (0..30).map(|zeros| LOWEST * 10_u128.pow(zeros));
    decades.flat_map(|decade| [1, 2, 5].map(|times| times * decade))
}

/// The lowest round sum above an amount.
pub(crate) fn next(amount: u128) -> Option<u128> {
    round_sums().find(|sum| *sum > amount)
}

/// The moments that were watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    settled: Option<u128>,
    at_ms: BTreeMap<u128, u64>,
}

impl Watched {
    /// The sum at a moment shortly after the one before.
    pub(crate) fn see(&mut self, settled: u128, at_ms: u64) {
        if let Some(before) = self.settled {
            let passed = round_sums().skip_while(|sum| *sum <= before);
            for sum in passed.take_while(|sum| *sum <= settled) {
                self.at_ms.entry(sum).or_insert(at_ms);
            }
        }
        self.settled = Some(settled);
    }

    /// All that were passed, the newest last, by each minute's beginning and settled amount.
    pub(crate) fn passed(&self, minutes: impl Iterator<Item = (u64, u128)>) -> Vec<Milestone> {
        let mut passed = Vec::new();
        let mut sums = round_sums().peekable();
        let mut settled = 0_u128;
        for (at_ms, in_minute) in minutes {
            settled = settled.saturating_add(in_minute);
            while let Some(amount) = sums.next_if(|sum| *sum <= settled) {
                let (at_ms, within_seconds) = match self.at_ms.get(&amount) {
                    Some(at_ms) => (*at_ms, 1),
                    None => (at_ms, 60),
                };
                passed.push(Milestone { amount, at_ms, within_seconds });
            }
        }
        passed.split_off(passed.len().saturating_sub(TOLD_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_passed_in_the_minute_that_reached_it() {
        let minutes = [(0, 900_000), (60_000, 100_000), (120_000, 4_000_000)];
        let passed = Watched::default().passed(minutes.into_iter());
        let told: Vec<_> = passed.iter().map(|m| (m.amount, m.at_ms, m.within_seconds)).collect();
        assert_eq!(
            told,
            [(1_000_000, 60_000, 60), (2_000_000, 120_000, 60), (5_000_000, 120_000, 60)]
        );
        assert_eq!(next(5_000_000), Some(10_000_000));
        assert_eq!(next(0), Some(1_000_000));
    }

    #[test]
    fn only_what_was_watched_is_exact() {
        let mut watched = Watched::default();
        // The first sight may come hours after the sum was passed.
        watched.see(1_500_000, 61_000);
        watched.see(1_999_999, 62_000);
        watched.see(2_000_000, 63_000);
        watched.see(2_000_001, 64_000);
        let passed = watched.passed([(0, 1_500_000), (60_000, 500_001)].into_iter());
        let told: Vec<_> = passed.iter().map(|m| (m.amount, m.at_ms, m.within_seconds)).collect();
        assert_eq!(told, [(1_000_000, 0, 60), (2_000_000, 63_000, 1)]);
    }
}
