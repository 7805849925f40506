//! Keys that stand for a user in one torrent, made from a secret of the site; and how to compare them.
//!
//! Nothing is looked up here. Hash functions are handed in, keyed by whoever holds the secret.

use skep_proto::InfoHash;

use super::UserId;

/// Characters of a key.
pub const KEY_CHARS: usize = 32;

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a key says, and what makes it void once it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyClaim {
    /// The user.
    pub user: UserId,
    /// The user's number of keys; another one voids all keys of the user.
    pub version: u32,
    /// The torrent.
    pub info_hash: InfoHash,
}

/// Tells whether two texts are equal, in a time that only their lengths decide.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |bits, (one, other)| bits | (one ^ other));
    one.len() == other.len() && core::hint::black_box(differing) == 0
}

/// Makes the key of a user in a torrent. `mac` is HMAC-SHA-256 under the secret of the site, over the
/// parts one after the other. A new `salt` voids all keys of the torrent.
///
/// # Layout
/// 32 characters of URL-safe base64: the user's number in 4 bytes, and the first 20 bytes of the code
/// over `skep key 1`, version, user, salt (4 bytes each, big-endian) and info hash.
#[must_use]
pub fn derive(
    claim: &KeyClaim,
    salt: u32,
    mac: impl FnOnce(&[&[u8]]) -> [u8; 32],
) -> [u8; KEY_CHARS] {
    let user = claim.user.0.to_be_bytes();
    let [version, salt] = [claim.version, salt].map(u32::to_be_bytes);
    let code = mac(&[b"skep key 1", &version, &user, &salt, claim.info_hash.as_bytes()]);
    let mut bytes = [0; KEY_CHARS / 4 * 3];
    bytes[..4].copy_from_slice(&user);
    bytes[4..].copy_from_slice(&code[..20]);
    let mut key = [0; KEY_CHARS];
    for (chars, bytes) in key.chunks_exact_mut(4).zip(bytes.chunks_exact(3)) {
        let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for (place, char) in chars.iter_mut().enumerate() {
            *char = URL_SAFE[(bits >> (18 - 6 * place)) as usize & 63];
        }
    }
    key
}

/// The user that a key of [`derive()`] claims to be; to be believed once the key is made anew and the
/// [`same`].
#[must_use]
pub fn claimed_user(key: &[u8]) -> Option<UserId> {
    let key: &[u8; KEY_CHARS] = key.try_into().ok()?;
    let bits = key[..6].iter().try_fold(0u64, |bits, char| {
        let value = URL_SAFE.iter().position(|other| other == char)?;
        Some(bits << 6 | value as u64)
    })?;
    Some(UserId((bits >> 4) as u32))
}

/// Makes the key that XBT Tracker would make. `sha1` is over the parts one after the other.
///
/// # Layout
/// 8 hexadecimal digits of the user's number, and the first 24 of the hash over private key, version,
/// user (in decimal digits, a space behind each) and info hash.
/// # Source
/// XBT Tracker, `torrent_pass_private_key` and `torrent_pass_version`.
#[must_use]
pub fn derive_xbt(
    claim: &KeyClaim,
    private_key: &[u8],
    sha1: impl FnOnce(&[&[u8]]) -> [u8; 20],
) -> [u8; KEY_CHARS] {
    let [mut version, mut user] = [[0; 10]; 2];
    let version = decimal(claim.version, &mut version);
    let user_digits = decimal(claim.user.0, &mut user);
    let info_hash = claim.info_hash.as_bytes();
    let hash = sha1(&[private_key, b" ", version, b" ", user_digits, b" ", info_hash]);
    let user = claim.user.0.to_be_bytes();
    let mut key = [0; KEY_CHARS];
    for (digits, byte) in key.chunks_exact_mut(2).zip(user.iter().chain(&hash)) {
        digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    key
}

/// The user that a key of [`derive_xbt`] claims to be.
#[must_use]
pub fn claimed_user_xbt(key: &[u8]) -> Option<UserId> {
    let key: &[u8; KEY_CHARS] = key.try_into().ok()?;
    let user = key[..8].iter().try_fold(0, |user, char| {
        let value = HEX.iter().position(|other| other == char)?;
        Some(user << 4 | value as u32)
    })?;
    Some(UserId(user))
}

/// Writes decimal digits into the end of `room`.
fn decimal(mut number: u32, room: &mut [u8; 10]) -> &[u8] {
    let mut begin = room.len();
    loop {
        begin -= 1;
        room[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[begin..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash =
        InfoHash([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        core::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
    }

    #[test]
    fn a_key_is_made_of_user_and_code() {
        // The code is HMAC-SHA-256 with the key "site key", as Python's hmac makes it.
        let code = "7e354667a5000fba9b1a6c8c5cafcdb3ab270768f95394a6a8858f7622d6e519";
        let claim = KeyClaim { user: UserId(0x0102_0304), version: 3, info_hash: HASH };
        let key = derive(&claim, 5, |parts| {
            let message = [b"skep key 1\0\0\0\x03\x01\x02\x03\x04\0\0\0\x05".as_slice(), &HASH.0];
            assert_eq!(parts.concat(), message.concat());
            bytes(code)
        });
        assert_eq!(key, *b"AQIDBH41RmelAA-6mxpsjFyvzbOrJwdo");
        assert_eq!(claimed_user(&key), Some(claim.user));
    }

    #[test]
    fn a_key_is_made_as_xbt_makes_it() {
        let vectors = [
            (
                KeyClaim { user: UserId(4660), version: 2, info_hash: HASH },
                "abcdefghijklmnopqrstuvwxyz0",
                "abcdefghijklmnopqrstuvwxyz0 2 4660 ",
                "3761e6bb266423c726052bfde09a061c3d5faf8f",
                b"000012343761e6bb266423c726052bfd",
            ),
            (
                KeyClaim { user: UserId(u32::MAX), version: 0, info_hash: HASH },
                "k",
                "k 0 4294967295 ",
                "e65034319ba10353323a4d4c8a0a4f13e9ef9c39",
                b"ffffffffe65034319ba10353323a4d4c",
            ),
        ];
        for (claim, private_key, text, hash, expected) in vectors {
            let key = derive_xbt(&claim, private_key.as_bytes(), |parts| {
                assert_eq!(parts.concat(), [text.as_bytes(), &HASH.0].concat());
                bytes(hash)
            });
            assert_eq!(key, *expected);
            assert_eq!(claimed_user_xbt(&key), Some(claim.user));
        }
    }

    #[test]
    fn what_is_no_key_claims_nobody() {
        for text in [b"".as_slice(), b"AQIDBH41RmelAA", &[b'.'; 32], &[0xff; 32], &[b'a'; 33]] {
            assert_eq!(claimed_user(text), None);
            assert_eq!(claimed_user_xbt(text), None);
        }
        assert_eq!(claimed_user_xbt(b"ABCDEF00aaaaaaaaaaaaaaaaaaaaaaaa"), None, "capitals");
    }

    #[test]
    fn texts_are_the_same_only_in_every_byte() {
        assert!(same(b"", b"") && same(b"passkey", b"passkey"));
        assert!(!same(b"passkey", b"passkez") && !same(b"passkey", b"qasskey"));
        assert!(!same(b"passkey", b"passke") && !same(b"", b"p"));
    }
}
