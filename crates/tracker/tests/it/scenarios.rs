//! The scenario scripts of `tests/scenarios`, played over UDP, HTTP and WebSocket.
//!
//! What a script means is read and judged by the engine's test tools, as where they run without
//! sockets; here is only the way of a request and of time.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};
use skep_engine::testing::scenario::{Client, Script, Target, Torrent, Transport, run};
use skep_engine::testing::wire::{Answer, Seen};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant};
use tempfile::TempDir;

use crate::support::websocket::{Browser, announce, binary, offers};
use crate::support::{self, HttpClient, Tracker, UdpClient, of_project, wait_until};

#[test]
fn scenarios_hold_over_udp_sockets() {
    play_all(Transport::Udp);
}

#[test]
fn scenarios_hold_over_http_sockets() {
    play_all(Transport::Http);
}

#[test]
fn scenarios_hold_for_browsers() {
    let scripts = scripts();
    let of_browsers: Vec<_> = scripts.iter().filter(|script| script.browsers).collect();
    assert!(of_browsers.len() > scripts.len() / 3, "many scripts make sense for browsers");
    let failures: Vec<_> = of_browsers
        .iter()
        .filter_map(|script| run(script, &mut Browsers::new(script)).err())
        .map(|failure| failure.to_string())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
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

/// Starts a tracker with the settings and lists of a script, which are in the folder.
fn tracker(script: &Script, workers: &str) -> (Tracker, TempDir) {
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
    (Tracker::start(&[&format!("--config={}", file.display()), workers]), folder)
}

impl<'a> Sockets<'a> {
    fn new(script: &'a Script, transport: Transport) -> Self {
        let (tracker, folder) = tracker(script, "--listen.workers=2");
        let (udp, http) = (BTreeMap::new(), BTreeMap::new());
        Self { script, transport, tracker, udp, http, _folder: folder }
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

/// A tracker with the settings of a script, and the connections of browsers by name.
struct Browsers<'a> {
    script: &'a Script,
    /// Gone before the tracker, which would wait for them to end.
    open: BTreeMap<String, Browser>,
    tracker: Tracker,
    _folder: TempDir,
}

/// Silence after which connections are gone, and more than any script has between two announces.
const SILENCE_SECS: u32 = 300;

impl<'a> Browsers<'a> {
    fn new(script: &'a Script) -> Self {
        // With one worker an offer is there before the answer to what is asked behind it.
        let (tracker, folder) = tracker(script, "--listen.workers=1");
        Self { script, tracker, open: BTreeMap::new(), _folder: folder }
    }

    fn ask(&mut self, name: &str, ip: IpAddr, message: &Value) -> Result<Value, String> {
        let to = self.tracker.http();
        let browser = self.open.entry(name.to_owned());
        let browser = browser.or_insert_with(|| Browser::connect_from(ip, to));
        let answer = browser.ask(message);
        match answer["failure reason"].as_str() {
            None => Ok(answer),
            Some(text) => Err(text.to_owned()),
        }
    }

    /// Who was handed an offer.
    fn handed(&mut self) -> Vec<SocketAddr> {
        let nothing = json!({"action": "scrape", "info_hash": []});
        let mut peers = Vec::new();
        for (name, browser) in &mut self.open {
            let mut heard = browser.ask(&nothing);
            while heard["action"] != "scrape" {
                let client = self.script.clients.iter().find(|client| client.name == *name);
                let client = client.expect("browsers are clients of the script");
                let ip = self.script.loopback_ip(client);
                peers.push(SocketAddr::new(ip, client.address.port()));
                heard = browser.hear();
            }
        }
        peers
    }
}

impl Target for Browsers<'_> {
    fn ip_of(&self, client: &Client) -> IpAddr {
        self.script.loopback_ip(client)
    }

    fn announce(&mut self, client: &Client, request: &AnnounceRequest) -> Result<Answer, String> {
        let event = match request.event {
            AnnounceEvent::None => "update",
            AnnounceEvent::Started => "started",
            AnnounceEvent::Completed => "completed",
            AnnounceEvent::Stopped => "stopped",
            AnnounceEvent::Paused => "paused",
        };
        let mut message = json!({
            "left": request.left_bytes, "event": event, "offers": offers(&client.name, 20),
        });
        if let NumWant::Count(count) = request.num_want {
            message["numwant"] = count.into();
        }
        let message = announce(&request.info_hash, &request.peer_id, message);
        let answer = self.ask(&client.name, self.ip_of(client), &message)?;
        let count = |key: &str| u32::try_from(answer[key].as_u64().unwrap()).unwrap();
        let seen = Seen {
            seeders: count("complete"),
            incomplete: count("incomplete"),
            partial_seeds: None,
            completions: None,
        };
        let (peers, interval_secs) = (self.handed(), count("interval"));
        Ok(Answer { seen, peers, interval_secs, interval_min_secs: None })
    }

    fn scrape(&mut self, info_hashes: &[InfoHash]) -> Result<Vec<Seen>, String> {
        let names: Vec<_> = info_hashes.iter().map(|hash| binary(hash.as_bytes())).collect();
        let message = json!({"action": "scrape", "info_hash": names});
        // In a connection of its own, so that nobody who announces is heard.
        let mut browser = self.tracker.browser();
        let answer = browser.ask(&message);
        let seen = |name: &String| {
            let count = |key: &str| answer["files"][name][key].as_u64().unwrap() as u32;
            Seen {
                seeders: count("complete"),
                incomplete: count("incomplete"),
                partial_seeds: None,
                completions: Some(count("downloaded")),
            }
        };
        Ok(names.iter().map(seen).collect())
    }

    fn advance(&mut self, secs: u32) {
        if secs > SILENCE_SECS {
            self.open.clear();
            wait_until("every connection has ended", || {
                self.tracker.metric("skep_websocket_connections") == 0
            });
        }
        self.tracker.advance(secs);
    }
}
