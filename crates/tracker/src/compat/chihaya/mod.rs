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
use skep_engine::site::{Change, Client, Permille, TorrentId, UserId};

use crate::admin::AdminState;
use crate::config::{Compat, Mode};
use crate::runtime::clock::Clock;
use crate::shards::PeerStore;
use crate::site::{Books, ChangeError, Site};

pub use self::routes::router;

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
        books.site().set_standing(Permille::ONE, Permille(0));
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

#[cfg(test)]
mod tests {
    use skep_engine::site::{Factor, FactorId, GroupId, Member, TorrentGroupId};
    use skep_engine::{Seed, Tick};
    use skep_store::driver::testing::Memory;

    use super::*;
    use crate::config::Config;

    /// What a downloaded byte counts for, by all rules together.
    fn download(site: &Site) -> Vec<Permille> {
        let plain = (Permille::ONE, Permille::ONE);
        let member = Member {
            user: UserId(1),
            torrent: TorrentId(2),
            group: GroupId(0),
            torrent_group: TorrentGroupId(0),
            of_user: plain,
            of_group: plain,
            of_torrent: plain,
            slots: u32::MAX,
            peers_max: u32::MAX,
            hidden: false,
        };
        site.with_terms(&member, Tick(1), |terms| {
            terms
                .rules
                .iter()
                .filter(|rule| rule.until > Tick(1))
                .map(|rule| rule.download)
                .collect()
        })
    }

    #[test]
    fn no_download_counts_whatever_becomes_of_the_records() {
        let site = Arc::new(Site::new(&Seed::new(1), &Clock::start()));
        let books = Books::alone(site.clone(), Some(Arc::new(Memory::new())));
        let compat = Compat { chihaya_freeleech: true, ..Config::default().compat };
        begin(&books, &compat).unwrap();
        assert_eq!(download(&site), [Permille(0)]);
        books.refresh(&|| Some(0), true).unwrap();
        assert_eq!(download(&site), [Permille(0)], "the storage knows nothing of it");
        for id in [0, 1, u32::MAX].map(FactorId) {
            assert_eq!(site.factor(id), None, "the API knows nothing of it");
            books.change(vec![Change::PutFactor(Factor { id, ..Factor::default() })]).unwrap();
            books.change(vec![Change::RemoveFactor(id)]).unwrap();
            assert_eq!(download(&site), [Permille(0)], "{id:?}");
        }
    }
}
