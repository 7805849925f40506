//! The routes of users.
//!
//! What Chihaya does not know of a user stays as it is: the group, limits, flags.

use skep_engine::site::{Change, PASSKEY_BYTES_MAX, UserId};

use super::body::Body;
use super::{Chihaya, Refused};
use crate::site::Site;

impl Chihaya {
    /// Puts the user that a body describes; the path has no say.
    pub(super) fn put_user(&self, bytes: &[u8]) -> Result<(), Refused> {
        let body = Body::read(bytes)?;
        self.books.change_by(|site| Ok((vec![self.put_user_change(site, &body)?], ())))
    }

    fn put_user_change(&self, site: &Site, body: &Body) -> Result<Change, Refused> {
        let passkey = body.text("passkey")?;
        if passkey.len() > PASSKEY_BYTES_MAX || !passkey.bytes().all(|byte| byte.is_ascii_graphic())
        {
            let message = format!("passkey must be 1 to {PASSKEY_BYTES_MAX} ASCII characters");
            return Err(Refused::Bad(message));
        }
        let known = site.user_by_passkey(passkey);
        let id = match (body.id()?.map(UserId), known) {
            (Some(id), Some(known)) if known.id != id => {
                return Err(Refused::Bad(format!("passkey is that of user {}", known.id.0)));
            }
            (Some(id), _) => id,
            (None, Some(known)) => known.id,
            (None, None) => self.new_user(site),
        };
        let mut user = site.user(id).unwrap_or_default();
        user.id = id;
        user.passkey = passkey.into();
        user.upload = body.multiplier("up_multiplier")?;
        user.download = body.multiplier("down_multiplier")?;
        Ok(Change::PutUser(user))
    }

    /// Forgets the user of a passkey, if there is one.
    pub(super) fn delete_user(&self, passkey: &str) -> Result<(), Refused> {
        self.books.change_by(|site| {
            let user = site.user_by_passkey(passkey);
            Ok((user.map(|user| Change::RemoveUser(user.id)).into_iter().collect(), ()))
        })
    }
}
