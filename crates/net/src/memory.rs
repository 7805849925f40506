//! Memory of the process: how much is taken, how much there is, and a hint to the processor.
//!
//! Counts and reads; what is to be done about it is decided elsewhere.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, with a count of what is taken from it.
///
/// A program that wants [`allocated_bytes`] makes this its global allocator.
///
/// # Cost
/// One addition to a shared number for each block that is taken or given back.
pub struct CountingAllocator;

static ALLOCATED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes that blocks take from the system, their headers included; 0 unless they are counted.
#[must_use]
pub fn allocated_bytes() -> usize {
    ALLOCATED_BYTES.load(Ordering::Relaxed)
}

/// What a block of this size takes: a header of 8 bytes, in steps of 16, at least 32.
const fn block_bytes(size: usize) -> usize {
    let taken = (size + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}

// SAFETY: every call is handed to the system's allocator as it came; counting touches no block.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.fetch_add(block_bytes(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of this method, which are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.fetch_add(block_bytes(layout.size()), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        ALLOCATED_BYTES.fetch_sub(block_bytes(layout.size()), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED_BYTES.fetch_add(block_bytes(size), Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_sub(block_bytes(layout.size()), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Memory of the machine, or of the container if that has less; `None` where nobody tells.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let machine = meminfo_bytes(&fs::read_to_string("/proc/meminfo").ok()?);
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .min();
    match (machine, container) {
        (Some(machine), Some(container)) => Some(u64::min(machine, container)),
        (machine, container) => machine.or(container),
    }
}

fn meminfo_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Keeps the system's allocator from collecting small freed blocks without joining them, which it
/// would make up for all at once, in the middle of somebody's request.
///
/// To be called before threads are started.
pub fn join_freed_blocks_at_once() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a number inside the allocator and takes no pointer.
    unsafe {
        libc::mallopt(libc::M_MXFAST, 0);
    }
}

/// Gives freed memory back to the system, wherever it lies.
///
/// # Cost
/// Milliseconds after much was freed. A thread that needs a block of memory may wait for it.
pub fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: moves no block that is in use and takes no pointer.
    unsafe {
        libc::malloc_trim(0);
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_its_memory() {
        assert_eq!(
            meminfo_bytes("MemTotal:       24689740 kB\nMemFree: 1 kB"),
            Some(24_689_740 * 1024)
        );
        assert_eq!(meminfo_bytes("nothing"), None);
    }
}
