//! The options behind an announce: the path and query of the tracker's URL in pieces.
//!
//! What the path and query mean is not read here; see [`crate::http::Target`]. They never override
//! a field of the announce itself.

use core::fmt;

/// Longest URL data that is collected; the rest is dropped.
pub const URL_DATA_BYTES_MAX: usize = 2048;

const END_OF_OPTIONS: u8 = 0;
const NOP: u8 = 1;
const URL_DATA: u8 = 2;

/// Room for the collected URL data, to be used again for every announce.
#[derive(Clone)]
pub struct UrlData {
    bytes: [u8; URL_DATA_BYTES_MAX],
    len: usize,
}

impl UrlData {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; URL_DATA_BYTES_MAX], len: 0 }
    }

    /// What was collected: a request target such as `/announce?passkey=abc`, or nothing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn append(&mut self, piece: &[u8]) {
        let free = &mut self.bytes[self.len..];
        let fits = piece.len().min(free.len());
        free[..fits].copy_from_slice(&piece[..fits]);
        self.len += fits;
    }
}

impl fmt::Debug for UrlData {
    /// Shows nothing, since passkeys must reach no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlData(..)")
    }
}

impl Default for UrlData {
    fn default() -> Self {
        Self::new()
    }
}

/// Replaces `out` by the URL data found in the options of an announce.
///
/// Unknown options are skipped by their length. A truncated option ends the walk, and what was
/// collected before it stays: clients do append stray bytes.
///
/// # Cost
/// No allocation; one pass.
/// # Source
/// BEP 41.
pub fn url_data(options: &[u8], out: &mut UrlData) {
    out.len = 0;
    let mut rest = options;
    while let Some((&kind, after_kind)) = rest.split_first() {
        match kind {
            END_OF_OPTIONS => return,
            NOP => rest = after_kind,
            _ => {
                let Some((&len, after_len)) = after_kind.split_first() else {
                    return;
                };
                let Some((data, after_data)) = after_len.split_at_checked(usize::from(len)) else {
                    return;
                };
                if kind == URL_DATA {
                    out.append(data);
                }
                rest = after_data;
            }
        }
    }
}
