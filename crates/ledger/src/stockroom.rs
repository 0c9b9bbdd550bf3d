//! The stockroom: which cell holds the stock of which SKU at which place.
//!
//! The quantities themselves are in [`stock::Cells`], which readers share; this ledger is their only
//! writer. A SKU's first cell is noted in the SKU, since most SKUs have just one; further ones are in
//! chunks of a SKU's own, for walks over all of them, and in an index, to find one. Invariants: a
//! SKU and a place have at most one cell; while a snapshot is being written, a cell's page is kept
//! before the cell changes.

use crate::catalogue::{Sku, Skus};
use crate::hash;
use crate::index::Index;
use crate::paged::Paged;
use crate::snapshot::{Frozen, FrozenSection, RestoreError, Thaw};
use std::sync::Arc;
use stock::{CellId, Cells, Image, PAGE_CELLS, Quantities, Refusal};

/// What a cell belongs to.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct CellOwner {
    pub(crate) sku: u32,
    pub(crate) place: u32,
}

/// A cell of a SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct CellAt {
    pub(crate) cell: u32,
    pub(crate) place: u32,
}

const CHUNK_CELLS: usize = 15;

/// Further cells of one SKU; all chunks but the SKU's newest are full.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Chunk {
    cells: [CellAt; CHUNK_CELLS],
    /// The next older chunk, counted from 1; 0 for none.
    next: u32,
    unused: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Stockroom {
    cells: Arc<Cells>,
    /// The images that snapshots may still be reading; seldom more than one.
    images: Vec<Arc<Image>>,
    owners: Paged<CellOwner>,
    chunks: Paged<Chunk>,
    /// Cells that are not their SKU's first, by SKU and place.
    index: Index,
}

/// Why the ledger's own operations on cells cannot fail.
const CHECKED: &str =
    "the allocation found these units, holds never exceed what is held, and no other thread writes";

impl Stockroom {
    pub(crate) fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }

    #[inline]
    pub(crate) fn owner(&self, cell: u32) -> CellOwner {
        *self.owners.get(cell as usize)
    }

    #[inline]
    pub(crate) fn read(&self, cell: u32) -> Quantities {
        self.cells.read(CellId(cell))
    }

    /// Brings a cell near that will be looked at soon.
    #[inline]
    pub(crate) fn prefetch(&self, cell: u32) {
        self.cells.prefetch(CellId(cell));
    }

    /// Brings near whose a cell is.
    pub(crate) fn prefetch_owner(&self, cell: u32) {
        self.owners.prefetch(cell as usize);
    }

    /// The cell of a SKU at a place, if there ever was stock.
    pub(crate) fn find(&self, number: u32, sku: &Sku, place: u32) -> Option<u32> {
        if sku.cells == 0 {
            None
        } else if sku.first_place == place {
            Some(sku.first_cell)
        } else if sku.cells == 1 {
            None
        } else {
            let is = |reference: u32| {
                let owner = self.owner(reference - 1);
                owner.sku == number && owner.place == place
            };
            let hash = hash::pair(u64::from(number), u64::from(place));
            self.index.find(hash, is).map(|reference| reference - 1)
        }
    }

    /// The cell of a SKU at a place, and whether it is new.
    pub(crate) fn find_or_add(&mut self, skus: &mut Skus, number: u32, place: u32) -> (u32, bool) {
        if let Some(cell) = self.find(number, skus.get(number), place) {
            return (cell, false);
        }
        let cell = self.owners.push(CellOwner { sku: number, place }) as u32;
        let sku = skus.get_mut(number);
        if sku.cells == 0 {
            sku.first_cell = cell;
            sku.first_place = place;
        } else {
            self.index.insert(hash::pair(u64::from(number), u64::from(place)), cell + 1);
            let slot = (sku.cells as usize - 1) % CHUNK_CELLS;
            if slot == 0 {
                let chunk = Chunk { next: sku.chunk, ..bytemuck::Zeroable::zeroed() };
                sku.chunk = self.chunks.push(chunk) as u32 + 1;
            }
            self.chunks.get_mut(sku.chunk as usize - 1).cells[slot] = CellAt { cell, place };
        }
        sku.cells += 1;
        (cell, true)
    }

    /// All cells of a SKU, in no particular order.
    #[inline]
    pub(crate) fn cells_of(&self, sku: &Sku) -> impl Iterator<Item = CellAt> {
        let first = CellAt { cell: sku.first_cell, place: sku.first_place };
        let further = self.further_cells(sku.chunk, sku.cells.saturating_sub(1) as usize);
        (sku.cells > 0).then_some(first).into_iter().chain(further)
    }

    fn further_cells(&self, mut chunk: u32, mut left: usize) -> impl Iterator<Item = CellAt> {
        std::iter::from_fn(move || {
            let current = self.chunks.get(chunk.checked_sub(1)? as usize);
            left -= 1;
            // Numbered from the oldest, so that only the newest chunk, the first, is short.
            let at = current.cells[left % CHUNK_CELLS];
            if left.is_multiple_of(CHUNK_CELLS) {
                chunk = current.next;
            }
            Some(at)
        })
    }

    #[inline]
    fn before_change(&mut self, cell: u32) {
        if !self.images.is_empty() {
            self.keep(cell);
        }
    }

    #[cold]
    fn keep(&mut self, cell: u32) {
        self.images.retain(|image| Arc::strong_count(image) > 1);
        self.images.iter().for_each(|image| image.keep(CellId(cell)));
    }

    pub(crate) fn hold(&mut self, cell: u32, units: u32, safety_stock: u32) {
        self.before_change(cell);
        assert!(self.cells.hold(CellId(cell), units, safety_stock), "{CHECKED}");
    }

    pub(crate) fn sell(&mut self, cell: u32, units: u32, safety_stock: u32) {
        self.before_change(cell);
        assert!(self.cells.sell(CellId(cell), units, safety_stock), "{CHECKED}");
    }

    pub(crate) fn release(&mut self, cell: u32, units: u32) {
        self.before_change(cell);
        assert!(self.cells.release(CellId(cell), units), "{CHECKED}");
    }

    pub(crate) fn settle(&mut self, cell: u32, units: u32) {
        self.before_change(cell);
        assert!(self.cells.settle(CellId(cell), units), "{CHECKED}");
    }

    pub(crate) fn receive(&mut self, cell: u32, delta: i64) -> Result<(), Refusal> {
        self.before_change(cell);
        self.cells.receive(CellId(cell), delta)
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        let image = Arc::new(Image::new(&self.cells, self.owners.len() as u32));
        frozen.push(self.owners.freeze());
        frozen.push(self.chunks.freeze());
        self.index.freeze(frozen);
        frozen.push(Box::new(FrozenCells(Arc::clone(&image))));
        self.images.push(image);
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Stockroom, RestoreError> {
        let owners: Paged<CellOwner> = Paged::thaw(thaw)?;
        let chunks = Paged::thaw(thaw)?;
        let index = Index::thaw(thaw)?;
        let cells = Arc::new(Cells::new());
        let len = thaw.elements::<u64>()?;
        thaw.check(len == owners.len())?;
        let mut page = vec![0u64; PAGE_CELLS];
        for first in (0..len).step_by(PAGE_CELLS) {
            let words = &mut page[..PAGE_CELLS.min(len - first)];
            thaw.read(bytemuck::cast_slice_mut(words))?;
            for (cell, word) in (first as u32..).zip(words) {
                cells.restore(CellId(cell), *word);
            }
        }
        Ok(Stockroom { cells, images: Vec::new(), owners, chunks, index })
    }
}

struct FrozenCells(Arc<Image>);

impl FrozenSection for FrozenCells {
    fn bytes(&self) -> u64 {
        u64::from(self.0.cells()) * 8
    }

    fn write(&self, sink: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut page = vec![0u64; PAGE_CELLS];
        (0..self.0.pages()).all(|number| {
            let len = self.0.read_page(number, &mut page);
            sink(bytemuck::cast_slice(&page[..len]))
        })
    }
}
