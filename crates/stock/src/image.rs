//! An image of all cells at one moment, readable while the cells go on changing.
//!
//! Not a copy: taking one costs next to nothing. The one writer that owns the cells calls
//! [`Image::keep`] before it changes a cell, which copies the page around the cell the first time;
//! pages that nobody changes are read from the live cells. Neither side ever waits for the other.
//! Invariant: [`Image::read_page`] gives what the cells held when the image was taken, provided
//! that all changes since then came from the thread that calls `keep`.

use crate::atomic::{OnceLock, sizes};
use crate::cells::{CellId, Cells};
use std::sync::Arc;

/// Cells in one page of an image (16 KiB).
pub const PAGE_CELLS: usize = 1 << sizes::PAGE_BITS;

/// What the cells 0..len held when the image was taken.
#[derive(Debug)]
pub struct Image {
    cells: Arc<Cells>,
    len: u32,
    /// Pages as they were before their first change. Written by the owner of the cells only, read
    /// by whoever serialises the image.
    kept: Box<[OnceLock<Box<[u64]>>]>,
}

impl Image {
    /// An image of the cells 0..`len` as they are now. To be called by the cells' only writer.
    pub fn new(cells: &Arc<Cells>, len: u32) -> Image {
        let pages = (len as usize).div_ceil(PAGE_CELLS);
        let kept = (0..pages).map(|_| OnceLock::new()).collect();
        Image { cells: Arc::clone(cells), len, kept }
    }

    /// Number of cells in the image.
    pub fn cells(&self) -> u32 {
        self.len
    }

    /// Number of pages; the last one may be short.
    pub fn pages(&self) -> usize {
        self.kept.len()
    }

    /// Saves the page around a cell unless it is saved already. The only writer calls this before
    /// each change that it makes while the image is in use.
    pub fn keep(&self, cell: CellId) {
        // A cell that came after the image was taken is no part of it.
        let Some(kept) = self.kept.get(cell.0 as usize / PAGE_CELLS) else { return };
        if kept.get().is_none() {
            let mut page = vec![0; PAGE_CELLS].into_boxed_slice();
            let len = self.copy_live(cell.0 as usize / PAGE_CELLS, &mut page);
            page[len..].fill(0);
            // Only this thread sets pages, so nobody can have been quicker.
            kept.get_or_init(|| page);
        }
    }

    /// Writes a page's words (on_hand in the upper half, held in the lower) to `into`, which has
    /// room for [`PAGE_CELLS`]; gives how many they are.
    pub fn read_page(&self, page: usize, into: &mut [u64]) -> usize {
        let len = self.copy_live(page, into);
        // The look at `kept` comes after the loads. Had one of them seen a later change, then by
        // its Acquire (`Cells::read`, partner of the Release in `cells::change`) the page that was
        // kept before that change would be visible here too.
        if let Some(kept) = self.kept[page].get() {
            into[..len].copy_from_slice(&kept[..len]);
        }
        len
    }

    fn copy_live(&self, page: usize, into: &mut [u64]) -> usize {
        let first = page * PAGE_CELLS;
        let len = (self.len as usize - first).min(PAGE_CELLS);
        for (cell, word) in (first as u32..).zip(&mut into[..len]) {
            *word = self.cells.word(CellId(cell));
        }
        len
    }
}
