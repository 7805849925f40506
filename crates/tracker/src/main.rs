//! The program: a tracker with what every build brings, and nothing of its own.
//!
//! A program with drivers and gates of its own looks the same.

fn main() -> std::process::ExitCode {
    skep::Builder::new().boot()
}
