//! A tracker in this process, started as the program starts it, and stopped at the end of the test.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use skep::Extras;
use skep::cli::{self, Command};
use skep::config::{Config, Loaded, Problem};
use skep::start::{Running, StartError, start_with};
use skep_engine::testing::wire::Answer;
use skep_proto::AnnounceRequest;
use tempfile::TempDir;

use super::websocket::Browser;
use super::{HttpClient, Response, UdpClient};

/// What every test wants unless it says otherwise: any port, two workers, no chance.
const SETTINGS: [&str; 4] = [
    "--listen.port=0",
    "--listen.admin=off",
    "--listen.workers=2",
    "--announce.interval_jitter_percent=0",
];

/// A running tracker.
pub(crate) struct Tracker {
    running: Option<Running>,
    /// Where it keeps what it keeps.
    _data_dir: TempDir,
}

/// Reads settings as the program does from its command line.
pub(crate) fn load(settings: &[&str]) -> Result<Loaded, Vec<Problem>> {
    let arguments = SETTINGS.iter().chain(settings).map(OsString::from);
    match cli::parse(arguments, &[]).unwrap() {
        Command::Serve(sources) => Config::load(&sources),
        other => panic!("{other:?}"),
    }
}

impl Tracker {
    /// Starts a tracker that must start.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::try_start(settings).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a tracker with drivers and gates of one's own.
    pub(crate) fn start_with(settings: &[&str], extras: Extras) -> Self {
        Self::started(settings, extras).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a tracker that may fail to.
    pub(crate) fn try_start(settings: &[&str]) -> Result<Self, StartError> {
        Self::started(settings, Extras::default())
    }

    fn started(settings: &[&str], extras: Extras) -> Result<Self, StartError> {
        let data_dir = TempDir::new().unwrap();
        let option = format!("--storage.data_dir={}", data_dir.path().display());
        let lists = settings.iter().any(|setting| setting.contains("torrents_file"));
        let own: &[&str] = if lists { &[] } else { &[&option] };
        let all = [settings, own].concat();
        let loaded = load(&all).unwrap_or_else(|problems| panic!("{problems:?}"));
        Ok(Self { running: Some(start_with(loaded, extras, None)?), _data_dir: data_dir })
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Lets time pass and removes silent peers.
    pub(crate) fn advance(&self, secs: u32) {
        self.running().clock().advance(secs);
        self.running().sweep();
    }

    pub(crate) fn udp(&self) -> SocketAddr {
        reachable(&self.running().bound().udp, false)
    }

    pub(crate) fn udp_ipv6(&self) -> SocketAddr {
        reachable(&self.running().bound().udp, true)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        reachable(&self.running().bound().http, false)
    }

    pub(crate) fn http_ipv6(&self) -> SocketAddr {
        reachable(&self.running().bound().http, true)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        reachable(&self.running().bound().admin, false)
    }

    /// A UDP client on an address of this host.
    pub(crate) fn udp_client(&self, ip: impl Into<IpAddr>) -> UdpClient {
        let ip = ip.into();
        let to = if ip.is_ipv6() { self.udp_ipv6() } else { self.udp() };
        UdpClient::new(ip, to)
    }

    /// An HTTP client on an address of this host.
    pub(crate) fn http_client(&self, ip: impl Into<IpAddr>) -> HttpClient {
        let ip = ip.into();
        let to = if ip.is_ipv6() { self.http_ipv6() } else { self.http() };
        HttpClient::connect_from(ip, to)
    }

    /// A browser on this host.
    pub(crate) fn browser(&self) -> Browser {
        Browser::connect_from(Ipv4Addr::LOCALHOST, self.http())
    }

    /// Asks for a target over a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Response {
        HttpClient::connect(self.http()).get(target)
    }

    /// Announces over UDP and over HTTP from 127.0.0.1; both must be told the same, but for the
    /// choice among peers.
    pub(crate) fn announce_twice(&self, request: &AnnounceRequest) -> Result<Answer, String> {
        let by_udp = self.udp_client(Ipv4Addr::LOCALHOST).announce(request);
        let by_http = self.http_client(Ipv4Addr::LOCALHOST).announce(request);
        let told = |answer: &Result<Answer, String>| {
            let shown =
                |Answer { seen, peers, .. }: &Answer| (seen.seeders, seen.incomplete, peers.len());
            answer.as_ref().map(shown).map_err(String::clone)
        };
        assert_eq!(told(&by_udp), told(&by_http));
        by_http
    }

    /// The value of a metric, named with all its labels as in the answer of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        metric(&self.running().metrics().render(), name)
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let stopped = self.running.take().map_or(Ok(()), Running::stop);
        if !std::thread::panicking() {
            stopped.unwrap();
        }
    }
}

/// The value of one line of OpenMetrics text.
pub(crate) fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no metric {name} in\n{text}"));
    value.parse().unwrap()
}

/// The first bound address of a family, as clients on this host reach it.
pub(crate) fn reachable(bound: &[SocketAddr], ipv6: bool) -> SocketAddr {
    let of_family = bound.iter().find(|address| address.is_ipv6() == ipv6);
    let mut address = *of_family.unwrap_or_else(|| panic!("no such address in {bound:?}"));
    if address.ip().is_unspecified() {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        address.set_ip(loopback[usize::from(ipv6)]);
    }
    address
}
