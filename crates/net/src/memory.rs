//! A hint to the processor; it changes nothing but time.
//!
//! What is worth fetching is known by the caller alone.
#![allow(unsafe_code)]

/// Asks for a cache line that will be read soon, and does not wait for it.
///
/// Any address will do, even one that cannot be read.
#[inline(always)]
pub fn fetch_ahead(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint: it neither faults nor changes anything, whatever the address.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
