//! Lock-free stock: how many units of something lie somewhere, on hand and held.
//!
//! A cell is one atomic word, so that a reader never sees half of a change and a writer never
//! waits for anybody. This crate knows no SKUs, no orders, no money and no I/O: a cell is a
//! number. Invariant: `on_hand` and `held` never go below zero and their sum never exceeds
//! [`UNITS_MAX`], whichever threads change a cell at the same time.
#![forbid(unsafe_code)]

mod atomic;
mod cells;
mod image;

pub use cells::{CellId, Cells, Quantities, Refusal, UNITS_MAX};
pub use image::{Image, PAGE_CELLS};
