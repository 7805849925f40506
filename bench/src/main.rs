//! Load generator for trackers, and trackers side by side.
//!
//! Everything is in `load`, which needs Linux: for batched system calls and the accounts of processes.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod load;

/// As the product has it, for the mode that runs it.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: skep_net::memory::CountingAllocator = skep_net::memory::CountingAllocator;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match load::run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skep-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("skep-bench needs Linux");
    ExitCode::FAILURE
}
