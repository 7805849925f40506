//! Users who are parked may end what they do, and begin nothing.
//!
//! Who is parked is known by the group that the site puts them in.

use skep::gate::{Announce, AnnounceEvent, GroupId, Member, OwnGate};

/// The group of parked users.
const PARKED: GroupId = GroupId(9);

/// Refuses users of that group.
pub struct Parked;

impl OwnGate for Parked {
    fn name(&self) -> &'static str {
        "parked"
    }

    fn doc(&self) -> &'static str {
        "Refuses users of group 9, unless they stop."
    }

    fn check<'a>(&'a self, announce: &Announce, member: Option<&Member>) -> Result<(), &'a str> {
        let parked = member.is_some_and(|member| member.group == PARKED);
        if parked && announce.request.event != AnnounceEvent::Stopped {
            return Err("Your account is parked");
        }
        Ok(())
    }
}
