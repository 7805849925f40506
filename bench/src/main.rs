//! Load generator for trackers, and trackers side by side.
//!
//! Everything is in `load`, which needs Linux: for batched system calls and the accounts of processes.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod load;

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
