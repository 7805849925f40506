//! Names and versions of clients, read from the beginning of a peer id (BEP 20).
//!
//! A peer id proves nothing: any client may use the letters of any other.

use std::fmt::Write as _;

/// Bytes of a peer id that are looked at.
pub(super) const PREFIX_BYTES: usize = 11;

/// Bytes that are shown of a peer id that is not known.
const SHOWN_BYTES: usize = 8;

/// The name of all clients that are not known.
pub(super) const UNKNOWN: &str = "unknown";

/// How a client writes its version into four characters.
#[derive(Clone, Copy)]
enum Style {
    /// A number each; the fourth only if it is a digit and not 0, since some put a letter there that
    /// says what kind of release it is.
    Dotted,
    /// Two numbers of two digits.
    Pairs,
    /// Two numbers of two digits, the second always shown with both.
    Hundredths,
    /// Up to version 3 one digit and two; after that as [`Style::Dotted`].
    Transmission,
}

use Style::{Dotted, Hundredths, Pairs, Transmission};

/// Codes of the form `-XX1234-`, sorted.
const AZUREUS: &[(&[u8; 2], &str, Style)] = &[
    (b"7T", "aTorrent", Dotted),
    (b"AG", "Ares", Dotted),
    (b"AN", "Ares", Dotted),
    (b"AR", "Arctic", Dotted),
    (b"AT", "Artemis", Dotted),
    (b"AX", "BitPump", Dotted),
    (b"AZ", "Vuze", Dotted),
    (b"BB", "BitBuddy", Dotted),
    (b"BC", "BitComet", Hundredths),
    (b"BE", "BitTorrent SDK", Dotted),
    (b"BF", "BitFlu", Dotted),
    (b"BG", "BTGetit", Dotted),
    (b"BI", "BiglyBT", Dotted),
    (b"BL", "BitLord", Dotted),
    (b"BP", "BitTorrent Pro", Dotted),
    (b"BR", "BitRocket", Dotted),
    (b"BS", "BTSlave", Dotted),
    (b"BT", "BitTorrent", Dotted),
    (b"BW", "BitTorrent Web", Dotted),
    (b"BX", "BittorrentX", Dotted),
    (b"CD", "Enhanced CTorrent", Dotted),
    (b"CT", "CTorrent", Dotted),
    (b"DE", "Deluge", Dotted),
    (b"DP", "Propagate", Dotted),
    (b"EB", "EBit", Dotted),
    (b"ES", "Electric Sheep", Dotted),
    (b"FC", "FileCroc", Dotted),
    (b"FD", "Free Download Manager", Dotted),
    (b"FG", "FlashGet", Dotted),
    (b"FL", "Flud", Dotted),
    (b"FT", "FoxTorrent", Dotted),
    (b"FX", "Freebox", Dotted),
    (b"GS", "GSTorrent", Dotted),
    (b"GT", "anacrolix/torrent", Dotted),
    (b"HL", "Halite", Dotted),
    (b"HN", "Hydranode", Dotted),
    (b"KG", "KGet", Dotted),
    (b"KT", "KTorrent", Dotted),
    (b"LC", "LeechCraft", Dotted),
    (b"LP", "Lphant", Dotted),
    (b"LT", "libtorrent", Dotted),
    (b"LW", "LimeWire", Dotted),
    (b"MG", "MediaGet", Dotted),
    (b"ML", "MLDonkey", Dotted),
    (b"MO", "MonoTorrent", Dotted),
    (b"MR", "Miro", Dotted),
    (b"NX", "Net Transport", Dotted),
    (b"PD", "Pando", Dotted),
    (b"PI", "PicoTorrent", Dotted),
    (b"QD", "QQDownload", Dotted),
    (b"QT", "Qt", Dotted),
    (b"SB", "Swiftbit", Dotted),
    (b"SD", "Thunder", Dotted),
    (b"SS", "SwarmScope", Dotted),
    (b"ST", "SymTorrent", Dotted),
    (b"SZ", "Shareaza", Dotted),
    (b"TL", "Tribler", Dotted),
    (b"TN", "TorrentDotNET", Dotted),
    (b"TR", "Transmission", Transmission),
    (b"TS", "Torrentstorm", Dotted),
    (b"TT", "TuoTu", Dotted),
    (b"UE", "uTorrent Embedded", Dotted),
    (b"UL", "uLeecher!", Dotted),
    (b"UM", "uTorrent for Mac", Dotted),
    (b"UT", "uTorrent", Dotted),
    (b"UW", "uTorrent Web", Dotted),
    (b"VG", "Vagaa", Dotted),
    (b"WD", "WebTorrent Desktop", Pairs),
    (b"WT", "BitLet", Dotted),
    (b"WW", "WebTorrent", Pairs),
    (b"WY", "FireTorrent", Dotted),
    (b"XF", "Xfplay", Dotted),
    (b"XL", "Xunlei", Dotted),
    (b"XT", "XanTorrent", Dotted),
    (b"XX", "Xtorrent", Dotted),
    (b"ZT", "ZipTorrent", Dotted),
    (b"lt", "rTorrent", Dotted),
    (b"qB", "qBittorrent", Dotted),
];

/// Letters of the form `S58B-----`, sorted.
const SHADOW: &[(u8, &str)] = &[
    (b'A', "ABC"),
    (b'O', "Osprey Permaseed"),
    (b'Q', "BTQueue"),
    (b'R', "Tribler (old)"),
    (b'S', "Shadow"),
    (b'T', "BitTornado"),
    (b'U', "UPnP NAT BitTorrent"),
];

/// Beginnings of the form `M7-2-2--`.
const DASHED: &[(&[u8], &str)] =
    &[(b"A2-", "aria2"), (b"M", "BitTorrent (Mainline)"), (b"Q", "Queen Bee")];

/// Returns the client's name and version; of an unknown one, how its peer id begins.
pub(super) fn identify(prefix: &[u8; PREFIX_BYTES]) -> (&'static str, String) {
    azureus(prefix)
        .or_else(|| dashed(prefix))
        .or_else(|| shadow(prefix))
        .unwrap_or_else(|| (UNKNOWN, printable(&prefix[..SHOWN_BYTES])))
}

fn azureus(prefix: &[u8; PREFIX_BYTES]) -> Option<(&'static str, String)> {
    let [b'-', a, b, v1, v2, v3, v4, b'-', ..] = *prefix else {
        return None;
    };
    let found = AZUREUS.binary_search_by_key(&[a, b], |(code, ..)| **code).ok()?;
    let (_, name, style) = AZUREUS[found];
    Some((name, version(style, [v1, v2, v3, v4])?))
}

fn version(style: Style, chars: [u8; 4]) -> Option<String> {
    let [a, b, c, d] = [number(chars[0])?, number(chars[1])?, number(chars[2])?, number(chars[3])?];
    let digits = chars.iter().all(u8::is_ascii_digit);
    Some(match style {
        Pairs if digits => format!("{}.{}", a * 10 + b, c * 10 + d),
        Hundredths if digits => format!("{}.{c}{d}", a * 10 + b),
        Transmission if a < 4 => format!("{a}.{b}{c}"),
        _ if (1..=9).contains(&d) => format!("{a}.{b}.{c}.{d}"),
        _ => format!("{a}.{b}.{c}"),
    })
}

/// A digit, or a letter that goes on counting after 9.
fn number(char: u8) -> Option<u32> {
    char::from(char).to_digit(36)
}

/// Up to three numbers with a dash after each.
fn dashed(prefix: &[u8; PREFIX_BYTES]) -> Option<(&'static str, String)> {
    let (rest, name) =
        DASHED.iter().find_map(|(start, name)| Some((prefix.strip_prefix(*start)?, *name)))?;
    let mut version = String::new();
    let mut numbers = rest.split(|byte| *byte == b'-');
    for place in 0..3 {
        let number = numbers.next()?;
        let fits = (1..=3).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
        if !fits {
            return None;
        }
        if place > 0 {
            version.push('.');
        }
        version.extend(number.iter().copied().map(char::from));
    }
    // What follows the last dash tells that the last number is whole.
    numbers.next()?;
    Some((name, version))
}

/// A letter, up to five characters that are a number each, dashes up to the ninth place.
fn shadow(prefix: &[u8; PREFIX_BYTES]) -> Option<(&'static str, String)> {
    let found = SHADOW.binary_search_by_key(&prefix[0], |(letter, _)| *letter).ok()?;
    if &prefix[6..9] != b"---" {
        return None;
    }
    let chars = &prefix[1..6];
    let end = chars.iter().position(|char| *char == b'-').unwrap_or(chars.len());
    let (chars, padding) = chars.split_at(end);
    if chars.is_empty() || padding.iter().any(|char| *char != b'-') {
        return None;
    }
    let mut version = String::new();
    for char in chars {
        let number = match char {
            b'0'..=b'9' => char - b'0',
            b'A'..=b'Z' => char - b'A' + 10,
            b'a'..=b'z' => char - b'a' + 36,
            b'.' => 62,
            _ => return None,
        };
        if !version.is_empty() {
            version.push('.');
        }
        write!(version, "{number}").expect("a String takes everything");
    }
    Some((SHADOW[found].1, version))
}

/// Bytes as printable ASCII; what is not, and the backslash, is escaped.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes everything"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(peer_id: &[u8]) -> String {
        let mut prefix = [b'x'; PREFIX_BYTES];
        let len = peer_id.len().min(PREFIX_BYTES);
        prefix[..len].copy_from_slice(&peer_id[..len]);
        let (name, version) = identify(&prefix);
        format!("{name} {version}")
    }

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(AZUREUS.is_sorted_by(|(a, ..), (b, ..)| a < b));
        assert!(SHADOW.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn versions_are_read_as_each_client_writes_them() {
        let cases: &[(&[u8], &str)] = &[
            (b"-WW0091-4ea5886ce160", "WebTorrent 0.91"),
            (b"-WW0208-4ea5886ce160", "WebTorrent 2.8"),
            (b"-qB4650-", "qBittorrent 4.6.5"),
            (b"-qB4431-", "qBittorrent 4.4.3.1"),
            (b"-TR2940-", "Transmission 2.94"),
            (b"-TR4060-", "Transmission 4.0.6"),
            (b"-DE13F0-", "Deluge 1.3.15"),
            (b"-DE211s-", "Deluge 2.1.1"),
            (b"-UT355W-", "uTorrent 3.5.5"),
            (b"-BT7a5S-", "BitTorrent 7.10.5"),
            (b"-LT2080-", "libtorrent 2.0.8"),
            (b"-lt0D80-", "rTorrent 0.13.8"),
            (b"-BC0171-", "BitComet 1.71"),
            (b"-BC0201-", "BitComet 2.01"),
            (b"M7-2-2--", "BitTorrent (Mainline) 7.2.2"),
            (b"M4-20-8-", "BitTorrent (Mainline) 4.20.8"),
            (b"A2-1-36-0-", "aria2 1.36.0"),
            (b"A2-1-37-10-", "aria2 1.37.10"),
            (b"S58B-----", "Shadow 5.8.11"),
            (b"T03I-----", "BitTornado 0.3.18"),
        ];
        for (peer_id, expected) in cases {
            assert_eq!(named(peer_id), *expected);
        }
    }

    #[test]
    fn unknown_peer_ids_are_shown_safely() {
        assert_eq!(named(b"01234567890123456789"), "unknown 01234567");
        assert_eq!(named(b"-ZZ1234-"), "unknown -ZZ1234-");
        assert_eq!(named(b"-qB4\xff50-"), "unknown -qB4\\xff50-");
        assert_eq!(named(b"\x00\n\\\xc3\xa9<b>"), "unknown \\x00\\x0a\\\\\\xc3\\xa9<b>");
        // The last number may go on behind what is looked at.
        assert_eq!(named(b"A2-1-37-100"), "unknown A2-1-37-");
        assert_eq!(named(b"S5-8-----"), "unknown S5-8----");
        assert_eq!(named(b"Tracker---x"), "unknown Tracker-");
    }
}
