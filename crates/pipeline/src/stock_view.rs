//! Live stock for whoever asks, without an order ever waiting for them.
//!
//! Quantities are read from the same atomic cells that the worker writes. The index that finds a
//! cell is written only when a SKU is listed or a cell is new. Invariant: what is read of one cell
//! is one moment's truth; different cells may be read at different moments.

use std::sync::Arc;

use dashmap::DashMap;
use ledger::rules::Partitioner;
use ledger::units::{LocationId, MerchantId, SkuId, Units};
use ledger::{Ledger, Notice};
use serde::Serialize;
use stock::{CellId, Cells};

use crate::log::Partition;

/// Stock of one SKU at one location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LocationStock {
    /// The location.
    pub location: u32,
    /// Units not held or settled.
    pub on_hand: u32,
    /// Units in open holds.
    pub held: u32,
    /// What an order could still get: on_hand less the SKU's safety stock.
    pub available: u32,
}

/// A partition's index of stock cells. Written by its worker, read by anybody.
#[derive(Debug)]
pub struct PartitionView {
    cells: Arc<Cells>,
    skus: DashMap<(MerchantId, SkuId), SkuView>,
}

#[derive(Debug, Default)]
struct SkuView {
    listed: bool,
    safety_stock: Units,
    cells: Vec<(LocationId, CellId)>,
}

impl PartitionView {
    /// The view of a state machine with everything that it holds now.
    pub fn of(ledger: &Ledger) -> PartitionView {
        let view = PartitionView { cells: Arc::clone(ledger.stock()), skus: DashMap::new() };
        ledger.for_each_cell(|notice| view.learn(notice));
        view
    }

    /// Takes in what changed.
    pub fn learn(&self, notice: Notice) {
        match notice {
            Notice::Cell { merchant, sku, location, cell } => {
                self.skus.entry((merchant, sku)).or_default().cells.push((location, cell));
            }
            Notice::Sku { merchant, sku, listed, safety_stock } => {
                let mut view = self.skus.entry((merchant, sku)).or_default();
                view.listed = listed;
                view.safety_stock = safety_stock;
            }
        }
    }

    fn stock(&self, merchant: MerchantId, sku: SkuId) -> Option<SkuStock> {
        let view = self.skus.get(&(merchant, sku))?;
        let mut locations: Vec<LocationStock> = view
            .cells
            .iter()
            .map(|(location, cell)| {
                let quantities = self.cells.read(*cell);
                LocationStock {
                    location: location.0,
                    on_hand: quantities.on_hand,
                    held: quantities.held,
                    available: quantities.on_hand.saturating_sub(view.safety_stock.0),
                }
            })
            .collect();
        locations.sort_unstable_by_key(|stock| stock.location);
        Some(SkuStock { listed: view.listed, safety_stock: view.safety_stock.0, locations })
    }
}

/// Stock of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkuStock {
    /// Whether it can be ordered at all.
    pub listed: bool,
    /// Units of each location that are never sold online.
    pub safety_stock: u32,
    /// Every location that ever had stock of it, by id.
    pub locations: Vec<LocationStock>,
}

/// The views of all partitions of a process.
#[derive(Debug, Default)]
pub struct StockViews {
    partitions: DashMap<Partition, Shown>,
}

/// A view, and the number of the worker that shows it.
#[derive(Debug)]
struct Shown {
    worker: usize,
    view: Arc<PartitionView>,
}

/// What a question for stock found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StockAnswer {
    /// The SKU's stock.
    Found(SkuStock),
    /// The merchant's partition is here, but it has never heard of the SKU.
    UnknownSku,
    /// The merchant's partition is not worked on by this process.
    Elsewhere,
}

impl StockViews {
    /// Makes the stock of a partition that this worker has opened readable.
    pub fn insert(&self, partition: Partition, worker: usize, view: Arc<PartitionView>) {
        self.partitions.insert(partition, Shown { worker, view });
    }

    /// Ends that, unless another worker shows the partition by now: who lost it may learn of it late.
    pub fn remove(&self, partition: Partition, worker: usize) {
        self.partitions.remove_if(&partition, |_, shown| shown.worker == worker);
    }

    /// Looks a SKU up in the merchant's partition (in every partition here, if any may have it).
    pub fn stock(
        &self,
        merchant: MerchantId,
        sku: SkuId,
        partitioner: Partitioner,
        partitions: u32,
    ) -> StockAnswer {
        let views: Vec<Arc<PartitionView>> = match partitioner {
            Partitioner::Murmur2 => {
                let key = merchant.0.to_string();
                let partition = wire::partition::partition_of(key.as_bytes(), partitions);
                let shown = self.partitions.get(&partition);
                shown.map(|shown| Arc::clone(&shown.view)).into_iter().collect()
            }
            Partitioner::Any => {
                self.partitions.iter().map(|shown| Arc::clone(&shown.view)).collect()
            }
        };
        if views.is_empty() {
            return StockAnswer::Elsewhere;
        }
        let found = views.iter().find_map(|view| view.stock(merchant, sku));
        found.map_or(StockAnswer::UnknownSku, StockAnswer::Found)
    }
}

#[cfg(test)]
mod tests {
    use ledger::Ledger;
    use ledger::rules::Rules;

    use super::*;

    #[test]
    fn a_worker_that_learns_late_of_a_loss_does_not_hide_the_stock_of_the_next_one() {
        let views = StockViews::default();
        let view = || Arc::new(PartitionView::of(&Ledger::new(Rules::default())));
        let answer = || views.stock(MerchantId(1), SkuId(1), Partitioner::Murmur2, 1);
        views.insert(0, 7, view());
        views.insert(0, 8, view());
        views.remove(0, 7);
        assert_eq!(answer(), StockAnswer::UnknownSku);
        views.remove(0, 8);
        assert_eq!(answer(), StockAnswer::Elsewhere);
    }
}
