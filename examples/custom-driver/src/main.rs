//! A tracker that adds up what users moved in a text file, and turns parked users away.
//!
//! Everything else is skep: the command line, the configuration, signals, exit codes.

mod parked;
mod sums;

fn main() -> std::process::ExitCode {
    skep::Builder::new().driver(sums::SumsDriver).gate(parked::Parked).boot()
}
