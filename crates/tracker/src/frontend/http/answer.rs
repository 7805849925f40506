//! From a request head to the bytes of the answer: routes, swarms and pages.
//!
//! Reads and writes no socket. What takes a walk over all swarms is handed back as a deferred page,
//! to be made on another thread.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use skep_engine::Tick;
use skep_engine::counters::{Action, Drop as Dropped, TrafficCounters};
use skep_engine::limits::PEERS_PER_ANSWER_MAX;
use skep_engine::session::{HttpAnnounce, HttpRefusal, HttpSession, Policy};
use skep_engine::swarm::{Announced, Counts, Moment, PeerIds, PeerRoom};
use skep_proto::InfoHash;
use skep_proto::http::{
    Connection, ContentType, Head, Method, PeerList, ResponseHead, Route, Status, Target, respond,
    write_failure,
};
use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES};
use tokio::net::TcpStream;

use crate::frontend::{Shared, Worker};
use crate::pages::{self, Site};
use crate::shards::{Answer, Batch, Request};
use crate::stats::Stats;

/// Seconds for which a large full scrape is answered with the same bytes.
const FULL_SCRAPE_KEPT_SECS: u32 = 10;

/// Full scrapes below this are made anew each time.
const FULL_SCRAPE_KEPT_BYTES_MIN: usize = 64 * 1024;

/// What pages are made of, for all workers.
pub struct Pages {
    site: Site,
    stats: Stats,
    /// The last large full scrape, so that asking for it again and again costs nothing.
    full_scrape: Mutex<Option<(Tick, Arc<[u8]>)>>,
}

impl Pages {
    pub(super) const fn new(site: Site, stats: Stats) -> Self {
        Self { site, stats, full_scrape: Mutex::new(None) }
    }
}

/// Whether an answer is there already.
#[derive(Debug)]
pub(super) enum Next {
    /// It was written.
    Written(Connection),
    /// It must be made elsewhere.
    Deferred { page: Deferred, connection: Connection },
}

impl Next {
    pub(super) const fn stays_open(&self) -> bool {
        let (Self::Written(connection) | Self::Deferred { connection, .. }) = self;
        connection.stays_open()
    }
}

/// An answer that walks all swarms.
pub(super) struct Deferred {
    head: ResponseHead,
    what: DeferredPage,
    pages: Arc<Pages>,
    shared: Shared,
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deferred").field("what", &self.what).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum DeferredPage {
    /// With the host that the client knows us by.
    Home(Option<Vec<u8>>),
    StatsHtml,
    StatsJson,
    FullScrape,
}

impl Deferred {
    /// Makes the answer on another thread and appends it.
    pub(super) async fn write(self, out: &mut Vec<u8>) {
        let head = self.head;
        let made = tokio::task::spawn_blocking(move || self.body()).await;
        match made {
            Ok(body) => respond(out, &head, body.len(), |out| out.extend_from_slice(&body)),
            Err(_) => respond(out, &ResponseHead::closing(Status::InternalError), 0, |_| {}),
        }
    }

    fn body(&self) -> Arc<[u8]> {
        let stats = &self.pages.stats;
        match &self.what {
            DeferredPage::Home(host) => {
                pages::home(&self.pages.site, host.as_deref(), &stats.snapshot())
                    .into_bytes()
                    .into()
            }
            DeferredPage::StatsHtml => pages::stats_html(&stats.snapshot()).into_bytes().into(),
            DeferredPage::StatsJson => pages::stats_json(&stats.snapshot()).into_bytes().into(),
            DeferredPage::FullScrape => self.full_scrape(),
        }
    }

    fn full_scrape(&self) -> Arc<[u8]> {
        // Whoever asks meanwhile waits here and gets the same bytes.
        let mut kept = self.pages.full_scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.shared.clock.now();
        if let Some((made, body)) = kept.as_ref()
            && now.since(*made) < FULL_SCRAPE_KEPT_SECS
        {
            return body.clone();
        }
        let policy = self.shared.policy.load_full();
        let session = HttpSession { policy: &policy };
        let mut body = Vec::new();
        let written = session.full_scrape().and_then(|mut scrape| {
            self.shared.store.for_each(&mut |info_hash, counts| scrape.add(info_hash, counts));
            scrape.write(&mut body)
        });
        if let Err(refusal) = written {
            body.clear();
            write_failure(&mut body, &refusal.failure(&policy.answers));
        }
        let body: Arc<[u8]> = body.into();
        *kept = (body.len() >= FULL_SCRAPE_KEPT_BYTES_MIN).then(|| (now, body.clone()));
        body
    }
}

/// What a worker needs to answer requests.
pub(super) struct Answerer {
    worker: Worker,
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
        };
        Self { worker, pages, scratch }
    }

    fn counters(&self, peer: SocketAddr) -> &TrafficCounters {
        &self.worker.counters.http[usize::from(peer.ip().to_canonical().is_ipv6())]
    }

    pub(super) fn count_timeout(&self, peer: SocketAddr) {
        self.counters(peer).drop(Dropped::TimedOut);
    }

    pub(super) fn count_sent(&self, peer: SocketAddr, bytes: usize) {
        self.counters(peer).sent_bytes.add(bytes as u64);
    }

    /// Tells a client for which there is no room when to come back, if the socket takes it at once.
    pub(super) fn turn_away(&self, stream: &TcpStream) {
        let policy = self.worker.shared.policy.load();
        let mut out = Vec::new();
        respond(&mut out, &ResponseHead::closing(Status::Ok), 89, |out| {
            write_failure(out, &HttpRefusal::Overloaded.failure(&policy.answers));
        });
        let _ = stream.try_write(&out);
    }

    /// Answers one request into `out`, or tells what is to be made elsewhere.
    pub(super) fn answer(&mut self, head: &Head<'_>, peer: SocketAddr, out: &mut Vec<u8>) -> Next {
        self.counters(peer).received_bytes.add(head.len as u64);
        let connection = Connection::of(head);
        let plain = |out: &mut Vec<u8>, status| {
            respond(out, &ResponseHead::text(status, head), 0, |_| {});
            Next::Written(connection)
        };
        if head.method == Method::Other {
            return plain(out, Status::MethodNotAllowed);
        }
        let policy = self.worker.shared.policy.load_full();
        let session = HttpSession { policy: &policy };
        let target = Target::parse(head.target);
        match target.route {
            Route::Announce { .. } => self.announce(session, head, &target, peer, out),
            Route::Scrape { .. } => return self.scrape(session, head, &target, peer, out),
            Route::Home => {
                let host = head.header("host").map(<[u8]>::to_vec);
                return self.defer(head, peer, ContentType::Html, DeferredPage::Home(host));
            }
            Route::Health => self.health(head, peer, out),
            Route::Stats if !head.accepts_json => {
                return self.defer(head, peer, ContentType::Html, DeferredPage::StatsHtml);
            }
            Route::Stats | Route::StatsJson => {
                return self.defer(head, peer, ContentType::Json, DeferredPage::StatsJson);
            }
            Route::Unknown => return plain(out, Status::NotFound),
        }
        Next::Written(connection)
    }

    fn health(&self, head: &Head<'_>, peer: SocketAddr, out: &mut Vec<u8>) {
        let counters = self.counters(peer);
        counters.request(Action::Page);
        counters.answer(Action::Page);
        let head = ResponseHead::text(Status::Ok, head);
        respond(out, &head, 2, |out| out.extend_from_slice(pages::HEALTH_TEXT.as_bytes()));
    }

    fn defer(
        &self,
        head: &Head<'_>,
        peer: SocketAddr,
        content_type: ContentType,
        what: DeferredPage,
    ) -> Next {
        // The request of a scrape is counted before it is known to be for everything.
        if matches!(what, DeferredPage::FullScrape) {
            self.counters(peer).answer(Action::Scrape);
        } else {
            self.counters(peer).request(Action::Page);
            self.counters(peer).answer(Action::Page);
        }
        let extra = if content_type == ContentType::Text { &[] } else { pages::HEADERS };
        let page = Deferred {
            head: ResponseHead {
                content_type,
                extra_headers: extra,
                ..ResponseHead::text(Status::Ok, head)
            },
            what,
            pages: self.pages.clone(),
            shared: self.worker.shared.clone(),
        };
        Next::Deferred { page, connection: Connection::of(head) }
    }

    fn announce(
        &mut self,
        session: HttpSession<'_>,
        head: &Head<'_>,
        target: &Target<'_>,
        peer: SocketAddr,
        out: &mut Vec<u8>,
    ) {
        self.counters(peer).request(Action::Announce);
        let asked = session
            .client_ip(head, peer.ip())
            .and_then(|source: IpAddr| session.announce(target.query, source));
        match asked {
            Ok(asked) => self.announced(session, head, peer, &asked, out),
            Err(refusal) => self.refused(session.policy, head, peer, refusal, out),
        }
    }

    fn announced(
        &mut self,
        session: HttpSession<'_>,
        head: &Head<'_>,
        peer: SocketAddr,
        asked: &HttpAnnounce,
        out: &mut Vec<u8>,
    ) {
        let Self { worker, scratch, .. } = self;
        let Worker { shared, new_torrents, rng, .. } = worker;
        let mut moment = Moment { now: shared.clock.now(), rng, new_torrents };
        let mut batch = OneAnnounce {
            request: [Request::Announce(asked.announce)],
            ipv4: &mut scratch.ipv4[..asked.ipv4_peers * IPV4_BYTES],
            ipv6: &mut scratch.ipv6[..asked.ipv6_peers * IPV6_BYTES],
            peer_ids: asked.peer_ids.then_some(&mut scratch.peer_ids),
            answer: Cell::default(),
        };
        shared.store.submit(&mut moment, &mut batch);
        let announced = batch.answer.get();
        let ids = &scratch.peer_ids;
        let peers = PeerList {
            ipv4: &scratch.ipv4[..announced.ipv4_bytes],
            ipv6: &scratch.ipv6[..announced.ipv6_bytes],
            ipv4_ids: if asked.peer_ids { &ids.ipv4 } else { &[] },
            ipv6_ids: if asked.peer_ids { &ids.ipv6 } else { &[] },
        };
        let hint = 100 + announced.ipv4_bytes + announced.ipv6_bytes;
        respond(out, &ResponseHead::text(Status::Ok, head), hint, |out| {
            session.write_announce(out, rng, asked, &announced, peers);
        });
        self.counters(peer).announced(&announced);
    }

    fn scrape(
        &mut self,
        session: HttpSession<'_>,
        head: &Head<'_>,
        target: &Target<'_>,
        peer: SocketAddr,
        out: &mut Vec<u8>,
    ) -> Next {
        self.counters(peer).request(Action::Scrape);
        let connection = Connection::of(head);
        let read = session.scrape(target.query, &mut self.scratch.info_hashes);
        if let Err(refusal) = read {
            self.refused(session.policy, head, peer, refusal, out);
            return Next::Written(connection);
        }
        if self.scratch.info_hashes.is_empty() {
            return match session.full_scrape() {
                Ok(_) => self.defer(head, peer, ContentType::Text, DeferredPage::FullScrape),
                Err(refusal) => {
                    self.refused(session.policy, head, peer, refusal, out);
                    Next::Written(connection)
                }
            };
        }
        self.read_counts();
        let mut body = Vec::new();
        let scratch = &self.scratch;
        match session.write_scrape(&mut body, &scratch.info_hashes, &scratch.counts) {
            Ok(()) => {
                let head = ResponseHead::text(Status::Ok, head);
                respond(out, &head, body.len(), |out| out.extend_from_slice(&body));
                self.counters(peer).answer(Action::Scrape);
            }
            Err(refusal) => self.refused(session.policy, head, peer, refusal, out),
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
        peer: SocketAddr,
        refusal: HttpRefusal<'_>,
        out: &mut Vec<u8>,
    ) {
        refusal.count(self.counters(peer));
        respond(out, &ResponseHead::text(Status::Ok, head), 40, |out| {
            write_failure(out, &refusal.failure(&policy.answers));
        });
    }
}

/// The only announce of a batch.
struct OneAnnounce<'a> {
    request: [Request; 1],
    ipv4: &'a mut [u8],
    ipv6: &'a mut [u8],
    peer_ids: Option<&'a mut PeerIds>,
    answer: Cell<Announced>,
}

impl Batch for OneAnnounce<'_> {
    fn requests(&self) -> &[Request] {
        &self.request
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        PeerRoom { ipv4: self.ipv4, ipv6: self.ipv6, peer_ids: self.peer_ids.as_deref_mut() }
    }

    fn complete(&mut self, _number: usize, answer: Answer) {
        if let Answer::Announced(announced) = answer {
            self.answer.set(announced);
        }
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
