//! The program from its start to its end: banner, signals, exit codes, and what it must not say.
//!
//! What it answers meanwhile is tested elsewhere.

mod end;
mod start;
