//! The opaque identifiers that travel on the wire.
//!
//! Nothing here interprets an identifier: they are compared, hashed and copied, never read as text.

use core::fmt;

macro_rules! twenty_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub [u8; 20]);

        impl $name {
            /// Takes the identifier from exactly 20 bytes.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The 20 bytes as they stand on the wire.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 20] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

twenty_bytes! {
    /// Names a torrent: SHA-1 of its info dictionary, or SHA-256 cut to 20 bytes.
    ///
    /// # Source
    /// BEP 3; BEP 52, "Upgrade Path".
    InfoHash
}

twenty_bytes! {
    /// The 20 bytes that a client chose to call itself; visible to others, so not an identity.
    ///
    /// # Source
    /// BEP 3; BEP 20 for the customary prefixes.
    PeerId
}

twenty_bytes! {
    /// What a WebTorrent client called an offer; unique to that client at best.
    ///
    /// # Source
    /// The WebTorrent tracker protocol: `offer_id`.
    OfferId
}

impl InfoHash {
    /// Reads 40 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(digits: &[u8]) -> Option<Self> {
        let digits: &[u8; 40] = digits.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

/// The value of one hexadecimal digit of either case.
pub(crate) const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The token that a UDP client got from connect and shows with every later request.
///
/// # Source
/// BEP 15, "UDP connections / spoofing".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// Four opaque bytes that a UDP client chose for a request and gets back unchanged.
///
/// # Source
/// BEP 15.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TransactionId(pub [u8; 4]);

/// The secret by which a client shows that two of its addresses are one client.
///
/// Only equality matters, so the text form is folded into 64 bits. Eight hexadecimal digits fold to
/// the same value as the four bytes that they spell, because clients send the same key in both
/// forms over HTTP and UDP.
///
/// # Source
/// BEP 7, BEP 15: `key`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PeerKey(u64);

impl PeerKey {
    /// Folds the key of a UDP announce.
    #[must_use]
    pub const fn from_u32(key: u32) -> Self {
        Self(key as u64)
    }

    /// Folds the opaque text or bytes of an HTTP `key` parameter.
    #[must_use]
    pub fn from_bytes(key: &[u8]) -> Self {
        if key.len() == 8 {
            let digits = key.iter().try_fold(0u32, |sum, &digit| {
                hex_digit(digit).map(|value| sum << 4 | u32::from(value))
            });
            if let Some(value) = digits {
                return Self::from_u32(value);
            }
        }
        // FNV-1a; the high bit keeps text apart from the 32-bit form.
        let folded = key.iter().fold(0xcbf2_9ce4_8422_2325u64, |sum, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(folded | 1 << 63)
    }

    /// The folded value, to mix into a hash.
    #[must_use]
    pub const fn folded(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_of_either_case_reads_back() {
        let text = b"A2a15537542b22925ad10486bf7a8b2a9c42f0D1";
        let hash = InfoHash::from_hex(text).expect("forty digits");
        assert_eq!(std::format!("{hash}"), "a2a15537542b22925ad10486bf7a8b2a9c42f0d1");
        assert_eq!(InfoHash::from_hex(&text[1..]), None);
        assert_eq!(InfoHash::from_hex(&[b'g'; 40]), None);
    }

    #[test]
    fn a_key_folds_alike_over_http_and_udp() {
        assert_eq!(PeerKey::from_bytes(b"DEADBEEF"), PeerKey::from_u32(0xdead_beef));
        assert_eq!(PeerKey::from_bytes(b"deadbeef"), PeerKey::from_u32(0xdead_beef));
        assert_ne!(PeerKey::from_bytes(b"-12345"), PeerKey::from_bytes(b"-12346"));
    }
}
