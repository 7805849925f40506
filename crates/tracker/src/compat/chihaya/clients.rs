//! The routes of clients, which are there while some are allowed and all others are not.
//!
//! A client's id is the six characters behind the dash of its peer ids, or their first six.

use skep_engine::site::{Change, Client};

use super::{Chihaya, Refused};
use crate::config::Mode;

const CLIENT_ID_BYTES: usize = 6;

impl Chihaya {
    /// Whether the routes are there.
    pub(super) fn chooses_clients(&self) -> bool {
        self.mode != Mode::Public && self.books.site().clients().iter().any(|client| client.allowed)
    }

    /// Allows a client.
    pub(super) fn put_client(&self, id: &str) -> Result<(), Refused> {
        if id.len() != CLIENT_ID_BYTES {
            return Err(Refused::Bad(format!(
                "a client id must be of {CLIENT_ID_BYTES} characters"
            )));
        }
        let client = Client { prefix: id.into(), allowed: true };
        Ok(self.books.change(vec![Change::PutClient(client)])?)
    }

    /// Allows a client no more, if it was.
    pub(super) fn delete_client(&self, id: &str) -> Result<(), Refused> {
        self.books.change_by(|site| {
            let clients = site.clients();
            let (this, others): (Vec<_>, Vec<_>) =
                clients.into_iter().filter(|it| it.allowed).partition(|it| *it.prefix == *id);
            match (this.is_empty(), others.is_empty()) {
                (true, _) => Ok((Vec::new(), ())),
                // With none left everybody would be served.
                (false, true) => {
                    Err(Refused::Bad("the last client must stay, or all would be served".into()))
                }
                (false, false) => Ok((vec![Change::RemoveClient(id.into())], ())),
            }
        })
    }
}
