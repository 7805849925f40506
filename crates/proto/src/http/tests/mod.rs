//! Tests of the HTTP codec, by subject.
//!
//! What a tracker decides about a request is not tested here.

mod golden;
mod heads;
mod properties;
mod queries;
mod responses;
mod targets;

use super::{Head, HeadStatus, parse_head};

const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The head of a request that must be whole and good.
fn head_of(request: &[u8]) -> Head<'_> {
    match parse_head(request, HEAD_BYTES_MAX) {
        HeadStatus::Complete(head) => head,
        status => panic!("{status:?} for {}", request.escape_ascii()),
    }
}
