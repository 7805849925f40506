//! A host for one test: an address of its own, a tracker, a proxy before it and a client, curl.
//!
//! Files of the project are used as they are, but for addresses, ports and paths.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use skep_proto::bencode;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::process::{Process, wait_until};

/// Bytes of every kind, which no proxy may touch.
const INFO_HASH: &str = "%00%01%0D%0A%20%23%25%26%2B%2F%3D%3F%5C%7F%80%C3%28%FE%FFa";

pub(crate) struct Host {
    folder: TempDir,
    ip: Ipv4Addr,
    ipv6_ports: [u16; 2],
}

/// A file of the project by its path from the root.
pub(crate) fn of_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// What is in a file under `deploy/proxies`.
pub(crate) fn deployed(file: &str) -> String {
    fs::read_to_string(of_project("deploy/proxies").join(file)).unwrap()
}

/// Replaces what must be there.
fn replaced(mut text: String, pairs: &[(&str, &str)]) -> String {
    for (old, new) in pairs {
        assert!(text.contains(old), "{old:?} is not in\n{text}");
        text = text.replace(old, new);
    }
    text
}

impl Host {
    pub(crate) fn new() -> Self {
        let [b, c, d] = [fastrand::u8(64..), fastrand::u8(..), fastrand::u8(1..255)];
        // Other tests use none of these addresses, so every port of it is free.
        let ip = Ipv4Addr::new(127, b, c, d);
        let held = [(); 2].map(|()| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap());
        let ipv6_ports = held.map(|listener| listener.local_addr().unwrap().port());
        let host = Self { folder: TempDir::new().unwrap(), ip, ipv6_ports };
        host.make_certificate();
        host
    }

    /// Where the tracker listens for the proxy.
    pub(crate) fn upstream(&self) -> SocketAddr {
        (self.ip, 1337).into()
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}:8080", self.ip)
    }

    pub(crate) fn https(&self) -> String {
        format!("https://{}:8443", self.ip)
    }

    pub(crate) fn http_ipv6(&self) -> String {
        format!("http://[::1]:{}", self.ipv6_ports[0])
    }

    pub(crate) fn https_ipv6(&self) -> String {
        format!("https://[::1]:{}", self.ipv6_ports[1])
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn make_certificate(&self) {
        let (certificate, key) = (self.path("fullchain.pem"), self.path("privkey.pem"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=tracker.example.org"])
            .args(["-out", &certificate, "-keyout", &key])
            .output()
            .expect("openssl starts; `cargo xtask install` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let both = [certificate, key].map(|path| fs::read_to_string(path).unwrap()).concat();
        self.write("tracker.pem", &both);
    }

    pub(crate) fn tracker(&self, settings: &str) -> Process {
        self.tracker_with(settings, &[])
    }

    /// Starts the tracker as behind HAProxy, on a port that takes TLS as well.
    pub(crate) fn tracker_with_tls(&self) -> Process {
        let tls = format!(
            "tls = \"detect\"\n\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\n[proxy]",
            self.path("fullchain.pem"),
            self.path("privkey.pem"),
        );
        self.tracker_with("haproxy.toml", &[("\n[proxy]", &tls)])
    }

    /// Starts the tracker with a file under `deploy/proxies`, in which something is replaced.
    pub(crate) fn tracker_with(&self, settings: &str, pairs: &[(&str, &str)]) -> Process {
        let upstream = self.upstream().to_string();
        let pairs = [&[("127.0.0.1:1337", upstream.as_str())], pairs].concat();
        let file = self.write("tracker.toml", &replaced(deployed(settings), &pairs));
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        command
            .args(["--config", &file, "--listen.workers=1", "--announce.external_ip=true"])
            .arg(format!("--listen.udp={upstream}"))
            .arg(format!("--listen.admin={}:1338", self.ip));
        Process::start("tracker", &mut command)
    }

    /// Starts nginx with one server as its only one.
    pub(crate) fn nginx(&self, upstream: SocketAddr) -> Process {
        let [http_ipv6, https_ipv6] = self.ipv6_ports.map(|port| format!("listen [::1]:{port}"));
        let server = replaced(
            deployed("nginx.conf"),
            &[
                ("listen [::]:80", http_ipv6.as_str()),
                ("listen [::]:443", &https_ipv6),
                ("listen 80", &format!("listen {}:8080", self.ip)),
                ("listen 443", &format!("listen {}:8443", self.ip)),
                ("127.0.0.1:1337", &upstream.to_string()),
                ("/etc/ssl/tracker", self.folder.path().to_str().unwrap()),
            ],
        );
        self.write("server.conf", &server);
        let folder = self.folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("{what}_temp_path {folder}/{what};\n"))
            .collect();
        let main = format!(
            "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\n\
             events {{}}\nhttp {{\n{temporary}include {folder}/server.conf;\n}}\n"
        );
        let main = self.write("nginx.conf", &main);
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-c", &main, "-p", self.folder.path().to_str().unwrap(), "-e", "stderr"]);
        Process::start("proxy", &mut command)
    }

    pub(crate) fn haproxy(&self, version: &str) -> Process {
        self.haproxy_with(&[("send-proxy-v2", version)])
    }

    /// Starts HAProxy as one that passes TLS on.
    pub(crate) fn haproxy_without_tls(&self) -> Process {
        self.haproxy_with(&[(" ssl crt /etc/ssl/tracker/tracker.pem alpn http/1.1", "")])
    }

    fn haproxy_with(&self, pairs: &[(&str, &str)]) -> Process {
        let upstream = self.upstream().to_string();
        let [http_ipv6, https_ipv6] = self.ipv6_ports.map(|port| format!("bind ::1:{port} v6only"));
        let text = replaced(
            replaced(deployed("haproxy.cfg"), pairs),
            &[
                ("bind :::80 v6only", http_ipv6.as_str()),
                ("bind :::443 v6only", &https_ipv6),
                ("bind :80", &format!("bind {}:8080", self.ip)),
                ("bind :443", &format!("bind {}:8443", self.ip)),
                ("127.0.0.1:1337", &upstream),
            ],
        );
        let certificates = self.folder.path().to_str().unwrap();
        let file = self.write("haproxy.cfg", &text.replace("/etc/ssl/tracker", certificates));
        let mut command = Command::new("/usr/sbin/haproxy");
        Process::start("proxy", command.args(["-db", "-f", &file]))
    }

    /// Starts Caddy, over HTTP alone: certificates come from the world or from nowhere.
    pub(crate) fn caddy(&self) -> Process {
        let upstream = self.upstream().to_string();
        let site = format!("{} {{\n\tbind {}", self.http(), self.ip);
        let pairs = [("tracker.example.org {", site.as_str()), ("127.0.0.1:1337", &upstream)];
        let text = replaced(deployed("Caddyfile"), &pairs);
        let file =
            self.write("Caddyfile", &format!("{{\n\tadmin off\n\tauto_https off\n}}\n{text}"));
        let mut command = Command::new("env");
        command.arg(format!("HOME={}", self.folder.path().display())).args([
            "/usr/bin/caddy",
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            &file,
        ]);
        Process::start("proxy", &mut command)
    }

    /// Waits until the tracker answers through the proxy.
    pub(crate) fn wait_for(&self, tracker: &Process, proxy: &Process) {
        wait_until("the tracker answers through the proxy", || {
            tracker.expect_running();
            proxy.expect_running();
            self.curl(&format!("{}/health", self.http()), "127.0.0.1", &[])
                .is_some_and(|told| told == b"ok")
        });
    }

    /// A browser at an address of its own, which comes through the proxy.
    pub(crate) fn browser(&self, from: &str) -> Browser {
        let from: Ipv4Addr = from.parse().unwrap();
        let stream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        stream.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        stream.connect(&SocketAddr::from((self.ip, 8080)).into()).unwrap();
        let stream = TcpStream::from(stream);
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let url = format!("{}/announce", self.http()).replacen("http", "ws", 1);
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        Browser(socket)
    }

    fn curl(&self, url: &str, from: &str, headers: &[&str]) -> Option<Vec<u8>> {
        let mut command = Command::new("curl");
        command.args(["-sS", "--insecure", "--max-time", "20", "--globoff", "--noproxy", "*"]);
        command.args(["--interface", from]);
        command.args(headers.iter().flat_map(|header| ["-H", header]));
        let output =
            command.arg(url).output().expect("curl starts; `cargo xtask install` installs it");
        output.status.success().then_some(output.stdout)
    }

    /// Announces from an address and returns whom the tracker took the client for.
    pub(crate) fn announce(&self, url: &str, from: &str, headers: &[&str]) -> String {
        let body = self.body(url, from, headers);
        let value = bencode::read(&body).unwrap();
        let packed = value.get(b"external ip").and_then(bencode::Value::as_bytes);
        let packed = packed.unwrap_or_else(|| panic!("{}", body.escape_ascii()));
        match <[u8; 4]>::try_from(packed) {
            Ok(octets) => Ipv4Addr::from(octets).to_string(),
            Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(packed).unwrap()).to_string(),
        }
    }

    /// Announces and returns the answer as text.
    pub(crate) fn answer(&self, url: &str, from: &str, headers: &[&str]) -> String {
        self.body(url, from, headers).escape_ascii().to_string()
    }

    fn body(&self, url: &str, from: &str, headers: &[&str]) -> Vec<u8> {
        let rest = "peer_id=-XX0001-abcdefghijkl&port=6881&left=1&compact=1";
        let url = format!("{url}/announce?info_hash={INFO_HASH}&{rest}");
        self.curl(&url, from, headers).unwrap_or_else(|| panic!("no answer: {url}"))
    }

    /// Leechers of the torrent, asked for without a proxy.
    pub(crate) fn scrape_incomplete(&self) -> i64 {
        let url = format!("http://{}/scrape?info_hash={INFO_HASH}", self.upstream());
        let body = self.curl(&url, "127.0.0.3", &[]).expect("a scrape");
        let told = String::from_utf8_lossy(&body);
        let count = told.split("10:incompletei").nth(1).and_then(|rest| rest.split('e').next());
        count.unwrap_or_else(|| panic!("{told}")).parse().unwrap()
    }

    /// Checks that so many clients are known for the very torrent that was announced.
    pub(crate) fn expect_swarm(&self, peers: i64) {
        assert_eq!(self.scrape_incomplete(), peers);
    }

    /// The sum of all metrics whose line holds a text.
    pub(crate) fn metric(&self, text: &str) -> u64 {
        let url = format!("http://{}:1338/metrics", self.ip);
        let body = self.curl(&url, "127.0.0.1", &[]).expect("metrics");
        let told = String::from_utf8(body).unwrap();
        let lines = told.lines().filter(|line| line.contains(text));
        let values: Vec<u64> =
            lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!values.is_empty(), "no {text} in\n{told}");
        values.iter().sum()
    }
}

/// A browser that is connected.
pub(crate) struct Browser(WebSocket<TcpStream>);

impl Browser {
    /// Sends a message and returns the next one that comes.
    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.0.send(Message::text(text)).unwrap();
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return text.to_string();
            }
        }
    }
}
