//! The whole pipeline's counters, read from the gmv topic.

use serde::Deserialize;

/// A counter record of the dimension `all`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Totals {
    pub(crate) day: String,
    dimension: String,
    pub(crate) orders_settled: u64,
    pub(crate) settled: u128,
    pub(crate) orders_refunded: u64,
    pub(crate) refunded: u128,
    pub(crate) orders_rejected: u64,
    pub(crate) orders_released: u64,
    pub(crate) dead_letters: u64,
    pub(crate) duplicates: u64,
}

/// The totals in a gmv record, if it is one of the dimension `all`.
pub(crate) fn totals_of_all(value: &[u8]) -> Option<Totals> {
    serde_json::from_slice(value).ok().filter(|totals: &Totals| totals.dimension == "all")
}
