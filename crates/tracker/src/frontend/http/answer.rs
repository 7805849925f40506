//! From a request head to the bytes of the answer: routes, swarms and pages.
//!
//! Reads and writes no socket, except to turn a connection away. What takes a walk over all swarms is
//! handed back, to be made in `deferred`.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use skep_engine::counters::{Action, DropReason, TrafficCounters};
use skep_engine::gate::{Reason, Refusal};
use skep_engine::limits::PEERS_PER_ANSWER_MAX;
use skep_engine::session::{Credential, HttpAnnounce, HttpRefusal, HttpSession, Policy};
use skep_engine::site::Member;
use skep_engine::swarm::{Announced, Counts, Moment, PeerIds, PeerRoom};
use skep_proto::InfoHash;
use skep_proto::http::{
    Connection, ContentType, Head, Method, PeerList, ResponseHead, Route, Status, Target, respond,
    respond_head, write_failure,
};
use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES};
use skep_proto::websocket::handshake::{self, Accept, HandshakeError};

use tokio::sync::oneshot;

use super::Security;
use super::client::Client;
use super::deferred::{Deferred, Made, Page, Pages, Walk};
use crate::frontend::Worker;
use crate::pages;
use crate::shards::{Answer, Batch, Request};

/// Bytes of a request that are read from a connection that is turned away: closing a socket with
/// unread bytes would destroy the answer on its way.
const TURNED_AWAY_BYTES_MAX: usize = 2048;

/// About as many bytes as a scrape answer has besides its torrents, and for each torrent.
const SCRAPE_BYTES: usize = 12;
const SCRAPE_ENTRY_BYTES: usize = 66;

/// Whether an answer is there already.
#[derive(Debug)]
pub(super) enum Next {
    /// It was written.
    Written(Connection),
    /// It must be made elsewhere.
    Deferred { page: Box<Deferred>, connection: Connection },
    /// It was written, and is to be sent once what it promises is on the disk.
    Promised(Promised),
    /// It was written, and from here on a browser speaks WebSocket.
    Upgraded(Caller),
}

impl Next {
    pub(super) const fn stays_open(&self) -> bool {
        match self {
            Self::Written(connection) | Self::Deferred { connection, .. } => {
                connection.stays_open()
            }
            Self::Promised(promised) => promised.head.connection.stays_open(),
            Self::Upgraded(_) => true,
        }
    }
}

/// An answer that promises something.
#[derive(Debug)]
pub(super) struct Promised {
    head: ResponseHead,
    kept: oneshot::Receiver<bool>,
}

impl Promised {
    /// Waits until it is known whether the promise is kept. If it is not, the result is the head of
    /// the answer to give instead.
    pub(super) async fn wait(self) -> Result<(), ResponseHead> {
        match self.kept.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(self.head),
        }
    }
}

/// A browser that is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::frontend) struct Caller {
    /// Where it is.
    pub(in crate::frontend) source: IpAddr,
    /// What it proves itself with.
    pub(in crate::frontend) credential: Credential,
}

/// What a worker needs to answer requests.
pub(in crate::frontend) struct Answerer {
    pub(in crate::frontend) worker: Worker,
    pages: Arc<Pages>,
    scratch: Scratch,
}

/// Room that is used again for every request.
struct Scratch {
    ipv4: Vec<u8>,
    ipv6: Vec<u8>,
    peer_ids: PeerIds,
    info_hashes: Vec<InfoHash>,
    requests: Vec<Request>,
    counts: Vec<Option<Counts>>,
    reason: Reason,
}

impl Answerer {
    pub(super) fn new(worker: Worker, pages: Arc<Pages>) -> Self {
        let scratch = Scratch {
            ipv4: vec![0; PEERS_PER_ANSWER_MAX * IPV4_BYTES],
            ipv6: vec![0; PEERS_PER_ANSWER_MAX * IPV6_BYTES],
            peer_ids: PeerIds::default(),
            info_hashes: Vec::new(),
            requests: Vec::new(),
            counts: Vec::new(),
            reason: Reason::default(),
        };
        Self { worker, pages, scratch }
    }

    fn counters(&self, client: Client) -> &TrafficCounters {
        &self.worker.counters.http[usize::from(client.is_ipv6())]
    }

    pub(super) fn count_drop(&self, client: Client, reason: DropReason) {
        self.counters(client).drop(reason);
    }

    pub(super) fn count_timeout(&self, client: Client) {
        self.count_drop(client, DropReason::TimedOut);
    }

    pub(super) fn count_sent(&self, client: Client, bytes: usize) {
        self.counters(client).sent_bytes.add(bytes as u64);
    }

    /// Tells a client for which there is no room when to come back, if the socket takes it at once.
    ///
    /// Its request is not read, so it may be one of a monitor as well, for whom 200 would be good
    /// news. Clients take 503 for what it is. A handshake is not made only to say so.
    pub(super) fn turn_away(
        &self,
        mut stream: impl Read + Write,
        client: Client,
        security: Security,
        reason: DropReason,
    ) {
        let counters = self.counters(client);
        counters.drop(reason);
        if security == Security::Tls {
            return;
        }
        counters.status(Status::Unavailable);
        let policy = self.worker.shared.policy.load();
        let mut out = Vec::new();
        respond(&mut out, &ResponseHead::closing(Status::Unavailable), 89, |out| {
            write_failure(out, &HttpRefusal::Overloaded.failure(&policy.answers));
        });
        let _ = stream.write(&out);
        let _ = stream.read(&mut [0; TURNED_AWAY_BYTES_MAX]);
    }

    /// Appends the answer to a head that was not understood or did not come.
    pub(super) fn refuse(&self, status: Status, client: Client, out: &mut Vec<u8>) {
        self.counters(client).status(status);
        respond(out, &ResponseHead::closing(status), 0, |_| {});
    }

    /// Appends what was made elsewhere, but for the body that is returned.
    pub(super) fn deliver(
        &self,
        made: &Made,
        client: Client,
        out: &mut Vec<u8>,
    ) -> Option<Arc<[u8]>> {
        match &made.body {
            Ok(body) => {
                self.counters(client).answer(made.action);
                respond_head(out, &made.head, body.len());
                (!made.head.omit_body).then(|| Arc::clone(body))
            }
            Err(refusal) => {
                let policy = self.worker.shared.policy.load();
                let (mut head, counters) = (made.head, self.counters(client));
                if made.action == Action::Page {
                    (head.status, head.content_type) = (Status::Unavailable, ContentType::Text);
                    counters.status(head.status);
                } else {
                    refusal.count(counters);
                }
                respond(out, &head, 40, |out| {
                    write_failure(out, &refusal.failure(&policy.answers));
                });
                None
            }
        }
    }

    /// Answers one request into `out`, or tells what is to be made elsewhere.
    pub(super) fn answer(&mut self, head: &Head<'_>, client: Client, out: &mut Vec<u8>) -> Next {
        self.counters(client).received_bytes.add(head.len as u64);
        let connection = Connection::of(head);
        let plain = |out: &mut Vec<u8>, status| {
            self.counters(client).status(status);
            respond(out, &ResponseHead::text(status, head), 0, |_| {});
            Next::Written(connection)
        };
        if head.method == Method::Other {
            return plain(out, Status::MethodNotAllowed);
        }
        let policy = self.worker.shared.policy.load();
        let session = HttpSession { policy: &policy };
        if policy.websocket.enabled
            && let Some(asked) = handshake::parse(head)
        {
            return self.upgrade(session, head, client, asked, out);
        }
        let target = Target::parse(head.target);
        match target.route {
            Route::Announce { .. } => return self.announce(session, head, &target, client, out),
            Route::Scrape { .. } => return self.scrape(session, head, &target, client, out),
            Route::Home => {
                let host = head.header("host").map(<[u8]>::to_vec);
                return self.page(
                    head,
                    client,
                    ContentType::Html,
                    Page::Home { host, over_tls: client.over_tls },
                );
            }
            Route::Health => self.health(head, client, out),
            Route::Stats if !head.accepts_json => {
                return self.page(head, client, ContentType::Html, Page::StatsHtml);
            }
            Route::Stats | Route::StatsJson => {
                return self.page(head, client, ContentType::Json, Page::StatsJson);
            }
            Route::Unknown => return plain(out, Status::NotFound),
        }
        Next::Written(connection)
    }

    /// Lets a browser speak WebSocket, whatever it asked for: clients use any path.
    fn upgrade(
        &self,
        session: HttpSession<'_>,
        head: &Head<'_>,
        client: Client,
        asked: Result<Accept, HandshakeError>,
        out: &mut Vec<u8>,
    ) -> Next {
        let refused = |out: &mut Vec<u8>, error| {
            self.counters(client).status(Status::BadRequest);
            handshake::write_refusal(out, error);
            Next::Written(Connection::Close)
        };
        let accept = match asked {
            Ok(accept) => accept,
            Err(error) => return refused(out, error),
        };
        match client.source(&session, head) {
            Ok(source) => {
                handshake::write_response(out, &accept);
                let wanted = session.policy.rules.wants_passkey();
                let passkey = wanted.then(|| Target::parse(head.target).passkey()).flatten();
                Next::Upgraded(Caller { source, credential: Credential::new(passkey) })
            }
            Err(refusal) => {
                refusal.count(self.counters(client));
                let text = refusal.failure(&session.policy.answers);
                respond(out, &ResponseHead::closing(Status::BadRequest), 40, |out| {
                    write_failure(out, &text);
                });
                Next::Written(Connection::Close)
            }
        }
    }

    fn health(&self, head: &Head<'_>, client: Client, out: &mut Vec<u8>) {
        let counters = self.counters(client);
        counters.request(Action::Page);
        counters.answer(Action::Page);
        let head = ResponseHead::text(Status::Ok, head);
        respond(out, &head, 2, |out| out.extend_from_slice(pages::HEALTH_TEXT.as_bytes()));
    }

    fn page(&self, head: &Head<'_>, client: Client, content_type: ContentType, page: Page) -> Next {
        self.counters(client).request(Action::Page);
        let response = ResponseHead {
            content_type,
            extra_headers: pages::HEADERS,
            ..ResponseHead::text(Status::Ok, head)
        };
        self.defer(response, client, Walk::Page(page))
    }

    fn defer(&self, head: ResponseHead, client: Client, what: Walk) -> Next {
        let page = Deferred {
            head,
            what,
            pages: self.pages.clone(),
            shared: self.worker.shared.clone(),
            client,
        };
        Next::Deferred { page: Box::new(page), connection: head.connection }
    }

    fn announce(
        &mut self,
        session: HttpSession<'_>,
        head: &Head<'_>,
        target: &Target<'_>,
        client: Client,
        out: &mut Vec<u8>,
    ) -> Next {
        let Self { worker, scratch, .. } = self;
        let counters = &worker.counters.http[usize::from(client.is_ipv6())];
        counters.request(Action::Announce);
        let asked = client
            .source(&session, head)
            .and_then(|source| session.announce(target, source, &mut scratch.reason));
        match asked {
            Ok(asked) => self.announced(session, head, client, &asked, out),
            Err(refusal) => {
                refused(
                    counters,
                    session.policy,
                    &ResponseHead::text(Status::Ok, head),
                    refusal,
                    out,
                );
                Next::Written(Connection::of(head))
            }
        }
    }

    fn announced(
        &mut self,
        session: HttpSession<'_>,
        head: &Head<'_>,
        client: Client,
        asked: &HttpAnnounce,
        out: &mut Vec<u8>,
    ) -> Next {
        let Self { worker, scratch, .. } = self;
        let Worker { shared, new_torrents, rng, .. } = worker;
        let mut moment = Moment { now: shared.clock.now(), rng, new_torrents };
        let mut batch = OneAnnounce {
            request: [Request::Announce(asked.announce)],
            member: asked.member,
            corrupt_bytes: asked.corrupt_bytes,
            ipv4: &mut scratch.ipv4[..asked.ipv4_peers * IPV4_BYTES],
            ipv6: &mut scratch.ipv6[..asked.ipv6_peers * IPV6_BYTES],
            peer_ids: asked.peer_ids.then_some(&mut scratch.peer_ids),
            answer: Cell::new(Answer::Announced(Announced::default())),
        };
        shared.store.submit(&mut moment, &mut batch);
        let (announced, position) = match batch.answer.get() {
            Answer::Announced(announced) => (announced, None),
            Answer::Promised(announced, position) => (announced, Some(position)),
            Answer::Refused(refusal) => {
                self.refused(session.policy, head, client, HttpRefusal::Refused(refusal), out);
                return Next::Written(Connection::of(head));
            }
            _ => unreachable!("an answer is of the kind of its request"),
        };
        let ids = &scratch.peer_ids;
        let peers = PeerList {
            ipv4: &scratch.ipv4[..announced.ipv4_bytes],
            ipv6: &scratch.ipv6[..announced.ipv6_bytes],
            ipv4_ids: if asked.peer_ids { &ids.ipv4 } else { &[] },
            ipv6_ids: if asked.peer_ids { &ids.ipv6 } else { &[] },
        };
        let interval = session.policy.answers.interval_after(&announced, shared.delay.secs(), rng);
        let hint = 100 + announced.ipv4_bytes + announced.ipv6_bytes;
        respond(out, &ResponseHead::text(Status::Ok, head), hint, |out| {
            session.write_announce(out, interval, asked, &announced, peers);
        });
        self.counters(client).announced(&announced, interval);
        match position {
            None => Next::Written(Connection::of(head)),
            Some(position) => {
                self.promised(ResponseHead::text(Status::Ok, head), client, position, out)
            }
        }
    }

    /// Has an answer wait until a record is on the disk.
    #[cold]
    fn promised(
        &self,
        head: ResponseHead,
        client: Client,
        position: u64,
        out: &mut Vec<u8>,
    ) -> Next {
        let late = self.worker.shared.late.as_ref();
        match late.and_then(|late| late.kept(position).ok()) {
            Some(kept) => Next::Promised(Promised { head, kept }),
            None => {
                self.break_promise(head, client, out);
                Next::Written(head.connection)
            }
        }
    }

    /// Puts an answer that asks to try again in the place of another.
    pub(super) fn break_promise(&self, head: ResponseHead, client: Client, out: &mut Vec<u8>) {
        out.clear();
        let policy = self.worker.shared.policy.load();
        let refusal = HttpRefusal::Refused(Refusal::NotRecorded);
        refused(self.counters(client), &policy, &head, refusal, out);
    }

    fn scrape(
        &mut self,
        session: HttpSession<'_>,
        head: &Head<'_>,
        target: &Target<'_>,
        client: Client,
        out: &mut Vec<u8>,
    ) -> Next {
        self.counters(client).request(Action::Scrape);
        let connection = Connection::of(head);
        let read = session.scrape(target, &mut self.scratch.info_hashes);
        if let Err(refusal) = read {
            self.refused(session.policy, head, client, refusal, out);
            return Next::Written(connection);
        }
        if self.scratch.info_hashes.is_empty() {
            return match session.full_scrape() {
                Ok(_) => {
                    let response = ResponseHead::text(Status::Ok, head);
                    self.defer(response, client, Walk::FullScrape)
                }
                Err(refusal) => {
                    self.refused(session.policy, head, client, refusal, out);
                    Next::Written(connection)
                }
            };
        }
        self.read_counts();
        let Scratch { info_hashes, counts, .. } = &self.scratch;
        let start = out.len();
        let hint = SCRAPE_BYTES + info_hashes.len() * SCRAPE_ENTRY_BYTES;
        let mut written = Ok(());
        respond(out, &ResponseHead::text(Status::Ok, head), hint, |out| {
            written = session.write_scrape(out, info_hashes, counts);
        });
        match written {
            Ok(()) => self.counters(client).answer(Action::Scrape),
            Err(refusal) => {
                out.truncate(start);
                self.refused(session.policy, head, client, refusal, out);
            }
        }
        Next::Written(connection)
    }

    /// Asks the swarms for the counts of the torrents in the scratch room.
    fn read_counts(&mut self) {
        let Self { worker, scratch, .. } = self;
        let Scratch { info_hashes, requests, counts, .. } = scratch;
        requests.clear();
        requests.extend(info_hashes.iter().map(|info_hash| Request::Scrape(*info_hash)));
        counts.clear();
        counts.resize(requests.len(), None);
        let Worker { shared, new_torrents, rng, .. } = worker;
        let mut moment = Moment { now: shared.clock.now(), rng, new_torrents };
        shared.store.submit(&mut moment, &mut ManyScrapes { requests, counts });
    }

    fn refused(
        &self,
        policy: &Policy,
        head: &Head<'_>,
        client: Client,
        refusal: HttpRefusal<'_>,
        out: &mut Vec<u8>,
    ) {
        let head = ResponseHead::text(Status::Ok, head);
        refused(self.counters(client), policy, &head, refusal, out);
    }
}

fn refused(
    counters: &TrafficCounters,
    policy: &Policy,
    head: &ResponseHead,
    refusal: HttpRefusal<'_>,
    out: &mut Vec<u8>,
) {
    refusal.count(counters);
    respond(out, head, 40, |out| {
        write_failure(out, &refusal.failure(&policy.answers));
    });
}

/// The only announce of a batch.
struct OneAnnounce<'a> {
    request: [Request; 1],
    member: Option<Member>,
    corrupt_bytes: Option<u64>,
    ipv4: &'a mut [u8],
    ipv6: &'a mut [u8],
    peer_ids: Option<&'a mut PeerIds>,
    answer: Cell<Answer>,
}

impl Batch for OneAnnounce<'_> {
    fn requests(&self) -> &[Request] {
        &self.request
    }

    fn member(&self, _number: usize) -> Option<Member> {
        self.member
    }

    fn corrupt_bytes(&self, _number: usize) -> Option<u64> {
        self.corrupt_bytes
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        PeerRoom {
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            peer_ids: self.peer_ids.as_deref_mut(),
            ..PeerRoom::default()
        }
    }

    fn complete(&mut self, _number: usize, answer: Answer) {
        self.answer.set(answer);
    }
}

/// The torrents of one scrape.
struct ManyScrapes<'a> {
    requests: &'a [Request],
    counts: &'a mut [Option<Counts>],
}

impl Batch for ManyScrapes<'_> {
    fn requests(&self) -> &[Request] {
        self.requests
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        PeerRoom::default()
    }

    fn complete(&mut self, number: usize, answer: Answer) {
        if let Answer::Scraped(counts) = answer {
            self.counts[number] = counts;
        }
    }
}
