//! Orders a second, and their peak, from counters that are written about once a second.
//!
//! What a partition placed between two of its records is spread evenly over the time between them, in
//! the records' own time. Invariant: a peak is never overstated: what is not known to the second is
//! spread thinner, and a second counts when every record of it has had time to come.

use crate::calendar::SECONDS_A_DAY;
use crate::record::PARTITIONS_MAX;

/// A second is complete when the newest figure is this much younger: counters are written within one
/// second of their change and visible with the next commit.
const COMPLETE_AFTER_S: usize = 2;
/// The present pace is the mean of so many complete seconds.
const PRESENT_S: usize = 3;
/// Seconds of the pace's own curve.
pub(crate) const SHOWN_S: usize = 60;

/// Orders placed in each second of a day.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    day_starts_at_ms: u64,
    /// By second since the day's beginning.
    seconds: Vec<u32>,
    /// By partition: T and orders placed of its newest record.
    newest: Vec<Option<(u64, u64)>>,
    newest_second: usize,
}

impl Pace {
    pub(crate) fn new(day_starts_at_ms: u64) -> Pace {
        let seconds = vec![0; SECONDS_A_DAY];
        Pace { day_starts_at_ms, seconds, newest: Vec::new(), newest_second: 0 }
    }

    /// A partition's total of orders placed at a time.
    pub(crate) fn record(&mut self, partition: u32, at_ms: u64, orders_placed: u64) {
        if partition >= PARTITIONS_MAX {
            return;
        }
        let index = partition as usize;
        if self.newest.len() <= index {
            self.newest.resize(index + 1, None);
        }
        let (since_ms, before) =
            self.newest[index].unwrap_or((self.day_starts_at_ms.min(at_ms), 0));
        if at_ms >= since_ms && orders_placed >= before {
            self.newest[index] = Some((at_ms, orders_placed));
            self.spread(since_ms, at_ms, orders_placed - before);
        }
    }

    fn spread(&mut self, since_ms: u64, at_ms: u64, orders: u64) {
        let start = self.day_starts_at_ms;
        let (from, to) = (since_ms.saturating_sub(start), at_ms.saturating_sub(start));
        let last = usize::try_from(to / 1000).unwrap_or(usize::MAX).min(SECONDS_A_DAY - 1);
        self.newest_second = self.newest_second.max(last);
        let span = u128::from((to - from).max(1));
        let mut spread = 0;
        for second in (from / 1000) as usize..=last {
            let until = (second as u64 * 1000 + 1000).min(to);
            let through = u128::from(until.saturating_sub(from));
            // What is left over belongs to the last second.
            let share =
                if second == last { orders } else { (u128::from(orders) * through / span) as u64 };
            let more = u32::try_from(share - spread).unwrap_or(u32::MAX);
            self.seconds[second] = self.seconds[second].saturating_add(more);
            spread = share;
        }
    }

    /// The complete seconds so far.
    fn complete(&self) -> &[u32] {
        &self.seconds[..(self.newest_second + 1).saturating_sub(COMPLETE_AFTER_S)]
    }

    /// Orders placed a second, at present.
    pub(crate) fn present(&self) -> u64 {
        let complete = self.complete();
        let present = &complete[complete.len().saturating_sub(PRESENT_S)..];
        let sum: u64 = present.iter().copied().map(u64::from).sum();
        sum / present.len().max(1) as u64
    }

    /// The highest complete second: orders, and when it began.
    pub(crate) fn peak(&self) -> Option<(u64, u64)> {
        let complete = self.complete().iter().enumerate();
        // Of equal ones the first.
        let (second, orders) = complete.max_by_key(|(second, o)| (**o, usize::MAX - second))?;
        (*orders > 0).then(|| (u64::from(*orders), self.day_starts_at_ms + second as u64 * 1000))
    }

    /// The newest complete seconds, oldest first.
    pub(crate) fn shown(&self) -> &[u32] {
        let complete = self.complete();
        &complete[complete.len().saturating_sub(SHOWN_S)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_762_790_400_000;

    #[test]
    fn orders_belong_to_the_seconds_between_two_records() {
        let mut pace = Pace::new(START);
        for (partition, at, orders) in [
            (0, 0, 0),
            (0, 1_000, 100),
            (1, 500, 10),
            (1, 1_500, 110),
            (0, 4_000, 400),
            (0, 4_000, 400),
        ] {
            pace.record(partition, START + at, orders);
        }
        // Partition 0 has 100 in each second; of partition 1 the ten came in the first half second.
        assert_eq!(pace.seconds[..6], [160, 150, 100, 100, 0, 0].map(|n: u32| n)[..6].to_vec()[..]);
        assert_eq!(pace.peak(), Some((160, START)));
        assert_eq!(pace.complete(), [160, 150, 100]);
        assert_eq!(pace.present(), (160 + 150 + 100) / 3);
    }

    #[test]
    fn a_peak_is_not_made_of_what_was_missed() {
        let mut pace = Pace::new(START);
        // After a restart the first record of the day's compacted topic tells of hours.
        pace.record(0, START + 3_600_000, 3_600_000);
        pace.record(0, START + 3_610_000, 3_610_000);
        assert_eq!(pace.peak(), Some((1_000, START)));
        assert_eq!(pace.present(), 1_000);
    }

    #[test]
    fn totals_that_go_back_change_nothing() {
        let mut pace = Pace::new(START);
        pace.record(0, START + 5_000, 50);
        pace.record(0, START + 4_000, 60);
        pace.record(0, START + 6_000, 40);
        assert_eq!(pace.seconds.iter().sum::<u32>(), 50);
        // Nor does a time outside of the day panic.
        pace.record(1, START - 9_000, 5);
        pace.record(2, START + 900_000_000, 5);
    }
}
