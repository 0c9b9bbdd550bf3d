//! A vector in pages of 16 KiB that grows without copying and freezes without stopping.
//!
//! Not a general collection: elements are plain old data, so that a snapshot of a page is its
//! bytes. Freezing turns every page into a shared one, which moves a pointer; the first write to a
//! shared page copies it, or takes it back if nobody shares it any more. Growth adds one page.
//! Invariant: a frozen vector never changes, and no operation touches more than one page, but for
//! freezing, which touches none.

use crate::snapshot::{FrozenSection, RestoreError, Thaw};
use bytemuck::Pod;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};

/// Bytes in a page.
pub(crate) const PAGE_BYTES: usize = 16 * 1024;

/// A page's memory: in its type are its size, so that an index below it needs no check, and an
/// alignment that suits every element.
type Memory = [Line; PAGE_BYTES / size_of::<Line>()];

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// In a box, so that a page becomes shared and is taken back uncopied.
type SharedMemory = Arc<Box<Memory>>;

enum Page {
    /// Written in place.
    Owned(Box<Memory>),
    /// Perhaps still read by a snapshot; has to be copied, or taken back, before a write.
    Shared(SharedMemory),
}

/// Stands in while a page changes hands.
static NOBODYS: LazyLock<SharedMemory> = LazyLock::new(|| Arc::new(bytemuck::zeroed_box()));

impl Page {
    fn zeroed() -> Page {
        Page::Owned(bytemuck::zeroed_box())
    }

    #[inline]
    fn read(&self) -> &Memory {
        match self {
            Page::Owned(page) => page,
            Page::Shared(page) => page,
        }
    }

    #[inline]
    fn write(&mut self) -> &mut Memory {
        if let Page::Shared(_) = self {
            self.own();
        }
        match self {
            Page::Owned(page) => page,
            Page::Shared(_) => unreachable!("the page was owned a moment ago"),
        }
    }

    #[cold]
    #[inline(never)]
    fn own(&mut self) {
        if let Page::Shared(page) = std::mem::replace(self, Page::Shared(NOBODYS.clone())) {
            let page = Arc::try_unwrap(page).unwrap_or_else(|page| Box::clone(&page));
            *self = Page::Owned(page);
        }
    }

    fn share(&mut self) -> SharedMemory {
        let shared = match std::mem::replace(self, Page::Shared(NOBODYS.clone())) {
            Page::Owned(page) => Arc::new(page),
            Page::Shared(page) => page,
        };
        *self = Page::Shared(Arc::clone(&shared));
        shared
    }
}

/// A page's elements.
#[inline]
fn elements<T: Pod>(page: &Memory) -> &[T] {
    bytemuck::cast_slice(&bytemuck::bytes_of(page)[..bytes_used::<T>()])
}

#[inline]
fn elements_mut<T: Pod>(page: &mut Memory) -> &mut [T] {
    bytemuck::cast_slice_mut(&mut bytemuck::bytes_of_mut(page)[..bytes_used::<T>()])
}

/// Bytes of a page that its elements fill.
const fn bytes_used<T>() -> usize {
    PAGE_BYTES / size_of::<T>() * size_of::<T>()
}

/// A growing vector of plain old data.
pub(crate) struct Paged<T> {
    pages: Vec<Page>,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Pod> fmt::Debug for Paged<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Paged").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<T: Pod> Default for Paged<T> {
    fn default() -> Paged<T> {
        Paged { pages: Vec::new(), len: 0, elements: PhantomData }
    }
}

impl<T: Pod + Send + Sync> Paged<T> {
    /// Elements in a page.
    pub(crate) const PER_PAGE: usize = PAGE_BYTES / size_of::<T>();

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &T {
        &self.page(index / Self::PER_PAGE)[index % Self::PER_PAGE]
    }

    /// Brings an element near that will be looked at soon, without waiting for it.
    #[inline]
    pub(crate) fn prefetch(&self, index: usize) {
        prefetch::prefetch(self.get(index));
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> &mut T {
        &mut self.page_mut(index / Self::PER_PAGE)[index % Self::PER_PAGE]
    }

    /// Appends an element; gives its index.
    pub(crate) fn push(&mut self, value: T) -> usize {
        let index = self.len;
        if index == self.pages.len() * Self::PER_PAGE {
            self.pages.push(Page::zeroed());
        }
        self.len += 1;
        *self.get_mut(index) = value;
        index
    }

    /// Takes the last element off.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let value = *self.get(last);
        self.len = last;
        Some(value)
    }

    /// Makes sure that the elements 0..`len` exist; new ones are zero. Only for a vector that never
    /// shrinks, so that what lies beyond its end was never written.
    pub(crate) fn grow(&mut self, len: usize) {
        while self.pages.len() * Self::PER_PAGE < len {
            self.pages.push(Page::zeroed());
        }
        self.len = self.len.max(len);
    }

    /// Appends a page of zeros to a vector that consists of whole pages; gives its number.
    pub(crate) fn push_page(&mut self) -> usize {
        self.pages.push(Page::zeroed());
        self.len = self.pages.len() * Self::PER_PAGE;
        self.pages.len() - 1
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    #[inline]
    pub(crate) fn page(&self, page: usize) -> &[T] {
        elements(self.pages[page].read())
    }

    #[inline]
    pub(crate) fn page_mut(&mut self, page: usize) -> &mut [T] {
        elements_mut(self.pages[page].write())
    }

    /// Everything as it is now, to be serialised by another thread.
    pub(crate) fn freeze(&mut self) -> Box<dyn FrozenSection> {
        // A vector that shrank may have pages beyond its end.
        let used = self.len.div_ceil(Self::PER_PAGE);
        let pages = self.pages[..used].iter_mut().map(Page::share).collect();
        Box::new(FrozenPages { pages, len: self.len, elements: self.elements })
    }

    /// The vector that [`freeze`](Self::freeze) wrote, from the section that `thaw` stands at.
    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Paged<T>, RestoreError> {
        let len = thaw.elements::<T>()?;
        let mut pages = Vec::new();
        let mut left = len;
        while left > 0 {
            let mut page: Box<Memory> = bytemuck::zeroed_box();
            let here = left.min(Self::PER_PAGE);
            thaw.read(bytemuck::cast_slice_mut(&mut elements_mut::<T>(&mut page)[..here]))?;
            pages.push(Page::Owned(page));
            left -= here;
        }
        Ok(Paged { pages, len, elements: PhantomData })
    }
}

struct FrozenPages<T> {
    pages: Vec<SharedMemory>,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Pod + Send + Sync> FrozenSection for FrozenPages<T> {
    fn bytes(&self) -> u64 {
        (self.len * size_of::<T>()) as u64
    }

    fn write(&self, sink: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut left = self.len;
        self.pages.iter().all(|page| {
            let here = left.min(Paged::<T>::PER_PAGE);
            left -= here;
            sink(bytemuck::cast_slice(&elements::<T>(page)[..here]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(frozen: &dyn FrozenSection) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(frozen.write(&mut |piece| {
            bytes.extend_from_slice(piece);
            true
        }));
        assert_eq!(frozen.bytes(), bytes.len() as u64);
        bytes
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64),
        Pop,
        Set(usize, u64),
        Freeze,
        DropFrozen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u64>().prop_map(Step::Push),
            1 => Just(Step::Pop),
            4 => (any::<usize>(), any::<u64>()).prop_map(|(at, value)| Step::Set(at, value)),
            1 => Just(Step::Freeze),
            1 => Just(Step::DropFrozen),
        ]
    }

    proptest! {
        #[test]
        fn a_frozen_vector_never_changes(
            len in 0..5_000usize,
            steps in prop::collection::vec(step(), 0..100)
        ) {
            let mut paged = Paged::default();
            let mut plain: Vec<u64> = (0..len as u64).collect();
            plain.iter().for_each(|value| _ = paged.push(*value));
            let mut frozen: Vec<(Box<dyn FrozenSection>, Vec<u8>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(value) => {
                        prop_assert_eq!(paged.push(value), plain.len());
                        plain.push(value);
                    }
                    Step::Pop => prop_assert_eq!(paged.pop(), plain.pop()),
                    Step::Set(at, value) => if !plain.is_empty() {
                        let at = at % plain.len();
                        *paged.get_mut(at) = value;
                        plain[at] = value;
                    }
                    Step::Freeze => {
                        let now = bytemuck::cast_slice(&plain).to_vec();
                        frozen.push((paged.freeze(), now));
                    }
                    Step::DropFrozen => _ = frozen.pop(),
                }
            }
            for (frozen, then) in &frozen {
                prop_assert_eq!(&bytes(frozen.as_ref()), then);
            }
            prop_assert!((0..plain.len()).all(|at| *paged.get(at) == plain[at]));
            prop_assert_eq!(paged.len(), plain.len());
        }
    }
}
