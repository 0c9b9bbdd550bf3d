//! The one place that names the atomic types, so that loom can put its own in their stead.
//!
//! Not a wrapper: outside of `--cfg loom` these are the standard library's types. Invariant: no
//! other file of this crate imports an atomic from anywhere else.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
