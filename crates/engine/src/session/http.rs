//! The HTTP tracker protocol: a query in, an announce to carry out, and the answer in bencode.
//!
//! Connections, time-outs and pages for people are the front end's. Every answer here goes out with
//! status 200, refusals included: clients read no other.

use alloc::vec::Vec;
use core::net::IpAddr;

use skep_proto::http::{
    self, AnnounceReply, Failure, Head, PeerList, QueryOptions, RetryIn, ScrapeEntry, ScrapeWriter,
    Target,
};
use skep_proto::{DecodeError, InfoHash, peer_addr};

use super::{AnswerSettings, Interval, Policy, Proxies};
use crate::counters::TrafficCounters;
use crate::gate::{Reason, Refusal};
use crate::limits::PEERS_PER_ANSWER_MAX;
use crate::site::Member;
use crate::swarm::{Announce, Announced, Counts};

/// Seconds that a client is told to wait at least after a refusal that will not change.
const FINAL_INTERVAL_MIN_SECS: u32 = 600;

/// Reads HTTP tracker requests under the policy of the moment.
#[derive(Clone, Copy, Debug)]
pub struct HttpSession<'a> {
    /// What is in force.
    pub policy: &'a Policy,
}

/// An announce to carry out, and how its answer is to look.
#[derive(Clone, Copy, Debug)]
pub struct HttpAnnounce {
    /// For the swarm.
    pub announce: Announce,
    /// For the accounts, where users are known.
    pub member: Option<Member>,
    /// Bytes that the client threw away, if it tells; for the accounts.
    pub corrupt_bytes: Option<u64>,
    /// IPv4 peers that may be returned.
    pub ipv4_peers: usize,
    /// IPv6 peers that may be returned.
    pub ipv6_peers: usize,
    /// Whether peers go as packed bytes (BEP 23).
    pub compact: bool,
    /// Whether dictionary peers carry their peer ids.
    pub peer_ids: bool,
    /// Where the request came from, whatever it claims.
    pub source: IpAddr,
}

/// Why a request is not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpRefusal<'a> {
    /// It does not follow the protocol.
    Broken(DecodeError),
    /// A rule says no.
    Refused(Refusal<'a>),
    /// A trusted proxy did not name the client.
    ProxyWithoutClient,
    /// There is more work than can be done.
    Overloaded,
    /// Every torrent was asked for, and there are more than one answer may carry.
    FullScrapeTooLarge,
    /// A scrape found nothing, and the operator wants that said.
    NothingFound,
}

impl From<DecodeError> for HttpRefusal<'_> {
    fn from(error: DecodeError) -> Self {
        Self::Broken(error)
    }
}

impl<'a> HttpRefusal<'a> {
    /// Names for a metric label of the refusals that are neither errors of decoding nor of gates.
    pub const LABELS: [&'static str; 3] = ["proxy_without_client", "overloaded", "nothing_found"];

    /// Counts the refusal where it belongs.
    pub fn count(&self, counters: &TrafficCounters) {
        match self {
            Self::Broken(error) => counters.decode_errors[error.index()].add(1),
            Self::Refused(refusal) => counters.refusals[refusal.index()].add(1),
            Self::FullScrapeTooLarge => {
                counters.decode_errors[DecodeError::FullScrape.index()].add(1);
            }
            Self::ProxyWithoutClient => counters.http_refusals[0].add(1),
            Self::Overloaded => counters.http_refusals[1].add(1),
            Self::NothingFound => counters.http_refusals[2].add(1),
        }
    }

    /// The answer, with what the client should do next (BEP 31).
    #[must_use]
    pub fn failure(self, settings: &AnswerSettings) -> Failure<'a> {
        let reason = match self {
            Self::Broken(error) => error.text(),
            Self::Refused(refusal) => refusal.text(),
            Self::ProxyWithoutClient => "proxy did not supply client address",
            Self::Overloaded => "tracker overloaded",
            Self::FullScrapeTooLarge => "too many torrents for a full scrape",
            Self::NothingFound => "no torrents found",
        };
        match self {
            // Some clients read only the one, some only the other, and some neither below 5 minutes.
            Self::Refused(refusal) if refusal.is_final() => Failure {
                interval_secs: Some(settings.interval_secs.max(FINAL_INTERVAL_MIN_SECS)),
                interval_min_secs: Some(settings.interval_secs.max(FINAL_INTERVAL_MIN_SECS)),
                retry_in: Some(RetryIn::Never),
                ..Failure::new(reason)
            },
            Self::Refused(refusal) if refusal.is_passing() => Failure {
                interval_secs: Some(settings.interval_secs.max(FINAL_INTERVAL_MIN_SECS)),
                interval_min_secs: Some(settings.interval_secs.max(FINAL_INTERVAL_MIN_SECS)),
                retry_in: Some(RetryIn::Minutes(
                    settings.interval_secs.max(FINAL_INTERVAL_MIN_SECS).div_ceil(60),
                )),
                ..Failure::new(reason)
            },
            Self::Overloaded => Failure {
                interval_secs: Some(600),
                interval_min_secs: Some(600),
                retry_in: Some(RetryIn::Minutes(10)),
                ..Failure::new(reason)
            },
            _ => Failure::new(reason),
        }
    }
}

impl<'a> HttpSession<'a> {
    /// Reads an announce from the target of a client at `source`. `reason` is room for what a refusal
    /// says.
    ///
    /// # Errors
    /// The first thing that is wrong: the passkey where one is wanted, info_hash, peer_id, port, then
    /// the rules in their order.
    /// # Source
    /// BEP 3, BEP 7, BEP 23.
    pub fn announce<'r>(
        &self,
        target: &Target<'_>,
        source: IpAddr,
        reason: &'r mut Reason,
    ) -> Result<HttpAnnounce, HttpRefusal<'r>>
    where
        'a: 'r,
    {
        let Policy { answers, rules, .. } = self.policy;
        let read = match http::parse_announce(target.query, self.query_options()) {
            Ok(read) => read,
            Err(error) => return Err(self.broken(target, error)),
        };
        let announce = answers.announce(read.announce, source, read.claimed_ip);
        let passkey = target.route.passkey().or(read.passkey);
        let member = rules.admit(&announce, passkey, reason).map_err(HttpRefusal::Refused)?;
        if let (Some(_), Some(error)) = (member, read.uncounted) {
            return Err(HttpRefusal::Broken(error));
        }
        let own_gates = &self.policy.own_gates;
        own_gates.admit(&announce, member.as_ref()).map_err(HttpRefusal::Refused)?;
        let num_want = announce.request.num_want;
        let wanted = answers.peers_wanted(num_want, PEERS_PER_ANSWER_MAX as u32);
        let of_family = |same| {
            if same || answers.cross_family { wanted } else { 0 }
        };
        Ok(HttpAnnounce {
            announce,
            member,
            corrupt_bytes: read.corrupt_bytes,
            ipv4_peers: of_family(source.is_ipv4()),
            ipv6_peers: of_family(source.is_ipv6()),
            compact: read.compact,
            peer_ids: !read.compact && !read.no_peer_id,
            source,
        })
    }

    /// What is wrong with an announce that cannot be read; only users are told.
    #[cold]
    fn broken<'r>(&self, target: &Target<'_>, error: DecodeError) -> HttpRefusal<'r> {
        let rules = &self.policy.rules;
        if rules.wants_passkey() {
            // A passkey that is made for one torrent is known by that alone.
            let info_hash = http::first_info_hash(target.query, self.query_options());
            if let Err(refusal) = rules.admit_scrape(target.passkey(), info_hash.as_ref()) {
                return HttpRefusal::Refused(refusal);
            }
        }
        HttpRefusal::Broken(error)
    }

    /// Reads the torrents of a scrape into `out`; none means that all are asked for. Those are left out
    /// that the passkey does not hold for, but never the first.
    ///
    /// # Errors
    /// If whoever asks is no user where users are known, or if a hash is not 20 bytes long.
    /// # Source
    /// BEP 48.
    pub fn scrape(
        &self,
        target: &Target<'_>,
        out: &mut Vec<InfoHash>,
    ) -> Result<(), HttpRefusal<'a>> {
        let max = self.policy.scrapes.hashes_max as usize;
        let read = http::parse_scrape(target.query, self.query_options(), max, out);
        let rules = &self.policy.rules;
        if rules.wants_passkey() {
            let passkey = target.passkey();
            rules.admit_scrape(passkey, out.first()).map_err(HttpRefusal::Refused)?;
            rules.retain_admitted(passkey, out);
        }
        Ok(read?)
    }

    /// Appends the body of an announce answer.
    pub fn write_announce(
        &self,
        out: &mut Vec<u8>,
        interval: Interval,
        asked: &HttpAnnounce,
        announced: &Announced,
        peers: PeerList<'_>,
    ) {
        let answers = &self.policy.answers;
        let reply = AnnounceReply {
            seeders: announced.counts.seeders,
            completions: announced.counts.completions,
            leechers: announced.counts.incomplete(),
            interval_secs: interval.secs,
            interval_min_secs: interval.min_secs,
            external_ip: answers.external_ip.then(|| answers.external.of(asked.source)),
            warning: None,
            compact: asked.compact,
            requester_ipv6: asked.source.is_ipv6(),
            peers,
        };
        http::write_announce(out, &reply);
    }

    /// Appends the body of a scrape answer. `counts` belongs to `info_hashes`, one for one.
    ///
    /// A torrent that is not served looks like one that nobody knows.
    ///
    /// # Errors
    /// If nothing is left to show and the operator wants that said.
    /// # Source
    /// BEP 48; `downloaders` BEP 21.
    pub fn write_scrape(
        &self,
        out: &mut Vec<u8>,
        info_hashes: &[InfoHash],
        counts: &[Option<Counts>],
    ) -> Result<(), HttpRefusal<'a>> {
        let Policy { scrapes, rules, .. } = self.policy;
        let names: Vec<_> = match scrapes.names {
            true => info_hashes
                .iter()
                .map(|info_hash| rules.name(info_hash).filter(|_| rules.serves(info_hash)))
                .collect(),
            false => Vec::new(),
        };
        let mut entries = Vec::with_capacity(info_hashes.len());
        for (number, (info_hash, counts)) in info_hashes.iter().zip(counts).enumerate() {
            let served = rules.serves(info_hash);
            // A registered torrent is known, even if nobody announced it yet.
            let known = served && (counts.is_some() || rules.registers(info_hash));
            if known || !scrapes.omit_unknown {
                let counts = counts.filter(|_| served).unwrap_or_default();
                let name = names.get(number).and_then(Option::as_deref);
                entries.push(self.scrape_entry(*info_hash, &counts, name));
            }
        }
        if entries.is_empty() {
            return Err(HttpRefusal::NothingFound);
        }
        http::write_scrape(out, &mut entries, self.min_request_interval());
        Ok(())
    }

    /// Begins a scrape of every torrent that is served.
    ///
    /// # Errors
    /// Unless the operator allows it.
    pub fn full_scrape(&self) -> Result<FullScrape<'a>, HttpRefusal<'a>> {
        if self.policy.scrapes.full {
            Ok(FullScrape { session: *self, torrents: Vec::new() })
        } else {
            Err(HttpRefusal::Broken(DecodeError::FullScrape))
        }
    }

    /// The address of the client behind a connection from `peer`, which may be known for a proxy
    /// whose header does not count.
    ///
    /// # Errors
    /// If `peer` is a proxy and does not say for whom it speaks.
    pub fn client_ip(
        &self,
        head: &Head<'_>,
        peer: IpAddr,
        is_proxy: bool,
    ) -> Result<IpAddr, HttpRefusal<'a>> {
        let trusted = &self.policy.proxies.trusted;
        let peer = peer_addr::canonical(peer);
        if trusted.is_empty() || !trusted.contains(peer) {
            return if is_proxy { Err(HttpRefusal::ProxyWithoutClient) } else { Ok(peer) };
        }
        self.client_of_proxy(head)
    }

    /// The address of the client for whom a proxy speaks that is trusted.
    ///
    /// # Errors
    /// If it does not say for whom.
    pub fn client_of_proxy(&self, head: &Head<'_>) -> Result<IpAddr, HttpRefusal<'a>> {
        let Proxies { trusted, header, .. } = &self.policy.proxies;
        let values = head.headers_named(header);
        let client = if header.eq_ignore_ascii_case("forwarded") {
            http::forwarded_client_address(values, |ip| trusted.contains(ip))
        } else {
            http::client_address(values, |ip| trusted.contains(ip))
        };
        client.ok_or(HttpRefusal::ProxyWithoutClient)
    }

    fn scrape_entry<'n>(
        &self,
        info_hash: InfoHash,
        counts: &Counts,
        name: Option<&'n str>,
    ) -> ScrapeEntry<'n> {
        let scrapes = &self.policy.scrapes;
        ScrapeEntry {
            info_hash,
            seeders: counts.seeders,
            completions: counts.completions,
            downloaders: scrapes.downloaders.then_some(counts.leechers),
            leechers: counts.incomplete(),
            name: name.map(str::as_bytes),
        }
    }

    fn min_request_interval(&self) -> Option<u32> {
        self.policy.scrapes.flags.then_some(self.policy.answers.interval_min_secs)
    }

    const fn query_options(&self) -> QueryOptions {
        QueryOptions {
            plus_literal: self.policy.answers.plus_literal,
            allow_port_zero: self.policy.answers.port_zero_unlisted,
        }
    }
}

/// A scrape of every torrent, collected shard by shard and written at the end.
#[derive(Debug)]
pub struct FullScrape<'a> {
    session: HttpSession<'a>,
    torrents: Vec<(InfoHash, Counts)>,
}

impl<'a> FullScrape<'a> {
    /// Takes one torrent; those that are not served, or not to everybody, are left out.
    pub fn add(&mut self, info_hash: &InfoHash, counts: Counts) {
        // One above the bound is enough to know that it is passed.
        let room = self.torrents.len() <= self.session.policy.scrapes.full_max as usize;
        if room && self.session.policy.rules.serves_everybody(info_hash) {
            self.torrents.push((*info_hash, counts));
        }
    }

    /// Appends the body: what was added, and registered torrents without peers.
    ///
    /// # Errors
    /// If there are more torrents than the operator allows in one answer, or none.
    pub fn write(mut self, out: &mut Vec<u8>) -> Result<(), HttpRefusal<'a>> {
        let Policy { scrapes, rules, .. } = self.session.policy;
        self.torrents.sort_unstable_by_key(|(info_hash, _)| *info_hash);
        let announced = self.torrents.len();
        rules.for_each_registered(&mut |info_hash| {
            let sorted = &self.torrents[..announced];
            let room = self.torrents.len() <= scrapes.full_max as usize;
            if room && sorted.binary_search_by_key(info_hash, |(known, _)| *known).is_err() {
                self.torrents.push((*info_hash, Counts::default()));
            }
        });
        // What is both on a list and a torrent of the site came twice.
        self.torrents.sort_unstable_by_key(|(info_hash, _)| *info_hash);
        self.torrents.dedup_by_key(|(info_hash, _)| *info_hash);
        if self.torrents.len() > scrapes.full_max as usize {
            return Err(HttpRefusal::FullScrapeTooLarge);
        }
        if self.torrents.is_empty() {
            return Err(HttpRefusal::NothingFound);
        }
        let mut writer = ScrapeWriter::new(out);
        for (info_hash, counts) in &self.torrents {
            let name = scrapes.names.then(|| rules.name(info_hash)).flatten();
            writer.entry(&self.session.scrape_entry(*info_hash, counts, name.as_deref()));
        }
        writer.finish(self.session.min_request_interval());
        Ok(())
    }
}
