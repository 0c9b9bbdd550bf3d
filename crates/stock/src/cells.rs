//! Stock cells: on_hand and held of one SKU at one location, in one atomic word.
//!
//! Not an inventory: which cell belongs to which SKU is the owner's business. Cells are numbered
//! from 0 and all start empty; the memory behind them appears in segments at the first receipt, so
//! growing copies nothing and moves nothing that a reader might be looking at. Invariant: an
//! operation either takes effect as a whole or leaves the cell as it was.

use crate::atomic::sizes::{GROUP_BITS, GROUPS_BITS, SEGMENT_BITS};
use crate::atomic::{AtomicU64, OnceLock, Ordering};
use std::fmt;

/// What a cell can count: on_hand and held together.
pub const UNITS_MAX: u32 = u32::MAX;

/// Number of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId(pub u32);

/// What a cell holds, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantities {
    /// Free to be sold, the safety stock included.
    pub on_hand: u32,
    /// Promised to orders that are not settled yet.
    pub held: u32,
}

impl Quantities {
    fn unpack(word: u64) -> Quantities {
        Quantities { on_hand: (word >> 32) as u32, held: word as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.on_hand) << 32 | u64::from(self.held)
    }

    /// Whether `units` can be taken from on_hand so that `floor` stay.
    pub fn can_serve(self, units: u32, floor: u32) -> bool {
        u64::from(self.on_hand) >= u64::from(units) + u64::from(floor)
    }

    fn taken(self, units: u32, floor: u32) -> Option<Quantities> {
        self.can_serve(units, floor).then(|| Quantities { on_hand: self.on_hand - units, ..self })
    }

    /// What the cell holds after a receipt of `delta` units (or a correction, below 0).
    ///
    /// # Errors
    /// [`Refusal`], in the order of its variants.
    pub fn received(self, delta: i64) -> Result<Quantities, Refusal> {
        let on_hand = i128::from(self.on_hand) + i128::from(delta);
        if on_hand < 0 {
            return Err(Refusal::Underflow);
        }
        if on_hand + i128::from(self.held) > i128::from(UNITS_MAX) {
            return Err(Refusal::Overflow);
        }
        // Just checked to lie in 0..=UNITS_MAX.
        Ok(Quantities { on_hand: on_hand as u32, ..self })
    }
}

/// Why a receipt was refused, in the order in which the reasons are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// on_hand would fall below zero.
    #[error("on_hand would fall below zero")]
    Underflow,
    /// on_hand and held together would exceed [`UNITS_MAX`].
    #[error("the cell cannot count that many units")]
    Overflow,
}

type Segment = Box<[AtomicU64]>;
type Group = Box<[OnceLock<Segment>]>;

/// All cells of one owner; shared by any number of writers and readers.
pub struct Cells {
    /// Segments by the upper bits of a cell's number. Set once each by whichever writer first
    /// receives stock there, read by everybody.
    groups: Box<[OnceLock<Group>]>,
}

impl fmt::Debug for Cells {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Cells").finish_non_exhaustive()
    }
}

impl Default for Cells {
    fn default() -> Cells {
        Cells::new()
    }
}

impl Cells {
    /// Cells that are all empty.
    pub fn new() -> Cells {
        Cells { groups: (0..1 << GROUPS_BITS).map(|_| OnceLock::new()).collect() }
    }

    /// What the cell holds now.
    pub fn read(&self, cell: CellId) -> Quantities {
        // Acquire: partner of the Release in `change`. Whoever sees a changed word also sees what
        // its writer did before the change, which is what `Image` rests on.
        self.existing(cell).map_or_else(Quantities::default, |word| {
            Quantities::unpack(word.load(Ordering::Acquire))
        })
    }

    /// Brings a cell near that will be looked at soon, without waiting for it.
    pub fn prefetch(&self, cell: CellId) {
        if let Some(word) = self.existing(cell) {
            prefetch::prefetch(word);
        }
    }

    /// Moves units from on_hand to held if at least `floor` stay on hand; tells whether it did.
    pub fn hold(&self, cell: CellId, units: u32, floor: u32) -> bool {
        self.change_existing(cell, |now| {
            let taken = now.taken(units, floor)?;
            Some(Quantities { held: taken.held + units, ..taken })
        })
    }

    /// Takes units off on_hand for good if at least `floor` stay; tells whether it did. This is a
    /// hold and its settlement in one step.
    pub fn sell(&self, cell: CellId, units: u32, floor: u32) -> bool {
        self.change_existing(cell, |now| now.taken(units, floor))
    }

    /// Moves held units back to on_hand; false, and nothing changes, if so many are not held.
    pub fn release(&self, cell: CellId, units: u32) -> bool {
        self.change_existing(cell, |now| {
            let held = now.held.checked_sub(units)?;
            // The sum stays as it was, so on_hand cannot overflow.
            Some(Quantities { on_hand: now.on_hand + units, held })
        })
    }

    /// Takes held units away for good; false, and nothing changes, if so many are not held.
    pub fn settle(&self, cell: CellId, units: u32) -> bool {
        self.change_existing(cell, |now| {
            Some(Quantities { held: now.held.checked_sub(units)?, ..now })
        })
    }

    /// Adds `delta` units to on_hand, or takes them off if it is negative.
    ///
    /// # Errors
    /// [`Refusal::Underflow`] or [`Refusal::Overflow`]; the cell stays as it was.
    pub fn receive(&self, cell: CellId, delta: i64) -> Result<(), Refusal> {
        let mut refusal = None;
        change(self.materialised(cell), |now| match now.received(delta) {
            Ok(next) => Some(next),
            Err(reason) => {
                refusal = Some(reason);
                None
            }
        });
        refusal.map_or(Ok(()), Err)
    }

    /// Sets a cell to what a snapshot says. Only for an owner that nobody else writes beside.
    pub fn restore(&self, cell: CellId, word: u64) {
        // Relaxed: the owner publishes the restored cells as a whole, by handing out the `Arc`.
        self.materialised(cell).store(word, Ordering::Relaxed);
    }

    /// The cell as one word: on_hand in the upper half, held in the lower.
    pub(crate) fn word(&self, cell: CellId) -> u64 {
        self.read(cell).pack()
    }

    fn change_existing(
        &self,
        cell: CellId,
        next: impl FnMut(Quantities) -> Option<Quantities>,
    ) -> bool {
        // A cell without memory is empty: there is nothing that could be taken from it.
        self.existing(cell).is_some_and(|word| change(word, next))
    }

    fn existing(&self, cell: CellId) -> Option<&AtomicU64> {
        let (group, segment, slot) = place(cell);
        self.groups[group].get()?[segment].get().map(|segment| &segment[slot])
    }

    fn materialised(&self, cell: CellId) -> &AtomicU64 {
        let (group, segment, slot) = place(cell);
        let group = self.groups[group]
            .get_or_init(|| (0..1 << GROUP_BITS).map(|_| OnceLock::new()).collect());
        let segment = group[segment]
            .get_or_init(|| (0..1 << SEGMENT_BITS).map(|_| AtomicU64::new(0)).collect());
        &segment[slot]
    }
}

/// Group, segment within it, and slot within that.
fn place(cell: CellId) -> (usize, usize, usize) {
    let number = cell.0;
    (
        (number >> (SEGMENT_BITS + GROUP_BITS)) as usize,
        (number >> SEGMENT_BITS) as usize & ((1 << GROUP_BITS) - 1),
        number as usize & ((1 << SEGMENT_BITS) - 1),
    )
}

/// Replaces a cell's word by what `next` makes of it, unless that is nothing; tells whether it did.
fn change(word: &AtomicU64, mut next: impl FnMut(Quantities) -> Option<Quantities>) -> bool {
    // Relaxed: the word is all there is to a cell, nothing else is read on the strength of it.
    let mut seen = word.load(Ordering::Relaxed);
    while let Some(wanted) = next(Quantities::unpack(seen)) {
        // Release: partner of the Acquire in `Cells::read`.
        match word.compare_exchange_weak(seen, wanted.pack(), Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}
