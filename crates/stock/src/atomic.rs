//! The one place that names what threads meet at, so that loom can put its own in their stead.
//!
//! Not a wrapper: outside of `--cfg loom` these are the standard library's types. Under loom they are
//! what its models explore, and cells and images come in a few pieces of two, because every atomic is
//! an object of the model. Invariant: no other file of this crate imports an atomic or a `OnceLock`
//! from anywhere else.

#[cfg(loom)]
pub(crate) use explored::OnceLock;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::OnceLock;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

/// How many things lie in one piece of memory, as powers of two.
#[cfg(not(loom))]
pub(crate) mod sizes {
    /// Cells in one segment (128 KiB).
    pub(crate) const SEGMENT_BITS: u32 = 14;
    /// Segments in one group.
    pub(crate) const GROUP_BITS: u32 = 9;
    /// Groups, so that every 32-bit number is a cell.
    pub(crate) const GROUPS_BITS: u32 = 32 - SEGMENT_BITS - GROUP_BITS;
    /// Cells in one page of an image (16 KiB).
    pub(crate) const PAGE_BITS: u32 = 11;
}

/// The same for a model: eight cells.
#[cfg(loom)]
pub(crate) mod sizes {
    pub(crate) const SEGMENT_BITS: u32 = 1;
    pub(crate) const GROUP_BITS: u32 = 1;
    pub(crate) const GROUPS_BITS: u32 = 1;
    pub(crate) const PAGE_BITS: u32 = 1;
}

#[cfg(loom)]
mod explored {
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicBool, Ordering};

    /// The standard library's `OnceLock` with its promises told in terms that loom explores: whoever
    /// sees the value also sees what was done before it was set, and one thread sets it while others
    /// that want to wait.
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
        setting: Mutex<()>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> OnceLock<T> {
            OnceLock {
                value: std::sync::OnceLock::new(),
                is_set: AtomicBool::new(false),
                setting: Mutex::new(()),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            // Acquire: partner of the Release in `get_or_init`.
            if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if let Some(value) = self.get() {
                return value;
            }
            let setting = self.setting.lock();
            let value = self.value.get_or_init(make);
            // Release: partner of the Acquire in `get`.
            self.is_set.store(true, Ordering::Release);
            drop(setting);
            value
        }
    }

    impl<T> std::fmt::Debug for OnceLock<T> {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.debug_struct("OnceLock").finish_non_exhaustive()
        }
    }
}
