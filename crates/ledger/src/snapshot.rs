//! A snapshot's outer form: a list of numbered sections of plain little-endian bytes.
//!
//! Not a file format: whoever stores a snapshot adds header, compression and checksum, and so
//! guards against damage. Lengths and links between sections are checked here nevertheless, so that
//! a snapshot of another shape is an error. Invariant: what was frozen is what will be written,
//! however long that takes and whatever the ledger does meanwhile.

use bytemuck::Pod;

#[cfg(target_endian = "big")]
compile_error!("pages of state are written as they lie in memory, which must be little-endian");

/// Version of the serialised form; a change of any section's layout or meaning changes it.
pub const STATE_VERSION: u32 = 1;

/// Number of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionId(pub u16);

/// The bytes of one section, produced when they are asked for.
pub(crate) trait FrozenSection: Send + Sync {
    fn bytes(&self) -> u64;

    /// Gives all bytes in pieces until `sink` says false; tells whether it never did.
    fn write(&self, sink: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl FrozenSection for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn write(&self, sink: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        sink(self)
    }
}

/// The whole state at one moment. It can be serialised on any thread while the ledger goes on;
/// until it is dropped, the ledger copies each page that it writes to once.
#[derive(Default)]
pub struct Frozen {
    sections: Vec<(SectionId, Box<dyn FrozenSection>)>,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Frozen").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Frozen {
    /// The sections in the order in which they must be written and read back.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = Section<'_>> {
        self.sections.iter().map(|(id, content)| Section { id: *id, content: content.as_ref() })
    }

    /// Bytes of all sections together.
    pub fn bytes(&self) -> u64 {
        self.sections().map(|section| section.bytes()).sum()
    }

    pub(crate) fn push(&mut self, content: Box<dyn FrozenSection>) {
        // Sections are numbered in the order in which they are frozen, which is the order in which
        // they are thawed; there are a few dozen.
        let id = SectionId(self.sections.len() as u16);
        self.sections.push((id, content));
    }

    pub(crate) fn push_slice<T: Pod>(&mut self, values: &[T]) {
        self.push(Box::new(bytemuck::cast_slice::<T, u8>(values).to_vec()));
    }
}

/// One section of a frozen state.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    id: SectionId,
    content: &'a dyn FrozenSection,
}

impl std::fmt::Debug for Section<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Section").field("id", &self.id).field("bytes", &self.bytes()).finish()
    }
}

impl Section<'_> {
    /// Its number.
    pub fn id(&self) -> SectionId {
        self.id
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.content.bytes()
    }

    /// Gives the section's bytes, piece by piece (16 KiB each for all that is large).
    ///
    /// # Errors
    /// The first error that `sink` gives.
    pub fn write_to<E>(&self, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut outcome = Ok(());
        self.content.write(&mut |piece| {
            outcome = sink(piece);
            outcome.is_ok()
        });
        outcome
    }
}

/// Where a restore reads sections from. They are asked for once each, in the order of
/// [`Frozen::sections`], so that a decompressor can feed them straight into the state's pages.
pub trait SectionSource {
    /// Goes to the section; gives its length in bytes, or `None` if it is not there.
    fn open(&mut self, section: SectionId) -> Option<u64>;

    /// Fills `into` with the next bytes of the section that was opened last; false if it cannot.
    fn read(&mut self, into: &mut [u8]) -> bool;
}

/// Why a state could not be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The section is not there.
    #[error("section {} is missing", .0.0)]
    Missing(SectionId),
    /// The section ended early or could not be read.
    #[error("section {} cannot be read to its end", .0.0)]
    Unreadable(SectionId),
    /// The section's length or its links to others cannot be right.
    #[error("section {} is damaged", .0.0)]
    Damaged(SectionId),
}

/// Reads sections in the order in which they were frozen.
pub(crate) struct Thaw<'s> {
    source: &'s mut dyn SectionSource,
    next: u16,
}

impl<'s> Thaw<'s> {
    pub(crate) fn new(source: &'s mut dyn SectionSource) -> Thaw<'s> {
        Thaw { source, next: 0 }
    }

    fn section(&self) -> SectionId {
        SectionId(self.next.saturating_sub(1))
    }

    /// The error for a section (the one read last) whose content cannot be right.
    pub(crate) fn damaged(&self) -> RestoreError {
        RestoreError::Damaged(self.section())
    }

    /// Fails as [`damaged`](Self::damaged) unless `right`.
    pub(crate) fn check(&self, right: bool) -> Result<(), RestoreError> {
        if right { Ok(()) } else { Err(self.damaged()) }
    }

    /// Goes to the next section; gives its length in elements.
    pub(crate) fn elements<T: Pod>(&mut self) -> Result<usize, RestoreError> {
        let section = SectionId(self.next);
        self.next += 1;
        let bytes = self.source.open(section).ok_or(RestoreError::Missing(section))?;
        let bytes = usize::try_from(bytes).map_err(|_| self.damaged())?;
        self.check(bytes.is_multiple_of(size_of::<T>()))?;
        Ok(bytes / size_of::<T>())
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<(), RestoreError> {
        if self.source.read(into) { Ok(()) } else { Err(RestoreError::Unreadable(self.section())) }
    }

    /// The next section as one vector.
    pub(crate) fn vec<T: Pod>(&mut self) -> Result<Vec<T>, RestoreError> {
        let len = self.elements::<T>()?;
        let mut values = Vec::new();
        // Filled in steps, so that a damaged length ends in an error and not in a huge allocation.
        while values.len() < len {
            let start = values.len();
            values.resize(len.min(start + (1 << 16)), T::zeroed());
            self.read(bytemuck::cast_slice_mut(&mut values[start..]))?;
        }
        Ok(values)
    }

    /// The next section, which has exactly `len` elements.
    pub(crate) fn exactly<T: Pod>(&mut self, len: usize) -> Result<Vec<T>, RestoreError> {
        let values = self.vec()?;
        self.check(values.len() == len)?;
        Ok(values)
    }
}
