//! Work whose instructions are counted: `cargo xtask instructions` runs this under callgrind.
//!
//! What is counted depends on no clock, no true randomness and no other thread, so that every run
//! executes the same instructions. It is an example and no benchmark to cargo because those are built
//! with unwinding panics, which the product is not. No figure is known here.
#![forbid(unsafe_code)]

mod datagrams;
mod swarms;
mod words;

use std::hint::black_box;

/// Runs `work` so many times and names the mean of it.
///
/// The number of the call is handed to `work`.
fn count(name: &str, calls: u32, mut work: impl FnMut(u32)) {
    counted(&mut || {
        for call in 0..calls {
            work(call);
        }
    });
    end_of_row(name, calls);
}

/// Callgrind collects from the entry of this function to its return, and nowhere else.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

/// Callgrind writes what it collected to a file of its own before this function.
#[inline(never)]
#[expect(clippy::print_stdout, reason = "its output is its purpose")]
fn end_of_row(name: &str, calls: u32) {
    println!("{calls}\t{name}");
}

fn main() {
    count("nothing: the loop around each of the others", 1000, |call| {
        black_box(call);
    });
    words::rows();
    swarms::rows();
    datagrams::rows();
}
