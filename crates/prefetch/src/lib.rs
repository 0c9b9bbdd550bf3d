//! A hint to the core: this will be looked at soon.
//!
//! Not a load: a load that waits for memory holds up whatever comes behind it as soon as the core's window
//! of some 250 instructions is full, while a hint is done as soon as it is asked. That is all that this
//! crate does, and it is one because the crates that use it do without `unsafe`. Invariant: no value
//! depends on a hint, or on whether the core minds it.

/// Brings the cache line in which `value` begins near, without waiting for it. Does nothing on cores
/// of a kind that it does not know.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 core has the instruction, and it changes nothing that a program can see,
        // whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instruction changes nothing that a program can see, whatever the address.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{0}]",
            in(reg) std::ptr::from_ref(value),
            options(readonly, nostack, preserves_flags)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = value;
}
