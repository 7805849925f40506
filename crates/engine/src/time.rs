//! Time as the engine knows it: seconds since the process began, handed in by the caller.
//!
//! No clock is read here. A [`Tick`] says when; a [`Stamp`] remembers when, coarsely, in two bytes.

/// Seconds since the process began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick so many seconds later.
    #[must_use]
    pub const fn plus(self, secs: u32) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// Seconds since `earlier`, 0 if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Seconds that one step of a time stamp lasts.
pub const STAMP_STEP_SECS: u32 = 4;
/// Seconds after which a stamp repeats; ages must stay well below half of it.
pub(crate) const STAMP_WRAP_SECS: u32 = (STAMP_MASK as u32 + 1) * STAMP_STEP_SECS;

const STAMP_MASK: u16 = 0x7fff;
const STAMP_FLAG: u16 = 0x8000;

/// When a peer was last seen, in steps of [`STAMP_STEP_SECS`], and one flag bit for its owner.
///
/// # Layout
/// Bit 15 is the flag; bits 0 to 14 count steps and wrap after 36 hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stamp(u16);

impl Stamp {
    pub(crate) const fn new(now: Tick, flag: bool) -> Self {
        Self((now.0 / STAMP_STEP_SECS) as u16 & STAMP_MASK).with_flag(flag)
    }

    /// The same time with another flag.
    pub(crate) const fn with_flag(self, flag: bool) -> Self {
        Self(self.0 & STAMP_MASK | (flag as u16) << STAMP_MASK.trailing_ones())
    }

    pub(crate) const fn flag(self) -> bool {
        self.0 & STAMP_FLAG != 0
    }

    pub(crate) const fn to_bytes(self) -> [u8; 2] {
        self.0.to_le_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_le_bytes(bytes))
    }

    /// Steps between this stamp and `now`, whatever wrapped in between.
    pub(crate) const fn age_steps(self, now: Self) -> u16 {
        now.0.wrapping_sub(self.0) & STAMP_MASK
    }
}

/// How many whole steps of silence a time to live allows.
pub(crate) const fn ttl_steps(ttl_secs: u32) -> u16 {
    let steps = ttl_secs.div_ceil(STAMP_STEP_SECS);
    if steps > STAMP_MASK as u32 / 2 { STAMP_MASK / 2 } else { steps as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_survive_the_wrap() {
        let before = Stamp::new(Tick(STAMP_WRAP_SECS - 8), true);
        let after = Stamp::new(Tick(STAMP_WRAP_SECS + 8), false);
        assert_eq!(before.age_steps(after), 4);
        assert!(before.flag() && !after.flag());
        assert_eq!(Stamp::from_bytes(before.to_bytes()), before);
    }
}
