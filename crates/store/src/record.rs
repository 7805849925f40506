//! The bytes of a record in the journal: what happened, when, and where the client is.
//!
//! It opens no file and adds nothing up; `docs/internals/journal.md` shows the same in a table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;

use skep_engine::Tick;
use skep_engine::ledger::{
    Delta, Family, SPENT_MAX, Scope, SessionState, Spent, TorrentId, Traffic, UserId, Verdict,
};
use skep_proto::PeerId;

use crate::driver::Record;

/// The longest encoded record.
///
/// # Units
/// Bytes.
pub const ENCODED_BYTES_MAX: usize = 256;

const VERSION: u8 = 1;

const SEEDS: u8 = 1 << 0;
const OPEN: u8 = 1 << 1;
const PASS_COUNTED: u8 = 1 << 2;
const BEGAN: u8 = 1 << 3;
const ENDED: u8 = 1 << 4;
const COMPLETED: u8 = 1 << 5;
const RESET: u8 = 1 << 6;
const HELD: u8 = 1 << 7;

const FAMILY: u8 = 0b11;
const ENDPOINT_SHIFT: u32 = 2;
const ENDPOINT_IPV4: u8 = 1;
const ENDPOINT_IPV6: u8 = 2;
const SPENT_SHIFT: u32 = 4;
const LEFT_KNOWN: u8 = 1 << 6;
/// Bytes are worth something else than they are; else what they are worth is left out.
const CREDITED_APART: u8 = 1 << 7;

/// The client tells what it threw away.
const CORRUPT_TOLD: u8 = 1 << 0;
const RELEASED: u8 = 1 << 1;
const DENIED: u8 = 1 << 2;

/// Version, flags, peer id, its key, five short numbers, ten long ones, two budgets, an endpoint.
const LONGEST_BYTES: usize = 1 + 3 + 20 + 4 + 5 * 5 + 10 * 10 + 2 * (1 + 5 + 10) + 18;
const _: () = assert!(LONGEST_BYTES <= ENCODED_BYTES_MAX && SPENT_MAX == 2);

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It was written by another version.
    #[error("record format version {0}, only {VERSION} is known; a newer tracker wrote it")]
    Version(u8),
    /// It ends too early.
    #[error("the record ends too early")]
    Truncated,
    /// It goes on behind its end.
    #[error("{0} bytes behind the end of the record")]
    TooLong(usize),
    /// A number is longer than its field.
    #[error("a number of the record does not fit its field")]
    Number,
    /// A flag or a word that means nothing.
    #[error("a flag of the record means nothing")]
    Flags,
}

/// An encoded record, on the stack.
#[derive(Clone, Copy)]
pub struct Encoded {
    bytes: [u8; ENCODED_BYTES_MAX],
    length: usize,
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Encoded {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn push_number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(&[number as u8 | 0x80]);
            number >>= 7;
        }
        self.push(&[number as u8]);
    }

    fn push_traffic(&mut self, traffic: Traffic) {
        self.push_number(traffic.uploaded_bytes);
        self.push_number(traffic.downloaded_bytes);
    }
}

impl Record {
    /// Writes the record as bytes. The delta's own time and its downloads are left out, and of an IPv6
    /// endpoint all but address and port.
    ///
    /// # Cost
    /// No allocation.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let Self { at_unix_secs, endpoint, delta } = self;
        let session = &delta.session;
        let spent = delta.spent.iter().filter(|spent| spent.bytes > 0);
        let endpoint_kind = match endpoint {
            None => 0,
            Some(SocketAddr::V4(_)) => ENDPOINT_IPV4,
            Some(SocketAddr::V6(_)) => ENDPOINT_IPV6,
        };
        let apart = delta.credited != delta.raw;
        let form = session.family as u8
            | endpoint_kind << ENDPOINT_SHIFT
            | (spent.clone().count() as u8) << SPENT_SHIFT
            | flag(LEFT_KNOWN, delta.left_bytes.is_some())
            | flag(CREDITED_APART, apart);
        let corrupt = session.corrupt_bytes != 0 || delta.corrupt_bytes != 0;
        let more = flag(CORRUPT_TOLD, corrupt)
            | flag(RELEASED, delta.verdict == Some(Verdict::Released))
            | flag(DENIED, delta.verdict == Some(Verdict::Denied));
        let mut out = Encoded { bytes: [0; ENCODED_BYTES_MAX], length: 0 };
        out.push(&[VERSION, flags(delta), form, more]);
        out.push(&session.peer_id.0);
        out.push(&session.peer_key.to_le_bytes());
        out.push_number(session.user.0.into());
        out.push_number(session.torrent.0.into());
        out.push_number(*at_unix_secs);
        out.push_traffic(session.counters);
        out.push_traffic(delta.raw);
        if apart {
            out.push_traffic(delta.credited);
        }
        if corrupt {
            out.push_number(session.corrupt_bytes);
            out.push_number(delta.corrupt_bytes);
        }
        if let Some(left_bytes) = delta.left_bytes {
            out.push_number(left_bytes);
        }
        for secs in [delta.seeding_secs, delta.leeching_secs, delta.active_secs] {
            out.push_number(secs.into());
        }
        for spent in spent {
            out.push(&[spent.scope as u8]);
            out.push_number(spent.rule.into());
            out.push_number(spent.bytes);
        }
        match endpoint.map(|endpoint| (endpoint.ip(), endpoint.port())) {
            None => {}
            Some((IpAddr::V4(ip), port)) => {
                out.push(&ip.octets());
                out.push(&port.to_le_bytes());
            }
            Some((IpAddr::V6(ip), port)) => {
                out.push(&ip.octets());
                out.push(&port.to_le_bytes());
            }
        }
        out
    }

    /// Reads a record that [`Record::encode`] wrote.
    ///
    /// # Errors
    /// [`RecordError`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut input = Input(bytes);
        match input.byte()? {
            VERSION => {}
            other => return Err(RecordError::Version(other)),
        }
        let (flags, form, more) = (input.byte()?, input.byte()?, input.byte()?);
        let peer_id = PeerId(input.array()?);
        let peer_key = u32::from_le_bytes(input.array()?);
        let (user, torrent) = (UserId(input.short()?), TorrentId(input.short()?));
        let at_unix_secs = input.number()?;
        let (counters, raw) = (input.traffic()?, input.traffic()?);
        let credited = if form & CREDITED_APART != 0 { input.credited(raw)? } else { raw };
        let corrupt = more & CORRUPT_TOLD != 0;
        let (counter, corrupt_bytes) = if corrupt { input.corrupt()? } else { (0, 0) };
        let left_bytes = if form & LEFT_KNOWN != 0 { Some(input.number()?) } else { None };
        let (seeding_secs, leeching_secs) = (input.short()?, input.short()?);
        let active_secs = input.short()?;
        let spent = input.spent(usize::from(form >> SPENT_SHIFT & 0b11))?;
        let endpoint = input.endpoint(form >> ENDPOINT_SHIFT & 0b11)?;
        if !input.0.is_empty() {
            return Err(RecordError::TooLong(input.0.len()));
        }
        let is = |flag| flags & flag != 0;
        let session = SessionState {
            torrent,
            user,
            peer_id,
            peer_key,
            counters,
            corrupt_bytes: counter,
            family: family(form & FAMILY)?,
            seeds: is(SEEDS),
            open: is(OPEN),
            pass_counted: is(PASS_COUNTED),
        };
        let delta = Delta {
            session,
            at: Tick(0),
            raw,
            credited,
            corrupt_bytes,
            left_bytes,
            seeding_secs,
            leeching_secs,
            active_secs,
            spent,
            began: is(BEGAN),
            ended: is(ENDED),
            completed: is(COMPLETED),
            reset: is(RESET),
            held: is(HELD),
            verdict: verdict(more)?,
            downloads: 0,
        };
        Ok(Self { at_unix_secs, endpoint, delta })
    }
}

fn flags(delta: &Delta) -> u8 {
    let session = &delta.session;
    flag(SEEDS, session.seeds)
        | flag(OPEN, session.open)
        | flag(PASS_COUNTED, session.pass_counted)
        | flag(BEGAN, delta.began)
        | flag(ENDED, delta.ended)
        | flag(COMPLETED, delta.completed)
        | flag(RESET, delta.reset)
        | flag(HELD, delta.held)
}

fn verdict(more: u8) -> Result<Option<Verdict>, RecordError> {
    match more & !CORRUPT_TOLD {
        0 => Ok(None),
        RELEASED => Ok(Some(Verdict::Released)),
        DENIED => Ok(Some(Verdict::Denied)),
        _ => Err(RecordError::Flags),
    }
}

const fn flag(bit: u8, set: bool) -> u8 {
    if set { bit } else { 0 }
}

fn family(number: u8) -> Result<Family, RecordError> {
    match number {
        0 => Ok(Family::Ipv4),
        1 => Ok(Family::Ipv6),
        2 => Ok(Family::Webrtc),
        _ => Err(RecordError::Flags),
    }
}

fn scope(number: u8) -> Result<Scope, RecordError> {
    use Scope::*;
    let all = [Site, Group, User, TorrentGroup, Torrent, Token];
    all.into_iter().find(|&scope| scope as u8 == number).ok_or(RecordError::Flags)
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(RecordError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A number in groups of seven bits, the lowest first, in as few bytes as possible.
    fn number(&mut self) -> Result<u64, RecordError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(RecordError::Number);
            }
            number |= bits << shift;
            if byte < 0x80 {
                let padded = byte == 0 && shift > 0;
                return if padded { Err(RecordError::Number) } else { Ok(number) };
            }
        }
        Err(RecordError::Number)
    }

    fn short(&mut self) -> Result<u32, RecordError> {
        u32::try_from(self.number()?).map_err(|_| RecordError::Number)
    }

    fn traffic(&mut self) -> Result<Traffic, RecordError> {
        Ok(Traffic { uploaded_bytes: self.number()?, downloaded_bytes: self.number()? })
    }

    /// The client's counter of bytes that it threw away, and by how much it grew.
    fn corrupt(&mut self) -> Result<(u64, u64), RecordError> {
        let corrupt = (self.number()?, self.number()?);
        if corrupt == (0, 0) { Err(RecordError::Flags) } else { Ok(corrupt) }
    }

    fn credited(&mut self, raw: Traffic) -> Result<Traffic, RecordError> {
        let credited = self.traffic()?;
        if credited == raw { Err(RecordError::Flags) } else { Ok(credited) }
    }

    fn spent(&mut self, count: usize) -> Result<[Spent; SPENT_MAX], RecordError> {
        let mut spent = [Spent::default(); SPENT_MAX];
        for place in spent.get_mut(..count).ok_or(RecordError::Flags)? {
            let scope = scope(self.byte()?)?;
            *place = Spent { scope, rule: self.short()?, bytes: self.number()? };
            if place.bytes == 0 {
                return Err(RecordError::Number);
            }
        }
        Ok(spent)
    }

    fn endpoint(&mut self, kind: u8) -> Result<Option<SocketAddr>, RecordError> {
        let ip: IpAddr = match kind {
            0 => return Ok(None),
            ENDPOINT_IPV4 => Ipv4Addr::from(self.array::<4>()?).into(),
            ENDPOINT_IPV6 => Ipv6Addr::from(self.array::<16>()?).into(),
            _ => return Err(RecordError::Flags),
        };
        Ok(Some(SocketAddr::new(ip, u16::from_le_bytes(self.array()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(uploaded_bytes: u64, downloaded_bytes: u64) -> Traffic {
        Traffic { uploaded_bytes, downloaded_bytes }
    }

    fn plain() -> Record {
        let session = SessionState {
            torrent: TorrentId(2),
            user: UserId(300),
            peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
            peer_key: 0x0403_0201,
            counters: traffic(1000, 0),
            corrupt_bytes: 0,
            family: Family::Ipv6,
            seeds: true,
            open: true,
            pass_counted: false,
        };
        let delta = Delta {
            session,
            at: Tick(0),
            raw: traffic(129, 0),
            credited: traffic(129, 0),
            corrupt_bytes: 0,
            left_bytes: None,
            seeding_secs: 1800,
            leeching_secs: 0,
            active_secs: 1800,
            spent: [Spent::default(); SPENT_MAX],
            began: false,
            ended: false,
            completed: false,
            reset: false,
            held: false,
            verdict: None,
            downloads: 0,
        };
        Record { at_unix_secs: 1_700_000_000, endpoint: None, delta }
    }

    fn full() -> Record {
        let Record { mut delta, .. } = plain();
        let all = u64::MAX;
        delta.session = SessionState {
            torrent: TorrentId(u32::MAX),
            user: UserId(u32::MAX),
            counters: traffic(all, all),
            corrupt_bytes: all,
            family: Family::Webrtc,
            pass_counted: true,
            ..delta.session
        };
        (delta.raw, delta.credited, delta.left_bytes) =
            (traffic(all, all), traffic(all, 0), Some(all));
        (delta.seeding_secs, delta.leeching_secs, delta.active_secs) =
            (u32::MAX, u32::MAX, u32::MAX);
        delta.spent = [
            Spent { scope: Scope::Token, rule: u32::MAX, bytes: all },
            Spent { scope: Scope::Site, rule: 1, bytes: all },
        ];
        (delta.began, delta.ended, delta.completed) = (true, true, true);
        (delta.reset, delta.held) = (true, true);
        (delta.corrupt_bytes, delta.verdict) = (all, Some(Verdict::Released));
        let endpoint = Some("[2001:db8::1]:6881".parse().unwrap());
        Record { at_unix_secs: all, endpoint, delta }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_have_these_bytes() {
        let id = "2d5858303030312d6162636465666768696a6b6c";
        let plain = hex(&plain().encode());
        assert_eq!(plain, format!("01030100{id}01020304ac020280e2cfaa06e80700810100880e00880e"));
        let long = "ffffffffffffffffff01";
        let short = "ffffffff0f";
        let full = hex(&full().encode());
        assert_eq!(
            full,
            format!(
                "01ffea03{id}01020304{short}{short}{long}{long}{long}{long}{long}{long}00\
                 {long}{long}{long}{short}{short}{short}05{short}{long}0001{long}\
                 20010db8000000000000000000000001e11a"
            )
        );
    }

    #[test]
    fn records_come_back_as_they_were() {
        let (plain, full) = (plain(), full());
        let ipv4 = Record { endpoint: Some("192.0.2.1:6881".parse().unwrap()), ..plain };
        for record in [plain, full, ipv4] {
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_record_of_another_version_is_told_apart() {
        let mut bytes = plain().encode().to_vec();
        bytes[0] = 2;
        let error = Record::decode(&bytes).unwrap_err();
        assert_eq!(error, RecordError::Version(2));
        assert_eq!(
            error.to_string(),
            "record format version 2, only 1 is known; a newer tracker wrote it"
        );
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        for record in [plain(), full()] {
            let bytes = record.encode().to_vec();
            for length in 0..bytes.len() {
                assert_eq!(Record::decode(&bytes[..length]), Err(RecordError::Truncated));
            }
            let longer = [&bytes[..], &[0, 0]].concat();
            assert_eq!(Record::decode(&longer), Err(RecordError::TooLong(2)));
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = plain().encode().to_vec();
            bytes[at] = byte;
            Record::decode(&bytes).unwrap_err()
        };
        assert_eq!(with(2, 0b11), RecordError::Flags, "no family");
        assert_eq!(with(2, 0b1101), RecordError::Flags, "no kind of endpoint");
        assert_eq!(with(2, 0b11_0001), RecordError::Flags, "three budgets");
        assert_eq!(with(3, 0b110), RecordError::Flags, "released and denied");
        assert_eq!(with(3, 0b1000), RecordError::Flags, "a flag that nobody knows");
        assert_eq!(with(29, 0), RecordError::Number, "a number that could be shorter");
        let mut bytes = full().encode().to_vec();
        bytes[32] = 0x10;
        assert_eq!(Record::decode(&bytes), Err(RecordError::Number), "a user above 32 bits");
    }
}
