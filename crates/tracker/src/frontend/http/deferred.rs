//! Answers that walk all swarms: made on another thread, kept for a while, shared by all who ask.
//!
//! What is on a page is decided in `pages`, what is in a scrape in the engine.

use std::net::IpAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use skep_engine::Tick;
use skep_engine::counters::Action;
use skep_engine::session::{HttpRefusal, HttpSession, Policy};
use skep_proto::http::ResponseHead;

use super::client::Client;
use super::places::Network;
use crate::frontend::Shared;
use crate::pages::{self, Site};
use crate::stats::{Snapshot, Stats};

/// Requests of the whole process that wait for another thread.
const WAITING_MAX: usize = 64;

/// Full scrapes that are made or sent at once. Each may hold some megabytes of the system's memory.
const FULL_SCRAPES_MAX: usize = 32;

/// Full scrapes at once for one address that is no trusted proxy.
const FULL_SCRAPES_PER_NETWORK_MAX: usize = 4;

/// Seconds for which a full scrape is answered with the same bytes.
const FULL_SCRAPE_KEPT_SECS: u32 = 10;

/// A full scrape of fewer torrents and bytes is made anew each time.
const FULL_SCRAPE_SMALL: (usize, usize) = (1_000, 64 * 1024);

/// Bodies of earlier full scrapes that may still be on their way when a new one is made.
const FULL_SCRAPES_OLDER_MAX: usize = 2;

/// A body, or why there is none.
type Body = Result<Arc<[u8]>, HttpRefusal<'static>>;

/// What pages and full scrapes are made of, for all workers.
pub struct Pages {
    site: Site,
    stats: Stats,
    html: Mutex<Option<Rendered>>,
    json: Mutex<Option<Rendered>>,
    waiting: AtomicUsize,
    full_scrapes: FullScrapes,
}

/// A page and the count that it shows.
struct Rendered {
    snapshot: Arc<Snapshot>,
    body: Arc<[u8]>,
}

/// Full scrapes that are kept, and that are under way.
#[derive(Default)]
struct FullScrapes {
    kept: Mutex<Kept>,
    /// For whom one is made or sent, once for each.
    under_way: Mutex<Vec<Network>>,
}

#[derive(Default)]
struct Kept {
    last: Option<Scraped>,
    /// Bodies before the last one, as long as somebody is still being sent them.
    older: Vec<Weak<[u8]>>,
}

/// A full scrape that is kept.
struct Scraped {
    at: Tick,
    /// What was in force: what is denied since then must not be shown.
    policy: Weak<Policy>,
    /// What the site had withdrawn before the walk, for the same reason.
    withdrawals: u64,
    body: Body,
}

/// What walks all swarms.
#[derive(Debug)]
pub(super) enum Walk {
    Page(Page),
    FullScrape,
}

/// A page that shows a count.
#[derive(Debug)]
pub(super) enum Page {
    Home {
        /// The host that the client knows us by.
        host: Option<Vec<u8>>,
        /// Whether it asked over TLS.
        over_tls: bool,
    },
    StatsHtml,
    StatsJson,
}

/// An answer that walks all swarms.
pub(super) struct Deferred {
    pub(super) head: ResponseHead,
    pub(super) what: Walk,
    pub(super) pages: Arc<Pages>,
    pub(super) shared: Shared,
    /// Who asks.
    pub(super) client: Client,
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deferred").field("what", &self.what).finish_non_exhaustive()
    }
}

/// An answer that was made. Of a full scrape no more than so many exist; keep it until it is sent.
pub(super) struct Made {
    pub(super) head: ResponseHead,
    pub(super) action: Action,
    pub(super) body: Body,
    _under_way: Option<UnderWay>,
}

impl Deferred {
    /// Makes the answer, or finds that it was made before.
    pub(super) async fn make(self) -> Made {
        let (head, pages) = (self.head, Arc::clone(&self.pages));
        let Walk::FullScrape = self.what else {
            let body = self.body_here_or_elsewhere().await;
            return Made { head, action: Action::Page, body, _under_way: None };
        };
        let under_way = UnderWay::begin(&pages, self.client.ip(), || self.is_from_proxy());
        let body = match under_way {
            Some(_) => self.body_here_or_elsewhere().await,
            None => Err(HttpRefusal::Overloaded),
        };
        Made { head, action: Action::Scrape, body, _under_way: under_way }
    }

    async fn body_here_or_elsewhere(self) -> Body {
        if let Some(body) = self.kept() {
            return body;
        }
        let Some(waiting) = Waiting::begin(&self.pages) else {
            return Err(HttpRefusal::Overloaded);
        };
        let made = tokio::task::spawn_blocking(move || self.body()).await;
        drop(waiting);
        match made {
            Ok(body) => body,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The tracker stops.
            Err(_) => Err(HttpRefusal::Overloaded),
        }
    }

    fn is_from_proxy(&self) -> bool {
        self.client.is_trusted(&self.shared.policy.load().proxies)
    }

    /// The body, if it can be had without a walk.
    fn kept(&self) -> Option<Body> {
        match &self.what {
            Walk::FullScrape => {
                let kept = self.pages.full_scrapes.kept.try_lock()?;
                kept.good_at(self.shared.clock.now(), &self.shared.policy.load())
            }
            Walk::Page(page) => {
                self.pages.stats.kept().map(|snapshot| Ok(self.pages.render(page, &snapshot)))
            }
        }
    }

    fn body(&self) -> Body {
        match &self.what {
            Walk::FullScrape => self.full_scrape(),
            Walk::Page(page) => Ok(self.pages.render(page, &self.pages.stats.snapshot())),
        }
    }

    fn full_scrape(&self) -> Body {
        // Whoever asks meanwhile waits here and gets the same bytes.
        let mut kept = self.pages.full_scrapes.kept.lock();
        let (now, policy) = (self.shared.clock.now(), self.shared.policy.load_full());
        if let Some(body) = kept.good_at(now, &policy) {
            return body;
        }
        // Readers who take their time must not fill the memory with what they read.
        kept.older.retain(|body| body.strong_count() > 0);
        if kept.older.len() >= FULL_SCRAPES_OLDER_MAX {
            return match &kept.last {
                Some(last) if last.is_of(&policy) => last.body.clone(),
                _ => Err(HttpRefusal::Overloaded),
            };
        }
        let withdrawals = policy.rules.withdrawals();
        let (body, is_small) = self.walk(&policy);
        if let Some(Scraped { body: Ok(last), .. }) = kept.last.take() {
            kept.older.push(Arc::downgrade(&last));
        }
        let policy = Arc::downgrade(&policy);
        kept.last =
            (!is_small).then(|| Scraped { at: now, policy, withdrawals, body: body.clone() });
        body
    }

    /// A fresh full scrape, and whether it is too small to be kept.
    fn walk(&self, policy: &Policy) -> (Body, bool) {
        let session = HttpSession { policy };
        let (mut body, mut torrents) = (Vec::new(), 0);
        let written = session.full_scrape().and_then(|mut scrape| {
            self.shared.store.for_each(&mut |info_hash, counts, _| {
                torrents += 1;
                scrape.add(info_hash, counts);
            });
            scrape.write(&mut body)
        });
        let (torrents_max, bytes_max) = FULL_SCRAPE_SMALL;
        let is_small = torrents < torrents_max && body.len() < bytes_max;
        match written {
            Ok(()) => (Ok(body.into()), is_small),
            Err(HttpRefusal::NothingFound) => (Err(HttpRefusal::NothingFound), is_small),
            Err(HttpRefusal::Broken(error)) => (Err(HttpRefusal::Broken(error)), is_small),
            Err(_) => {
                let is_small = is_small && (policy.scrapes.full_max as usize) < torrents_max;
                (Err(HttpRefusal::FullScrapeTooLarge), is_small)
            }
        }
    }
}

/// A page about this count: the last one, if it is about the same.
fn rendered(
    last: &Mutex<Option<Rendered>>,
    snapshot: &Arc<Snapshot>,
    render: fn(&Snapshot) -> String,
) -> Arc<[u8]> {
    let mut last = last.lock();
    if let Some(last) = &*last
        && Arc::ptr_eq(&last.snapshot, snapshot)
    {
        return Arc::clone(&last.body);
    }
    let body: Arc<[u8]> = render(snapshot).into_bytes().into();
    *last = Some(Rendered { snapshot: Arc::clone(snapshot), body: Arc::clone(&body) });
    body
}

impl Pages {
    pub(super) fn new(site: Site, stats: Stats) -> Self {
        Self {
            site,
            stats,
            html: Mutex::default(),
            json: Mutex::default(),
            waiting: AtomicUsize::new(0),
            full_scrapes: FullScrapes::default(),
        }
    }

    fn render(&self, page: &Page, snapshot: &Arc<Snapshot>) -> Arc<[u8]> {
        match page {
            Page::Home { host, over_tls } => {
                pages::home(&self.site, host.as_deref(), *over_tls, snapshot).into_bytes().into()
            }
            Page::StatsHtml => rendered(&self.html, snapshot, pages::stats_html),
            Page::StatsJson => rendered(&self.json, snapshot, pages::stats_json),
        }
    }
}

impl Kept {
    fn good_at(&self, now: Tick, policy: &Arc<Policy>) -> Option<Body> {
        let last = self.last.as_ref()?;
        let good = now.since(last.at) < FULL_SCRAPE_KEPT_SECS && last.is_of(policy);
        good.then(|| last.body.clone())
    }
}

impl Scraped {
    fn is_of(&self, policy: &Arc<Policy>) -> bool {
        std::ptr::eq(self.policy.as_ptr(), Arc::as_ptr(policy))
            && self.withdrawals == policy.rules.withdrawals()
    }
}

/// A request that waits for another thread.
struct Waiting(Arc<Pages>);

impl Waiting {
    fn begin(pages: &Arc<Pages>) -> Option<Self> {
        let waiting = Self(Arc::clone(pages));
        // One that is too many is taken back when it is dropped.
        (pages.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A full scrape from its request until it is sent.
struct UnderWay {
    pages: Arc<Pages>,
    network: Network,
}

impl UnderWay {
    fn begin(pages: &Arc<Pages>, peer: IpAddr, is_exempt: impl FnOnce() -> bool) -> Option<Self> {
        let network = Network::of(peer);
        let mut under_way = pages.full_scrapes.under_way.lock();
        let of_network = under_way.iter().filter(|other| **other == network).count();
        let is_full = under_way.len() >= FULL_SCRAPES_MAX
            || (of_network >= FULL_SCRAPES_PER_NETWORK_MAX && !is_exempt());
        if is_full {
            return None;
        }
        under_way.push(network);
        Some(Self { pages: Arc::clone(pages), network })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut under_way = self.pages.full_scrapes.under_way.lock();
        if let Some(place) = under_way.iter().position(|other| *other == self.network) {
            under_way.swap_remove(place);
        }
    }
}
