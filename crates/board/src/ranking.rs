//! Putting values of a dimension in order.
//!
//! Invariant: the order is total (equal amounts by value, ascending), so that pages of one state
//! neither repeat nor miss anybody.

use std::cmp::Reverse;

use serde::Deserialize;

use crate::counters::Counters;
use crate::shops::LocationCounters;

/// The counter to rank by, by its contract name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    #[default]
    Settled,
    Net,
    OrdersSettled,
    UnitsSettled,
    Placed,
    OrdersPlaced,
    Refunded,
    OrdersRefunded,
}

/// Something that can be ranked.
pub(crate) trait Ranked {
    /// The amount to rank by; none where it is not counted.
    fn amount(&self, by: By) -> Option<i128>;
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

impl Ranked for Counters {
    fn amount(&self, by: By) -> Option<i128> {
        Some(match by {
            By::Settled => signed(self.settled),
            By::Net => self.net(),
            By::OrdersSettled => self.orders_settled.into(),
            By::UnitsSettled => self.units_settled.into(),
            By::Placed => signed(self.placed),
            By::OrdersPlaced => self.orders_placed.into(),
            By::Refunded => signed(self.refunded),
            By::OrdersRefunded => self.orders_refunded.into(),
        })
    }
}

impl Ranked for LocationCounters {
    fn amount(&self, by: By) -> Option<i128> {
        match by {
            By::Settled => Some(signed(self.settled)),
            By::OrdersSettled => Some(self.orders_settled.into()),
            By::UnitsSettled => Some(self.units_settled.into()),
            _ => None,
        }
    }
}

/// The highest `limit` from `offset` on, highest first.
pub(crate) fn page<V: Ord + Clone, C: Ranked + Clone>(
    mut all: Vec<(V, C)>,
    by: By,
    offset: usize,
    limit: usize,
) -> Vec<(V, C)> {
    let order = |(value, counters): &(V, C)| (Reverse(counters.amount(by)), value.clone());
    let end = offset.saturating_add(limit);
    if end < all.len() {
        all.select_nth_unstable_by_key(end, order);
        all.truncate(end);
    }
    all.sort_unstable_by_key(order);
    all.into_iter().skip(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_neither_repeat_nor_miss_anybody() {
        let settled =
            |value: u64| Counters { settled: u128::from(value % 5), ..Counters::default() };
        let all: Vec<(u64, Counters)> = (0..100).map(|value| (value, settled(value))).collect();
        let whole = page(all.clone(), By::Settled, 0, 1_000);
        let mut paged = Vec::new();
        for offset in (0..110).step_by(7) {
            paged.extend(page(all.clone(), By::Settled, offset, 7));
        }
        assert_eq!(paged, whole);
        assert_eq!((whole[0].0, whole[99].0), (4, 95));
    }
}
