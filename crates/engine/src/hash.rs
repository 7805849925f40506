//! Keyed hashing: which shard, which slot, which part.
//!
//! Info hashes and addresses are chosen by strangers, so every table hashes with a secret key, and
//! with a function for which nobody knows how to make collisions without it. What a client must not
//! be able to forge is made in `session`, with a key of its own.

use core::fmt;

use siphasher::sip::SipHasher13;

/// The key of this process for its tables.
#[derive(Clone)]
pub struct Seed(SipHasher13);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Seed {
    /// Takes random bytes of the operating system.
    #[must_use]
    pub fn from_key(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    /// Makes a key of a number, for runs that must be repeatable.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(SipHasher13::new_with_keys(number, !number))
    }

    /// Hashes bytes.
    #[inline]
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.0.hash(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under a faster function, info hashes made of its public constant met in one slot whatever the
    /// key was.
    #[test]
    fn info_hashes_made_of_known_constants_do_not_meet() {
        let constant = 0xc0ac_29b7_c97c_50dd_u64.to_le_bytes();
        for number in 0..5 {
            let seed = Seed::new(number);
            let mut hashes: alloc::vec::Vec<_> = (0..1000u32)
                .map(|free| {
                    let mut info_hash = [0; 20];
                    info_hash[..4].copy_from_slice(&free.to_le_bytes());
                    info_hash[4..12].copy_from_slice(&constant);
                    info_hash[12..].copy_from_slice(&constant);
                    seed.hash(&info_hash)
                })
                .collect();
            hashes.sort_unstable();
            hashes.dedup();
            assert_eq!(hashes.len(), 1000, "key {number}");
        }
    }
}
