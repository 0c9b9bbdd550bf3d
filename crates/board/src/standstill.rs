//! Which partitions of the source stand still although something stands in them that is not read, and why.
//!
//! Not whether figures are old: a partition in which nothing is written has nothing to stand still with.
//! Invariant: a partition stands still from the moment at which two looks found the same, so that neither
//! the open transaction of a pipeline at work nor records under way count, however many there are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::source::End;

/// Why a partition stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// Its broker does not answer.
    OutOfReach,
    /// What is there and could be read does not come.
    Unread,
    /// The oldest open transaction hides it, whatever has been committed behind its first record.
    OpenTransaction,
}

impl Why {
    /// As the API and the metrics name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Why::OutOfReach => "out_of_reach",
            Why::Unread => "unread",
            Why::OpenTransaction => "open_transaction",
        }
    }
}

/// A partition that stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Still {
    pub(crate) partition: u32,
    pub(crate) why: Why,
    pub(crate) since: Instant,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Standstill(BTreeMap<u32, Seen>);

#[derive(Debug)]
struct Seen {
    end: End,
    still: Option<(Why, Instant)>,
}

impl Standstill {
    /// Takes in how all partitions stand.
    pub(crate) fn see(&mut self, ends: &[End], now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        self.0 = ends
            .iter()
            .map(|end| {
                let before = before.remove(&end.partition);
                let why = before.as_ref().and_then(|before| why(&before.end, end));
                let since = before.and_then(|before| before.still);
                let since = since.filter(|(before, _)| Some(*before) == why);
                let still = why.map(|why| since.unwrap_or((why, now)));
                (end.partition, Seen { end: *end, still })
            })
            .collect();
    }

    /// Those that have stood still for longer than `least`, by partition.
    pub(crate) fn longer_than(&self, least: Duration, now: Instant) -> Vec<Still> {
        let still = self.0.iter().filter_map(|(partition, seen)| {
            let (why, since) = seen.still?;
            let is_long = now.saturating_duration_since(since) > least;
            is_long.then_some(Still { partition: *partition, why, since })
        });
        still.collect()
    }
}

fn why(before: &End, end: &End) -> Option<Why> {
    if !end.reached {
        return Some(Why::OutOfReach);
    }
    if end.next < end.readable && end.next == before.next {
        return Some(Why::Unread);
    }
    let is_hidden = end.readable < end.written && end.readable == before.readable;
    is_hidden.then_some(Why::OpenTransaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(5);

    fn end([next, readable, written]: [u64; 3]) -> End {
        End { partition: 3, next, readable, written, reached: true }
    }

    /// What stands still after a look each second.
    fn after(looks: impl IntoIterator<Item = End>) -> Option<(Why, u64)> {
        let (mut standstill, start) = (Standstill::default(), Instant::now());
        let mut now = start;
        for look in looks {
            now += Duration::from_secs(1);
            standstill.see(&[look], now);
        }
        let found = standstill.longer_than(LEAST, now);
        found.first().map(|still| (still.why, now.duration_since(still.since).as_secs()))
    }

    #[test]
    fn a_transaction_that_stays_open_is_told_from_those_of_a_pipeline_at_work() {
        let stays = (0..10).map(|look| end([7, 7, 8 + look]));
        assert_eq!(after(stays), Some((Why::OpenTransaction, 8)));
        let at_work = (0..10).map(|look| end([look, look, look + 5]));
        assert_eq!(after(at_work), None);
        assert_eq!(after((0..10).map(|_| end([7, 7, 7]))), None, "nothing is hidden");
        let ends = (0..10).map(|_| end([7, 7, 9])).chain([end([9, 9, 9])]);
        assert_eq!(after(ends), None, "it has been decided");
    }

    #[test]
    fn records_that_do_not_come_are_told_from_those_under_way() {
        assert_eq!(after((0..10).map(|_| end([7, 9, 9]))), Some((Why::Unread, 8)));
        assert_eq!(after((0..10).map(|look| end([look, 99, 99]))), None);
    }

    #[test]
    fn what_is_out_of_reach_is_not_taken_for_read() {
        let silent = |_| End { reached: false, ..end([7, 7, 7]) };
        assert_eq!(after((0..10).map(silent)), Some((Why::OutOfReach, 8)));
        let back = (0..10).map(silent).chain([end([7, 7, 7])]);
        assert_eq!(after(back), None);
    }

    /// A short standstill of one kind does not lengthen one of another.
    #[test]
    fn each_reason_has_its_own_beginning() {
        let silent = (0..10).map(|_| End { reached: false, ..end([7, 7, 9]) });
        let hidden = (0..7).map(|_| end([7, 7, 9]));
        assert_eq!(after(silent.chain(hidden)), Some((Why::OpenTransaction, 6)));
    }
}
