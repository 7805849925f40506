//! What a user may do.
//!
//! How much at once is not asked here: slots are counted where sessions are.

use skep_proto::AnnounceEvent;

use super::members::{Asking, No};
use super::{Refusal, Rules};

pub(super) fn check_member<'a>(_: &'a Rules, asking: &mut Asking<'_>) -> Result<(), No<'a>> {
    let Some(account) = asking.account else { return Ok(()) };
    if account.disabled {
        return Err(Refusal::AccountDisabled.into());
    }
    let request = &asking.announce.request;
    // Whoever may not download any more may still say that it ends.
    let downloads = request.left_bytes != Some(0) && request.event != AnnounceEvent::Stopped;
    if downloads && !account.may_leech {
        return Err(Refusal::MayNotLeech.into());
    }
    Ok(())
}
