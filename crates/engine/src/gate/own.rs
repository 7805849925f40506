//! Rules that an operator's own program brings along, asked when all others have said yes.
//!
//! Knows none of them: what they look at is their own business.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::Refusal;
use crate::site::Member;
use crate::swarm::Announce;

/// Gates of one's own that a program may have.
pub const OWN_GATES_MAX: usize = 8;

/// A rule of an operator's own.
pub trait OwnGate: Send + Sync + 'static {
    /// The name, under which its refusals are counted: small letters, digits and `_`.
    fn name(&self) -> &'static str;

    /// One sentence for the operator.
    fn doc(&self) -> &'static str;

    /// Decides about an announce that every built-in gate has let pass. The member is known in
    /// private mode alone.
    ///
    /// # Cost
    /// Every announce waits for it, and others behind it: it must not block, and should not allocate.
    /// # Errors
    /// The text for the client, of which UDP carries the first 248 bytes.
    fn check<'a>(&'a self, announce: &Announce, member: Option<&Member>) -> Result<(), &'a str>;
}

/// The gates of one's own, in the order in which they are asked.
#[derive(Clone, Default)]
pub struct OwnGates(Arc<[Box<dyn OwnGate>]>);

impl OwnGates {
    /// Takes over gates.
    ///
    /// # Panics
    /// If there are more than [`OWN_GATES_MAX`].
    #[must_use]
    pub fn new(gates: Vec<Box<dyn OwnGate>>) -> Self {
        assert!(gates.len() <= OWN_GATES_MAX, "refusals could not be counted");
        Self(gates.into())
    }

    /// The gates.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &dyn OwnGate> {
        self.0.iter().map(|gate| &**gate)
    }

    /// Asks every gate in turn.
    ///
    /// # Errors
    /// The refusal of the first gate that says no.
    #[inline]
    pub fn admit(&self, announce: &Announce, member: Option<&Member>) -> Result<(), Refusal<'_>> {
        for (number, gate) in self.0.iter().enumerate() {
            gate.check(announce, member).map_err(|text| Refusal::Own { number, text })?;
        }
        Ok(())
    }
}

impl fmt::Debug for OwnGates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(OwnGate::name)).finish()
    }
}
