//! Info hashes and passkeys as sites spell them in paths and in JSON.
//!
//! Whether anything goes by that name is not known here.

use skep_proto::InfoHash;
use skep_proto::http::percent::decoded;

/// The info hashes that a segment of a path may mean, the likeliest first.
///
/// Sites escape once, or twice as Chihaya wanted it, and write a space as `%20` or as `+`.
pub(super) fn info_hashes_of_path(segment: &[u8]) -> Vec<InfoHash> {
    let mut found = Vec::new();
    for once in [unescaped(segment, true), unescaped(segment, false)].into_iter().flatten() {
        let twice = [unescaped(&once, false), unescaped(&once, true)];
        for bytes in std::iter::once(Some(once)).chain(twice) {
            let Some(hash) = bytes.as_deref().and_then(info_hash_of_bytes) else { continue };
            if !found.contains(&hash) {
                found.push(hash);
            }
        }
    }
    found
}

/// The info hash that a text in JSON means: 40 digits, 20 characters each of which is a byte, or
/// escaped as in a URL.
pub(super) fn info_hash_of_text(text: &str) -> Option<InfoHash> {
    info_hash_of_bytes(text.as_bytes())
        .or_else(|| info_hash_of_bytes(&unescaped(text.as_bytes(), false)?))
}

/// An info hash as text in which each character is a byte.
pub(super) fn text_of_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A segment of a path as text.
pub(super) fn text_of_path(segment: &[u8]) -> Option<String> {
    String::from_utf8(unescaped(segment, true)?).ok()
}

fn unescaped(bytes: &[u8], plus_literal: bool) -> Option<Vec<u8>> {
    decoded(bytes, plus_literal).collect::<Result<_, _>>().ok()
}

/// The bytes themselves, or digits, or UTF-8 of characters each of which is a byte.
fn info_hash_of_bytes(bytes: &[u8]) -> Option<InfoHash> {
    let digits = || InfoHash::from_hex(bytes);
    let characters = || {
        let text = std::str::from_utf8(bytes).ok()?;
        let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
        InfoHash::from_slice(&bytes?)
    };
    InfoHash::from_slice(bytes).or_else(digits).or_else(characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plus, a percent sign, a slash, a space, a quote and bytes that are no text.
    const HASH: [u8; 20] = [
        0x2b, 0x25, 0x2f, 0x20, 0x22, 0x80, 0xff, 0xc3, 0xa9, 0x00, 0x5c, 10, b'a', b'b', b'c',
        b'd', b'e', b'f', b'g', 0x7f,
    ];

    fn escaped(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
    }

    #[test]
    fn every_spelling_in_a_path_is_understood() {
        let once = escaped(&HASH);
        let twice = once.replace('%', "%25");
        let hex: String = HASH.iter().map(|byte| format!("{byte:02x}")).collect();
        let characters = escaped(text_of_bytes(&HASH).as_bytes());
        let upper = hex.to_ascii_uppercase();
        let form = twice.replace("%2520", "+");
        for spelling in [&once, &twice, &hex, &upper, &characters, &form] {
            let found = info_hashes_of_path(spelling.as_bytes());
            assert_eq!(found.first(), Some(&InfoHash(HASH)), "{spelling}");
        }
    }

    #[test]
    fn plus_is_itself_first_and_then_a_space() {
        let found = info_hashes_of_path(b"abcdefghij+bcdefghij");
        assert_eq!(found, [InfoHash(*b"abcdefghij+bcdefghij"), InfoHash(*b"abcdefghij bcdefghij")]);
    }

    #[test]
    fn every_spelling_in_json_is_understood() {
        let hex: String = HASH.iter().map(|byte| format!("{byte:02X}")).collect();
        for spelling in [text_of_bytes(&HASH), escaped(&HASH), hex] {
            assert_eq!(info_hash_of_text(&spelling), Some(InfoHash(HASH)), "{spelling}");
        }
        for wrong in ["", "abc", "\u{100}bcdefghijabcdefghij", "%2", &"a".repeat(41)] {
            assert_eq!(info_hash_of_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_info_hash_is_none() {
        for wrong in ["", "%", "abc", "%zz", &"a".repeat(21), &"z".repeat(40)] {
            assert!(info_hashes_of_path(wrong.as_bytes()).is_empty(), "{wrong}");
        }
    }
}
