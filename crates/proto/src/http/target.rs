//! The request target: which page is meant, with which passkey, and where the query begins.
//!
//! The query is not read here beyond finding it, and no passkey is judged.

use core::fmt;

use super::percent::decode_into;
use super::query::passkey_in_query;

/// The credential of a user as it stands in the target, percent escapes included.
///
/// # Source
/// No BEP; the customary forms are `/<passkey>/announce` and `?passkey=`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Passkey<'a>(&'a [u8]);

impl<'a> Passkey<'a> {
    /// Takes the bytes of a passkey; an empty one is none.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// The bytes as they stand there.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The bytes that it spells, percent escapes resolved; nothing if it is malformed or longer than
    /// `room`.
    #[must_use]
    pub fn decode_into<'o>(&self, room: &'o mut [u8]) -> Option<&'o [u8]> {
        decode_into(self.0, true, room)
    }
}

impl fmt::Debug for Passkey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passkey(..)")
    }
}

/// The page that a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route<'a> {
    /// `/announce`, `/announce.php`, `/<passkey>/announce`, `/announce/<passkey>`,
    /// `/users/<passkey>/announce`.
    Announce {
        /// The passkey in the path.
        passkey: Option<Passkey<'a>>,
    },
    /// The same forms with `scrape`.
    Scrape {
        /// The passkey in the path.
        passkey: Option<Passkey<'a>>,
    },
    /// `/stats`
    Stats,
    /// `/stats.json`
    StatsJson,
    /// `/health`
    Health,
    /// `/`
    Home,
    /// Any other path.
    Unknown,
}

impl<'a> Route<'a> {
    /// The passkey in the path.
    #[must_use]
    pub const fn passkey(&self) -> Option<Passkey<'a>> {
        match *self {
            Route::Announce { passkey } | Route::Scrape { passkey } => passkey,
            _ => None,
        }
    }
}

/// A request target taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The page.
    pub route: Route<'a>,
    /// What follows the first `?`; empty when there is none.
    pub query: &'a [u8],
}

impl<'a> Target<'a> {
    /// Takes apart a target in origin form or absolute form, or the URL data of a UDP announce.
    ///
    /// # Cost
    /// No allocation; one pass over the path.
    #[must_use]
    pub fn parse(target: &'a [u8]) -> Self {
        let target = without_authority(target);
        let (path, query) = split_query(target);
        Self { route: route(path), query }
    }

    /// The passkey of the path, or else the one of the query.
    #[must_use]
    pub fn passkey(&self) -> Option<Passkey<'a>> {
        self.route.passkey().or_else(|| passkey_in_query(self.query))
    }
}

/// Cuts `http://host` off an absolute target.
fn without_authority(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let scheme_bytes = match target {
        _ if starts_with_ignoring_case(target, b"http://") => 7,
        _ if starts_with_ignoring_case(target, b"https://") => 8,
        _ => return target,
    };
    let authority = &target[scheme_bytes..];
    let end = authority.iter().position(|&byte| matches!(byte, b'/' | b'?'));
    &authority[end.unwrap_or(authority.len())..]
}

fn starts_with_ignoring_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Splits at the first `?`; without one, at the first `&` if a hash follows, because there are
/// clients that glue their parameters to a URL that has no query.
fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    let question = target.iter().position(|&byte| byte == b'?');
    let end = question.or_else(|| {
        const GLUED: &[u8] = b"&info_hash=";
        let ampersand = target.iter().position(|&byte| byte == b'&')?;
        target[ampersand..].windows(GLUED.len()).any(|part| part == GLUED).then_some(ampersand)
    });
    match end {
        Some(end) => (&target[..end], &target[end + 1..]),
        None => (target, &[]),
    }
}

fn route(path: &[u8]) -> Route<'_> {
    let end = path.iter().rposition(|&byte| !matches!(byte, b'/' | b' '));
    let Some(end) = end else { return Route::Home };
    let path = &path[..=end];
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let mut segments = path.splitn(4, |&byte| byte == b'/');
    let first = segments.next().unwrap_or_default();
    match (segments.next(), segments.next(), segments.next()) {
        (None, ..) => match first {
            b"stats" => Route::Stats,
            b"stats.json" => Route::StatsJson,
            b"health" => Route::Health,
            _ => request(first, None).unwrap_or(Route::Unknown),
        },
        (Some(second), None, _) => request(second, Passkey::new(first))
            .or_else(|| request(first, Passkey::new(second)))
            .unwrap_or(Route::Unknown),
        (Some(second), Some(third), None) if first == b"users" => {
            request(third, Passkey::new(second)).unwrap_or(Route::Unknown)
        }
        _ => Route::Unknown,
    }
}

fn request<'a>(segment: &[u8], passkey: Option<Passkey<'a>>) -> Option<Route<'a>> {
    match segment {
        b"announce" | b"announce.php" => Some(Route::Announce { passkey }),
        b"scrape" | b"scrape.php" => Some(Route::Scrape { passkey }),
        _ => None,
    }
}
