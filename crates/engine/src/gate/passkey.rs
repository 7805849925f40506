//! Who announces.
//!
//! A passkey that is missing and one that nobody has are the same to whoever asks.

use super::members::{Asking, No};
use super::{Refusal, Rules};

pub(super) fn check_member<'a>(_: &'a Rules, asking: &mut Asking<'_>) -> Result<(), No<'a>> {
    if !asking.site.wants_passkey() {
        return Ok(());
    }
    let info_hash = Some(&asking.announce.request.info_hash);
    let account = asking.passkey.and_then(|passkey| asking.site.account(passkey, info_hash));
    asking.account = Some(account.ok_or(Refusal::PasskeyNotFound)?);
    Ok(())
}
