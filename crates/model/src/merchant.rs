//! What a partition keeps for one merchant: stock cells (contract section 4.9), the catalogue
//! (4.10) and the buyers' counts (4.11).
//!
//! No orders and no time. A cell's on_hand is never below zero, and on_hand + held never above
//! 4,294,967,295.

use std::collections::BTreeMap;

use crate::command::{LocationOpened, SkuListed};
use crate::output::Code;

/// The most that a cell's on_hand and held may be together.
const CELL_MAX: i64 = 4_294_967_295;
/// The most locations that a merchant may have open, location 0 not counted.
const OPEN_LOCATIONS_MAX: usize = 4_096;

#[derive(Clone, Debug, Default)]
pub(crate) struct Merchant {
    /// The listed SKUs.
    pub(crate) listings: BTreeMap<u64, Listing>,
    /// The open locations.
    pub(crate) locations: BTreeMap<u32, LocationOpened>,
    /// Stock by SKU and location; a cell that is not here is at zero.
    cells: BTreeMap<(u64, u32), Cell>,
}

#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) category: String,
    pub(crate) safety_stock: u64,
    /// The limit and the counts, while the SKU has a limit.
    pub(crate) limit: Option<BuyerLimit>,
}

#[derive(Clone, Debug)]
pub(crate) struct BuyerLimit {
    pub(crate) units_max: u64,
    /// The offset of the listing that began these counts. A hold gives its units back only to the
    /// counts that it was added to.
    pub(crate) since: u64,
    /// Units by buyer; a buyer that is not here is at zero.
    units: BTreeMap<u64, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    on_hand: i64,
    held: i64,
}

/// Units that a command adds to a cell's on_hand, or takes from it when below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StockChange {
    pub(crate) sku: u64,
    pub(crate) location: u32,
    pub(crate) units: i64,
}

impl Merchant {
    // --- 4.9 Stock -----------------------------------------------------------------------------

    pub(crate) fn on_hand(&self, sku: u64, location: u32) -> i64 {
        self.cells.get(&(sku, location)).copied().unwrap_or_default().on_hand
    }

    /// Makes all changes, or none of them. Those of the same cell are added up first; then
    /// underflow is checked for every cell before overflow.
    pub(crate) fn change_stock(&mut self, changes: &[StockChange]) -> Result<(), Code> {
        let mut by_cell: BTreeMap<(u64, u32), i64> = BTreeMap::new();
        for change in changes {
            *by_cell.entry((change.sku, change.location)).or_default() += change.units;
        }
        let after = |(cell, units): (&(u64, u32), &i64)| {
            let before = self.cells.get(cell).copied().unwrap_or_default();
            Cell { on_hand: before.on_hand + units, held: before.held }
        };
        if by_cell.iter().map(after).any(|cell| cell.on_hand < 0) {
            return Err(Code::StockUnderflow);
        }
        if by_cell.iter().map(after).any(|cell| cell.on_hand + cell.held > CELL_MAX) {
            return Err(Code::StockOverflow);
        }
        for (cell, units) in by_cell {
            self.cells.entry(cell).or_default().on_hand += units;
        }
        Ok(())
    }

    /// Units go from on_hand to held.
    pub(crate) fn hold_units(&mut self, sku: u64, location: u32, units: u64) {
        let cell = self.cells.entry((sku, location)).or_default();
        cell.on_hand -= units as i64;
        cell.held += units as i64;
    }

    /// Units go from held back to on_hand.
    pub(crate) fn release_units(&mut self, sku: u64, location: u32, units: u64) {
        let cell = self.cells.entry((sku, location)).or_default();
        cell.held -= units as i64;
        cell.on_hand += units as i64;
    }

    /// Units leave held for good.
    pub(crate) fn settle_units(&mut self, sku: u64, location: u32, units: u64) {
        self.cells.entry((sku, location)).or_default().held -= units as i64;
    }

    /// Says what a cell has.
    pub(crate) fn set_cell(&mut self, sku: u64, location: u32, on_hand: u32, held: u32) {
        let cell = Cell { on_hand: on_hand.into(), held: held.into() };
        self.cells.insert((sku, location), cell);
    }

    /// SKU, location and on_hand of every cell.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u64, u32, i64)> {
        self.cells.iter().map(|((sku, location), cell)| (*sku, *location, cell.on_hand))
    }

    /// A cell's on_hand and held.
    #[cfg(test)]
    pub(crate) fn cell(&self, sku: u64, location: u32) -> (i64, i64) {
        let cell = self.cells.get(&(sku, location)).copied().unwrap_or_default();
        (cell.on_hand, cell.held)
    }

    // --- 4.10 Catalogue ------------------------------------------------------------------------

    /// Lists `listed.sku` or replaces its listing; `offset` is the command's.
    pub(crate) fn list(&mut self, listed: &SkuListed, offset: u64) {
        let before = self.listings.remove(&listed.sku);
        let counts = before.and_then(|listing| listing.limit);
        let limit = match (listed.per_buyer_limit, counts) {
            (0, _) => None,
            (units_max, Some(kept)) => Some(BuyerLimit { units_max, ..kept }),
            (units_max, None) => {
                Some(BuyerLimit { units_max, since: offset, units: BTreeMap::new() })
            }
        };
        let category = listed.category.clone();
        let listing = Listing { category, safety_stock: listed.safety_stock, limit };
        self.listings.insert(listed.sku, listing);
    }

    /// Unlists `sku`, and so drops its counts.
    pub(crate) fn withdraw(&mut self, sku: u64) {
        self.listings.remove(&sku);
    }

    pub(crate) fn open(&mut self, opened: LocationOpened) -> Result<(), Code> {
        let is_new = !self.locations.contains_key(&opened.location);
        if is_new && self.locations.len() == OPEN_LOCATIONS_MAX {
            return Err(Code::TooMany);
        }
        self.locations.insert(opened.location, opened);
        Ok(())
    }

    pub(crate) fn close(&mut self, location: u32) {
        self.locations.remove(&location);
    }

    // --- 4.11 Buyer limits ---------------------------------------------------------------------

    fn limit_mut(&mut self, sku: u64) -> Option<&mut BuyerLimit> {
        self.listings.get_mut(&sku).and_then(|listing| listing.limit.as_mut())
    }

    /// Whether `units` more of `sku` would take `buyer_id` over a limit.
    pub(crate) fn exceeds_limit(&self, sku: u64, buyer_id: u64, units: u64) -> bool {
        let limit = self.listings.get(&sku).and_then(|listing| listing.limit.as_ref());
        limit.is_some_and(|limit| {
            let counted = limit.units.get(&buyer_id).copied().unwrap_or(0);
            counted + units > limit.units_max
        })
    }

    /// Counts `units` for the buyer if `sku` has a limit; returns which counts they were added to.
    pub(crate) fn count_units(&mut self, sku: u64, buyer_id: u64, units: u64) -> Option<u64> {
        let limit = self.limit_mut(sku)?;
        *limit.units.entry(buyer_id).or_default() += units;
        Some(limit.since)
    }

    /// Takes `units` off again, if the counts `since` are still the ones that are kept.
    pub(crate) fn uncount_units(&mut self, sku: u64, buyer_id: u64, units: u64, since: u64) {
        let Some(limit) = self.limit_mut(sku).filter(|limit| limit.since == since) else { return };
        if let Some(counted) = limit.units.get_mut(&buyer_id) {
            *counted -= units;
            if *counted == 0 {
                limit.units.remove(&buyer_id);
            }
        }
    }
}
