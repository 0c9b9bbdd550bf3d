//! Allocation: from which location each SKU of an order is taken (contract, 4.5).
//!
//! Not a hold: nothing changes here. The work is linear in the number of cells that the order's SKUs
//! have. Each demand's own best location is found first. If that is the same one for all, it is
//! also the first candidate that serves every demand, for any candidate before it would have been
//! some demand's own best. Only otherwise are the candidates counted that serve all demands.
//! Invariant: a demand is never split, and what is found can be taken as it stands.

use crate::catalogue::{Sku, Skus};
use crate::paged::Paged;
use crate::places::{Places, Rank};
use crate::stockroom::{CellAt, Stockroom};
use crate::units::Region;

/// What an order wants of one SKU, all its lines of that SKU together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    pub(crate) sku: u32,
    /// At most 100 lines of 1,000,000.
    pub(crate) units: u32,
    /// As the SKU has it.
    pub(crate) safety_stock: u32,
    /// As the SKU has it.
    pub(crate) limit: u32,
    /// As the SKU has it.
    pub(crate) category: u16,
    /// Whether the SKU has one cell and no more.
    one_cell: bool,
    /// Where it comes from, once it is allocated; before that the SKU's first cell.
    pub(crate) from: CellAt,
}

impl Demand {
    /// A demand of nothing yet.
    pub(crate) fn new(number: u32, sku: &Sku) -> Demand {
        Demand {
            sku: number,
            units: 0,
            safety_stock: sku.safety_stock,
            limit: sku.limit,
            category: sku.category,
            one_cell: sku.cells == 1,
            from: CellAt { cell: sku.first_cell, place: sku.first_place },
        }
    }
}

/// For each place, how many demands in a row it serves, from the first one on.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Number of the search that wrote it, and below that the count.
    marks: Paged<u64>,
    search: u64,
}

const COUNT_BITS: u32 = 8;

impl Marks {
    fn begin(&mut self, places: usize) {
        self.marks.grow(places);
        self.search += 1;
    }

    /// Notes that a place serves the demand of this number; tells whether it served all before it.
    fn serves(&mut self, place: u32, demand: usize) -> bool {
        let mark = self.marks.get_mut(place as usize);
        let all_before = match demand {
            0 => true,
            _ => *mark == self.search << COUNT_BITS | demand as u64,
        };
        if all_before {
            *mark = self.search << COUNT_BITS | (demand as u64 + 1);
        }
        all_before
    }
}

/// What an allocation looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goods<'a> {
    pub(crate) skus: &'a Skus,
    pub(crate) places: &'a Places,
    pub(crate) stockroom: &'a Stockroom,
}

impl Goods<'_> {
    fn serves(&self, at: CellAt, demand: &Demand) -> bool {
        self.stockroom.read(at.cell).can_serve(demand.units, demand.safety_stock)
    }

    /// All demands from one place, where the buyer fetches them.
    ///
    /// # Errors
    /// The SKU of the first demand that the place cannot serve.
    pub(crate) fn pickup(&self, place: u32, demands: &mut [Demand]) -> Result<(), u32> {
        for demand in demands {
            let sku = self.skus.get(demand.sku);
            let cell = self.stockroom.find(demand.sku, sku, place).ok_or(demand.sku)?;
            demand.from = CellAt { cell, place };
            if !self.serves(demand.from, demand) {
                return Err(demand.sku);
            }
        }
        Ok(())
    }

    /// All demands from one candidate if possible, otherwise each from its own.
    ///
    /// # Errors
    /// The SKU of the first demand that no candidate serves.
    pub(crate) fn ship(
        &self,
        region: Region,
        demands: &mut [Demand],
        marks: &mut Marks,
    ) -> Result<(), u32> {
        for demand in &mut *demands {
            demand.from = self.own_best(region, demand).ok_or(demand.sku)?;
        }
        let first = demands[0].from.place;
        if demands.iter().all(|demand| demand.from.place == first) {
            return Ok(());
        }
        if let Some(place) = self.best_of_all(region, demands, marks) {
            for demand in demands {
                let cell = self.stockroom.find(demand.sku, self.skus.get(demand.sku), place);
                let cell = cell.expect("the place was found by its cell of this SKU");
                demand.from = CellAt { cell, place };
            }
        }
        Ok(())
    }

    /// The first candidate that serves the demand.
    #[inline]
    fn own_best(&self, region: Region, demand: &Demand) -> Option<CellAt> {
        if demand.one_cell {
            let at = demand.from;
            return (self.places.get(at.place).ships() && self.serves(at, demand)).then_some(at);
        }
        let mut best: Option<(Rank, CellAt)> = None;
        for at in self.stockroom.cells_of(self.skus.get(demand.sku)) {
            if let Some(rank) = self.places.get(at.place).rank(region)
                && best.is_none_or(|(so_far, _)| rank < so_far)
                && self.serves(at, demand)
            {
                best = Some((rank, at));
            }
        }
        best.map(|(_, at)| at)
    }

    /// The first candidate that serves every demand.
    fn best_of_all(&self, region: Region, demands: &[Demand], marks: &mut Marks) -> Option<u32> {
        marks.begin(self.places.len());
        let mut best = None;
        for (number, demand) in demands.iter().enumerate() {
            best = None;
            for at in self.stockroom.cells_of(self.skus.get(demand.sku)) {
                if let Some(rank) = self.places.get(at.place).rank(region)
                    && self.serves(at, demand)
                    && marks.serves(at.place, number)
                {
                    let so_far = best.unwrap_or((rank, at.place));
                    best = Some(so_far.min((rank, at.place)));
                }
            }
            best?;
        }
        best.map(|(_, place)| place)
    }
}
