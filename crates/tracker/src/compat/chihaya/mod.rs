//! Chihaya as it was in 2014: the routes by which a site told it of users, torrents and clients.
//!
//! Announces and scrapes are answered by the front ends of every tracker, in its own words.

mod body;
mod clients;
mod members;
mod routes;
mod spelling;
mod stats;
mod torrents;

use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use skep_engine::site::{Change, Client, Factor, FactorId, Permille, TorrentId, UserId};

use crate::admin::AdminState;
use crate::config::{Compat, Mode};
use crate::runtime::clock::Clock;
use crate::shards::PeerStore;
use crate::site::{Books, ChangeError, Site};

pub use self::routes::router;

/// The factor by which nothing that is downloaded counts, with a number that no site gives.
const FREELEECH: FactorId = FactorId(u32::MAX);

/// What the routes read and change.
pub struct Chihaya {
    /// Users, torrents and clients.
    pub books: Arc<Books>,
    /// Their peers.
    pub store: Arc<dyn PeerStore>,
    /// What is counted.
    pub admin: Arc<AdminState>,
    /// When the tracker began.
    pub clock: Clock,
    /// Which routes there are.
    pub mode: Mode,
    /// SHA-256 of what a site proves itself with; unset if nothing is asked for.
    pub token: Option<[u8; 32]>,
    numbers: Mutex<Numbers>,
}

/// Where the numbers go on that are given to records which come without one.
#[derive(Default)]
struct Numbers {
    user: Option<u32>,
    torrent: Option<u32>,
}

/// What a route does not do, and why.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// It makes no sense.
    Bad(String),
    /// There is no such thing.
    NotFound,
    /// The storage did not take it.
    Storage(String),
}

impl Refused {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Conflict(text) => Self::Bad(text),
            other => Self::Storage(other.to_string()),
        }
    }
}

impl Chihaya {
    /// Takes over what the routes work on. `token` is what sites must bring, if anything.
    #[must_use]
    pub fn new(
        books: Arc<Books>,
        store: Arc<dyn PeerStore>,
        admin: Arc<AdminState>,
        clock: Clock,
        mode: Mode,
        token: Option<&str>,
    ) -> Self {
        let token = token.map(|token| Sha256::digest(token.as_bytes()).into());
        Self { books, store, admin, clock, mode, token, numbers: Mutex::default() }
    }

    /// A number that no user has.
    fn new_user(&self, site: &Site) -> UserId {
        let next = &mut self.numbers.lock().user;
        let mut number = next.unwrap_or_else(|| {
            let mut last = 0;
            site.for_each_user(&mut |user| last = last.max(user.id.0));
            last.wrapping_add(1)
        });
        while number == 0 || site.user(UserId(number)).is_some() {
            number = number.wrapping_add(1);
        }
        *next = Some(number.wrapping_add(1));
        UserId(number)
    }

    /// A number that no torrent has.
    fn new_torrent(&self, site: &Site) -> TorrentId {
        let next = &mut self.numbers.lock().torrent;
        let mut number = next.unwrap_or_else(|| {
            let mut last = 0;
            site.for_each_torrent(&mut |torrent| last = last.max(torrent.id.0));
            last.wrapping_add(1)
        });
        while number == 0 || site.torrent(TorrentId(number)).is_some() {
            number = number.wrapping_add(1);
        }
        *next = Some(number.wrapping_add(1));
        TorrentId(number)
    }
}

/// Puts in force what the configuration says of a site: clients, beside those that the site has
/// already, and that no download counts, which is no record of the site and ends with the process.
///
/// # Errors
/// If the storage does not take the clients.
pub fn begin(books: &Books, compat: &Compat) -> Result<(), ChangeError> {
    if compat.chihaya_freeleech {
        let factor = Factor { id: FREELEECH, download: Permille(0), ..Factor::default() };
        books.site().apply(Change::PutFactor(factor));
    }
    if compat.chihaya_clients.is_empty() {
        return Ok(());
    }
    let allowed = |prefix: &String| {
        let client = Client { prefix: prefix.as_str().into(), allowed: true };
        Change::PutClient(client)
    };
    books.change(compat.chihaya_clients.iter().map(allowed).collect())
}
