//! What other trackers answered and sites still ask for.
//!
//! Nothing is kept here: each speaks another one's words over the same books and swarms.

pub mod chihaya;
