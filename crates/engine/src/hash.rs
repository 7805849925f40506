//! Keyed hashing: which shard, which slot, which part.
//!
//! Info hashes and addresses are chosen by strangers, so nothing is hashed without the seed of the
//! process. This is no MAC: what a client must not be able to forge is made in `session`.

use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// The seed of this process; every table of the engine hashes with it.
#[derive(Clone, Debug)]
pub struct Seed(FixedState);

impl Seed {
    /// Makes the seed from random bits of the operating system.
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self(FixedState::with_seed(random))
    }

    /// Hashes bytes.
    #[inline]
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}
