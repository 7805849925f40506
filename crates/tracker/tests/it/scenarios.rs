//! The scenario scripts of `tests/scenarios`, played over UDP and HTTP sockets.
//!
//! What a script means is read and judged by the engine's test tools, as where they run without
//! sockets; here is only the way of a request and of time.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use skep_engine::testing::scenario::{Client, Script, Target, Torrent, Transport, run};
use skep_engine::testing::wire::{Answer, Seen};
use skep_proto::{AnnounceRequest, InfoHash};
use tempfile::TempDir;

use crate::support::{self, HttpClient, Tracker, UdpClient, of_project};

#[test]
fn scenarios_hold_over_udp_sockets() {
    play_all(Transport::Udp);
}

#[test]
fn scenarios_hold_over_http_sockets() {
    play_all(Transport::Http);
}

fn play_all(transport: Transport) {
    let scripts = scripts();
    let (of_transport, of_others): (Vec<_>, Vec<_>) = scripts
        .iter()
        .filter(|script| script.sockets)
        .partition(|script| script.runs_on(transport));
    assert!(of_transport.len() > of_others.len(), "most scripts run on every transport");
    let failures: Vec<_> = of_transport
        .iter()
        .filter_map(|script| run(script, &mut Sockets::new(script, transport)).err())
        .map(|failure| failure.to_string())
        .collect();
    assert!(failures.is_empty(), "{transport:?}:\n{}", failures.join("\n"));
}

/// Every script of the folder, in the order of names.
fn scripts() -> Vec<Script> {
    let folder = of_project("tests/scenarios");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "scn"));
    files.sort();
    assert!(!files.is_empty(), "there are scripts");
    let script = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy();
        Script::parse(&name, &fs::read_to_string(file).unwrap())
    };
    files.iter().map(|file| script(file).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// A tracker with the settings of a script, and the sockets of its clients.
struct Sockets<'a> {
    script: &'a Script,
    transport: Transport,
    tracker: Tracker,
    udp: BTreeMap<IpAddr, UdpClient>,
    http: BTreeMap<IpAddr, HttpClient>,
    _folder: TempDir,
}

impl<'a> Sockets<'a> {
    fn new(script: &'a Script, transport: Transport) -> Self {
        let folder = support::folder();
        let list = |name: &str, on_it: fn(&Torrent) -> bool| {
            let torrents = script.torrents.iter().filter(|torrent| on_it(torrent));
            let lines: Vec<_> = torrents.map(|torrent| torrent.info_hash.to_string()).collect();
            let file = folder.path().join(name);
            fs::write(&file, lines.join("\n")).unwrap();
            format!("{:?}", file.display().to_string())
        };
        let mut config = String::new();
        for setting in &script.settings {
            config += &format!("{} = {}\n", setting.key, setting.value);
        }
        config += &format!("access.torrents_file = {}\n", list("torrents", |one| one.listed));
        config += &format!("access.torrents_deny_file = {}\n", list("denied", |one| one.denied));
        let file = folder.path().join("skep.toml");
        fs::write(&file, config).unwrap();
        Self {
            script,
            transport,
            tracker: Tracker::start(&[&format!("--config={}", file.display())]),
            udp: BTreeMap::new(),
            http: BTreeMap::new(),
            _folder: folder,
        }
    }

    fn udp(&mut self, ip: IpAddr) -> &mut UdpClient {
        self.udp.entry(ip).or_insert_with(|| self.tracker.udp_client(ip))
    }

    fn http(&mut self, ip: IpAddr) -> &mut HttpClient {
        self.http.entry(ip).or_insert_with(|| self.tracker.http_client(ip))
    }
}

impl Target for Sockets<'_> {
    fn ip_of(&self, client: &Client) -> IpAddr {
        self.script.loopback_ip(client)
    }

    fn announce(&mut self, client: &Client, request: &AnnounceRequest) -> Result<Answer, String> {
        let ip = self.ip_of(client);
        match self.transport {
            Transport::Udp => self.udp(ip).announce(request),
            Transport::Http => self.http(ip).announce(request),
        }
    }

    fn scrape(&mut self, info_hashes: &[InfoHash]) -> Result<Vec<Seen>, String> {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        match self.transport {
            Transport::Udp => self.udp(ip).scrape(info_hashes),
            Transport::Http => self.http(ip).scrape(info_hashes),
        }
    }

    fn advance(&mut self, secs: u32) {
        self.tracker.advance(secs);
    }
}
