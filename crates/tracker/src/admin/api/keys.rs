//! What stands in paths: numbers of records and info hashes.
//!
//! Looks nothing up.

use axum::http::StatusCode;
use skep_proto::InfoHash;

use super::fields::ID;
use crate::admin::problem::{Fault, Problem};

/// How a torrent is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TorrentKey {
    Id(u32),
    InfoHash(InfoHash),
}

/// Reads the number of a record out of a path.
pub(super) fn id(text: &str) -> Result<u32, Problem> {
    let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| none(format!("a number of a record is {}", ID.allowed())))
}

/// Reads how a torrent is named in a path: by number or by info hash.
pub(super) fn torrent(text: &str) -> Result<TorrentKey, Problem> {
    match info_hash(text) {
        Some(info_hash) => Ok(TorrentKey::InfoHash(info_hash)),
        None => id(text).map(TorrentKey::Id).map_err(|_| {
            let number = ID.allowed();
            none(format!("a torrent is named by {number}, or by 40 hexadecimal digits"))
        }),
    }
}

/// A path that no record can have.
fn none(detail: String) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, detail)
}

pub(super) fn info_hash(text: &str) -> Option<InfoHash> {
    InfoHash::from_hex(text.as_bytes())
}

/// A part of the path or of the query that does not fit.
pub(super) fn bad(field: &str, detail: impl Into<String>) -> Problem {
    Problem::of_faults(vec![Fault { field: field.to_owned(), detail: detail.into() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torrent_is_named_by_number_or_info_hash() {
        assert_eq!(torrent("17").unwrap(), TorrentKey::Id(17));
        assert_eq!(torrent("4294967295").unwrap(), TorrentKey::Id(u32::MAX));
        let hash = torrent(&"aB".repeat(20)).unwrap();
        assert_eq!(hash, TorrentKey::InfoHash(InfoHash([0xab; 20])));
        assert!(matches!(torrent(&"1".repeat(40)).unwrap(), TorrentKey::InfoHash(_)));
        let long = "1".repeat(41);
        for bad in ["", "0", "01", "+1", "-1", "1x", "4294967296", &long, &"+1".repeat(20)] {
            assert!(torrent(bad).is_err(), "{bad}");
        }
    }
}
