//! What was received, answered, refused and dropped, as plain integers.
//!
//! No exporter is known here. Each counter has one writer, the worker that owns it; anybody may read.

use core::sync::atomic::{AtomicU64, Ordering};

use skep_proto::DecodeError;
use skep_proto::http::Status;
use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES};

use crate::gate::Refusal;
use crate::session::{HttpRefusal, Interval, WebsocketRefusal};
use crate::swarm::{Announced, WEBRTC_BYTES};

/// A number that one thread adds to and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to the number. A plain load and store: two writers would lose counts.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// The number as it stands.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the number, for totals that are kept elsewhere.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }
}

/// What a client asked for, or was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A connection id (UDP only).
    Connect = 0,
    /// Announce.
    Announce = 1,
    /// Scrape.
    Scrape = 2,
    /// Pages for people and monitors (HTTP only).
    Page = 3,
}

impl Action {
    /// Every action, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Announce, Self::Scrape, Self::Page];

    /// The name for a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Announce => "announce",
            Self::Scrape => "scrape",
            Self::Page => "page",
        }
    }
}

/// Why a request got no answer at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// A datagram shorter than the shortest request.
    TooShort = 0,
    /// Source port 0: no answer could be delivered.
    SourcePortZero = 1,
    /// A connect without the constant that belongs to it.
    BadMagic = 2,
    /// A connection id that was not given to this address lately.
    BadConnectionId = 3,
    /// The network asks for connection ids too often.
    RateLimited = 4,
    /// The system did not take the answer.
    SendFailed = 5,
    /// A connection beyond the bound on open ones.
    TooManyConnections = 6,
    /// A connection that took too long.
    TimedOut = 7,
    /// A connection beyond the bound on those of one address.
    TooManyConnectionsOfAddress = 8,
    /// A PROXY header that is missing or broken, or that names no client where there must be one.
    BadProxyHeader = 9,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::TooShort,
        Self::SourcePortZero,
        Self::BadMagic,
        Self::BadConnectionId,
        Self::RateLimited,
        Self::SendFailed,
        Self::TooManyConnections,
        Self::TimedOut,
        Self::TooManyConnectionsOfAddress,
        Self::BadProxyHeader,
    ];

    /// The name for a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::SourcePortZero => "source_port_zero",
            Self::BadMagic => "bad_magic",
            Self::BadConnectionId => "bad_connection_id",
            Self::RateLimited => "rate_limited",
            Self::SendFailed => "send_failed",
            Self::TooManyConnections => "too_many_connections",
            Self::TimedOut => "timed_out",
            Self::TooManyConnectionsOfAddress => "too_many_connections_of_address",
            Self::BadProxyHeader => "bad_proxy_header",
        }
    }
}

/// Why the tracker ended the connection of a browser.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Something that is no WebSocket, or a message that makes no sense.
    Protocol = 0,
    /// A message longer than allowed.
    TooLarge = 1,
    /// More messages than allowed.
    TooManyMessages = 2,
    /// More waits for it than may wait, or it takes nothing.
    SlowReader = 3,
    /// It does not answer when asked whether it is there.
    NoAnswer = 4,
    /// It is there and says nothing.
    Idle = 5,
    /// It holds much while all browsers together hold more than allowed.
    NoRoom = 6,
}

impl Cut {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 7] = [
        Self::Protocol,
        Self::TooLarge,
        Self::TooManyMessages,
        Self::SlowReader,
        Self::NoAnswer,
        Self::Idle,
        Self::NoRoom,
    ];

    /// The name for a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::TooManyMessages => "too_many_messages",
            Self::SlowReader => "slow_reader",
            Self::NoAnswer => "no_answer",
            Self::Idle => "idle",
            Self::NoRoom => "no_room",
        }
    }
}

/// Every HTTP status that is an error and that a tracker answers with.
pub const ERROR_STATUSES: [Status; 8] = [
    Status::BadRequest,
    Status::NotFound,
    Status::MethodNotAllowed,
    Status::RequestTimeout,
    Status::TargetTooLong,
    Status::HeadersTooLarge,
    Status::InternalError,
    Status::Unavailable,
];

/// Counters of one worker for one transport and one address family.
#[derive(Debug, Default)]
pub struct TrafficCounters {
    /// Requests understood, by [`Action`].
    pub requests: [Counter; 4],
    /// Answers that were no errors, by [`Action`].
    pub answers: [Counter; 4],
    /// Error answers to broken requests, by [`DecodeError`].
    pub decode_errors: [Counter; DecodeError::ALL.len()],
    /// Error answers by rule, in the order of [`Refusal::index`].
    pub refusals: [Counter; Refusal::COUNT],
    /// Error answers for reasons that only HTTP knows, in the order of [`HttpRefusal::LABELS`].
    pub http_refusals: [Counter; HttpRefusal::LABELS.len()],
    /// Error answers for reasons that only WebSocket knows, in the order of
    /// [`WebsocketRefusal::LABELS`].
    pub websocket_refusals: [Counter; WebsocketRefusal::LABELS.len()],
    /// HTTP answers whose status is an error, in the order of [`ERROR_STATUSES`].
    pub error_statuses: [Counter; ERROR_STATUSES.len()],
    /// Requests without an answer, by [`DropReason`].
    pub drops: [Counter; DropReason::ALL.len()],
    /// Payload bytes in.
    pub received_bytes: Counter,
    /// Payload bytes out.
    pub sent_bytes: Counter,
    /// Peers in announce answers.
    pub peers_sent: Counter,
    /// Announces answered but not stored because a bound was reached.
    pub not_stored: Counter,
    /// Announces answered with an interval that is longer than usual.
    pub stretched: Counter,
}

impl TrafficCounters {
    /// Counts a request that was understood.
    #[inline]
    pub fn request(&self, action: Action) {
        self.requests[action as usize].add(1);
    }

    /// Counts an answer that is no error.
    #[inline]
    pub fn answer(&self, action: Action) {
        self.answers[action as usize].add(1);
    }

    /// Counts the answer to an announce, the peers in it and what it says of the time.
    #[inline]
    pub fn announced(&self, announced: &Announced, interval: Interval) {
        self.answer(Action::Announce);
        let peers = announced.ipv4_bytes / IPV4_BYTES
            + announced.ipv6_bytes / IPV6_BYTES
            + announced.webrtc_bytes / WEBRTC_BYTES;
        self.peers_sent.add(peers as u64);
        self.not_stored.add(u64::from(announced.not_stored));
        if interval.stretched {
            self.stretched.add(1);
        }
    }

    /// Counts an HTTP answer by its status; only errors are counted here.
    pub fn status(&self, status: Status) {
        if let Some(number) = ERROR_STATUSES.iter().position(|known| *known == status) {
            self.error_statuses[number].add(1);
        }
    }

    /// Counts a request that gets no answer.
    #[inline]
    pub fn drop(&self, reason: DropReason) {
        self.drops[reason as usize].add(1);
    }
}

/// All counters of one worker; aligned so that two workers never write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    /// UDP over IPv4 and IPv6.
    pub udp: [TrafficCounters; 2],
    /// HTTP over IPv4 and IPv6.
    pub http: [TrafficCounters; 2],
    /// WebSocket over IPv4 and IPv6.
    pub websocket: [TrafficCounters; 2],
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    pub kernel_drops: Counter,
    /// HTTP connections open now, those of browsers among them.
    pub http_connections: Counter,
    /// WebSocket connections open now.
    pub websocket_connections: Counter,
    /// Connections of browsers that the tracker ended, by [`Cut`].
    pub websocket_cuts: [Counter; Cut::ALL.len()],
    /// Offers of browsers that went to another one.
    pub offers_passed: Counter,
    /// Answers to them that went back.
    pub answers_passed: Counter,
    /// Answers to offers that were not made, or were answered before.
    pub answers_unasked: Counter,
    /// Offers and answers whose receiver was gone or had no room.
    pub messages_lost: Counter,
    /// TLS handshakes, by [`Handshake`].
    pub tls_handshakes: [Counter; Handshake::ALL.len()],
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handshake {
    /// With a signature and new keys.
    Full = 0,
    /// With what the client kept of an earlier one.
    Resumed = 1,
    /// Not at all.
    Failed = 2,
}

impl Handshake {
    /// Every end, in the order of its number.
    pub const ALL: [Self; 3] = [Self::Full, Self::Resumed, Self::Failed];

    /// The name for a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
        }
    }
}
