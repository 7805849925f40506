//! The other trackers: where each comes from, how it is installed and started.
//!
//! What cannot be installed on this machine is left out, with its reason; how trackers are measured
//! is known by `skep-bench`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::bench::{FILE_PORT, free_port, relative, skep_bench};
use crate::shell;

/// What the registry's packages do not say about their release builds: the same as ours.
const PROFILE: &[(&str, &str)] =
    &[("CARGO_PROFILE_RELEASE_LTO", "thin"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4")];

const AQUATIC_UDP: &str = "aquatic_udp@0.9.0";
const AQUATIC_HTTP: &str = "aquatic_http@0.9.0";
const AQUATIC_WS: &str = "aquatic_ws@0.9.0";
const BITTORRENT_TRACKER: &str = "bittorrent-tracker@11.2.3";

/// Debian builds opentracker to serve listed torrents only: as many as any fill has.
const LISTED_TORRENTS: &str = "1200000";

/// Its server alone: the program that comes with it loads a client that needs a compiled WebRTC.
const NODE_SERVER: &str = "\
import Server from './node_modules/bittorrent-tracker/server.js'
const ws = process.argv[3] === 'ws'
const server = new Server({ http: true, udp: !ws, ws, stats: false })
server.on('error', error => { console.error(error); process.exit(1) })
server.listen(Number(process.argv[2]))
";

/// A tracker that is ready to be started.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) name: String,
    /// The flag by which `skep-bench` learns what it takes part in.
    pub(super) flag: &'static str,
    /// With `{port}` where the port belongs.
    pub(super) command: String,
    /// A port of its own, if it needs one.
    pub(super) port: Option<u16>,
    /// Version and how it was installed.
    pub(super) origin: String,
}

impl Peer {
    /// Reads what was given as `--peer name='command with {port}'`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (name, command) = text
            .split_once('=')
            .with_context(|| format!("--peer needs name='command with {{port}}', not {text:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            flag: "tracker",
            command: command.to_owned(),
            port: None,
            origin: "given on the command line".to_owned(),
        })
    }

    /// The flag for `skep-bench`.
    pub(super) fn argument(&self) -> String {
        let port = self.port.map(|port| format!("@{port}")).unwrap_or_default();
        format!("--{}={}{port}={}", self.flag, self.name, self.command)
    }
}

/// Installs what can be installed; the rest comes with its reason.
pub(super) fn install() -> (Vec<Peer>, Vec<(&'static str, String)>) {
    let recipes: [(&str, &dyn Fn() -> Result<Peer>); 8] = [
        ("aquatic_udp, io_uring", &|| {
            let port = free_port(FILE_PORT)?;
            aquatic_udp("aquatic_udp, io_uring", "aquatic_udp-uring", "mimalloc,io-uring", port)
        }),
        ("aquatic_udp, mio", &|| {
            let port = free_port(FILE_PORT + 1)?;
            aquatic_udp("aquatic_udp, mio", "aquatic_udp-mio", "mimalloc", port)
        }),
        ("opentracker", &opentracker),
        ("aquatic_http", &|| aquatic_http(free_port(FILE_PORT + 2)?)),
        ("bittorrent-tracker", &|| bittorrent_tracker("small-tracker", "")),
        ("aquatic_http, TLS", &|| aquatic_https(free_port(FILE_PORT + 3)?)),
        ("aquatic_ws", &|| aquatic_ws(free_port(FILE_PORT + 4)?)),
        ("bittorrent-tracker, WebSocket", &|| bittorrent_tracker("ws-tracker", " ws")),
    ];
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for (name, recipe) in recipes {
        match recipe() {
            Ok(peer) => peers.push(peer),
            Err(error) => {
                eprintln!("without {name}: {error:#}");
                missing.push((name, format!("{error:#}")));
            }
        }
    }
    (peers, missing)
}

/// Where other trackers are installed.
fn folder(name: &str) -> PathBuf {
    shell::target().join("peers").join(name)
}

/// Without its metrics, which no longer compile and would only cost it time.
fn aquatic_udp(name: &str, root: &str, features: &str, port: u16) -> Result<Peer> {
    let origin = cargo_install(AQUATIC_UDP, root, features)?;
    // Everything but the address is its default, one worker and 30 peers included.
    let config = folder(root).join("config.toml");
    write(&config, &format!("socket_workers = 1\n[network]\naddress = \"0.0.0.0:{port}\"\n"))?;
    Ok(Peer {
        name: name.to_owned(),
        flag: "udp-tracker",
        command: format!("{} -c {}", program(root, "aquatic_udp"), relative(&config)),
        port: Some(port),
        origin,
    })
}

/// On a port of its own: it does not start where connections of another tracker just ended.
fn aquatic_http(port: u16) -> Result<Peer> {
    let root = "aquatic_http";
    let origin = cargo_install(AQUATIC_HTTP, root, "mimalloc")?;
    let config = folder(root).join("config.toml");
    write(&config, &format!("[network]\naddress = \"0.0.0.0:{port}\"\n"))?;
    Ok(Peer {
        name: "aquatic_http".to_owned(),
        flag: "http-tracker",
        command: format!("{} -c {}", program(root, "aquatic_http"), relative(&config)),
        port: Some(port),
        origin,
    })
}

/// The same program with a certificate.
fn aquatic_https(port: u16) -> Result<Peer> {
    let root = "aquatic_http";
    let origin = cargo_install(AQUATIC_HTTP, root, "mimalloc")?;
    let (certificate, key) = certificate()?;
    let config = folder(root).join("tls.toml");
    let files = format!("tls_certificate_path = {certificate:?}\ntls_private_key_path = {key:?}\n");
    write(
        &config,
        &format!("[network]\naddress = \"0.0.0.0:{port}\"\nenable_tls = true\n{files}"),
    )?;
    Ok(Peer {
        name: "aquatic_http".to_owned(),
        flag: "https-tracker",
        command: format!("{} -c {}", program(root, "aquatic_http"), relative(&config)),
        port: Some(port),
        origin,
    })
}

/// Without its metrics, which the others do not keep either.
fn aquatic_ws(port: u16) -> Result<Peer> {
    let root = "aquatic_ws";
    let origin = cargo_install(AQUATIC_WS, root, "mimalloc")?;
    let config = folder(root).join("config.toml");
    write(&config, &format!("[network]\naddress = \"0.0.0.0:{port}\"\n"))?;
    Ok(Peer {
        name: "aquatic_ws".to_owned(),
        flag: "ws-tracker",
        command: format!("{} -c {}", program(root, "aquatic_ws"), relative(&config)),
        port: Some(port),
        origin,
    })
}

/// A certificate that all trackers show, and its key; made once.
pub(super) fn certificate() -> Result<(String, String)> {
    let home = folder("tls");
    let (certificate, key) = (home.join("certificate.pem"), home.join("key.pem"));
    if !certificate.is_file() || !key.is_file() {
        create(&home)?;
        let flags = ["req", "-x509", "-nodes", "-days", "3650", "-subj", "/CN=localhost"];
        let kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let mut openssl = shell::program("openssl");
        openssl.args(flags).args(kind).args(["-addext", "subjectAltName=DNS:localhost"]);
        shell::run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
    }
    Ok((relative(&certificate), relative(&key)))
}

/// Installs a package from crates.io and tells how.
fn cargo_install(package: &str, root: &str, features: &str) -> Result<String> {
    let mut install = shell::cargo();
    install.args(["install", package, "--locked", "--no-default-features"]);
    install.args(["--features", features, "--root"]).arg(folder(root));
    install.arg("--target-dir").arg(folder("build"));
    shell::run(install.envs(PROFILE.iter().copied()))?;
    let profile: Vec<String> =
        PROFILE.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let profile = profile.join(" ");
    Ok(format!(
        "`{profile} cargo install {package} --locked --no-default-features --features {features}`"
    ))
}

fn program(root: &str, name: &str) -> String {
    relative(&folder(root).join("bin").join(name))
}

/// Debian's opentracker: the installed one, or its package unpacked below the target directory.
fn opentracker() -> Result<Peer> {
    let home = folder("opentracker");
    create(&home)?;
    let installed = shell::succeeds(shell::program("opentracker").arg("-h"))
        || Path::new("/usr/bin/opentracker").is_file();
    let program = if installed {
        "opentracker".to_owned()
    } else {
        let unpacked = home.join("usr/bin/opentracker");
        if !unpacked.is_file() {
            shell::run(in_folder("apt-get", &home).args(["download", "opentracker"]))?;
            shell::run(in_folder("sh", &home).args(["-c", "dpkg-deb -x opentracker_*.deb ."]))?;
        }
        relative(&unpacked)
    };
    let version = ["-c", "apt-cache policy opentracker | sed -n 's/ *Candidate: //p'"];
    let version = shell::output(shell::program("sh").args(version))?;
    let mut hashes = skep_bench("hashes");
    let hashes = shell::output(hashes.arg(format!("--torrents={LISTED_TORRENTS}")))?;
    write(&home.join("whitelist.txt"), &hashes)?;
    let home = relative(&home);
    Ok(Peer {
        name: "opentracker".to_owned(),
        flag: "tracker",
        command: format!(
            "{program} -i 127.0.0.1 -p {{port}} -P {{port}} -d {home} -w whitelist.txt"
        ),
        port: None,
        origin: format!("Debian {}, serves a list of {LISTED_TORRENTS} torrents", version.trim()),
    })
}

/// The tracker of WebTorrent, which keeps at most 1,000 peers a torrent and takes its time.
///
/// Node.js serves UDP and WebSocket by turns here, so that neither has to look after the other.
fn bittorrent_tracker(flag: &'static str, protocol: &str) -> Result<Peer> {
    let home = folder("npm");
    create(&home)?;
    let flags = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"];
    let mut install = in_folder("npm", &home);
    shell::run(install.args(["install", "--prefix", "."]).args(flags).arg(BITTORRENT_TRACKER))?;
    let server = home.join("server.mjs");
    write(&server, NODE_SERVER)?;
    let node = shell::output(shell::program("node").arg("--version"))?;
    Ok(Peer {
        name: "bittorrent-tracker".to_owned(),
        flag,
        command: format!("node {} {{port}}{protocol}", relative(&server)),
        port: None,
        origin: format!("`npm install {BITTORRENT_TRACKER}`, Node.js {}", node.trim()),
    })
}

fn in_folder(program: &str, folder: &Path) -> Command {
    let mut command = shell::program(program);
    command.current_dir(folder);
    command
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_of_the_command_line_may_have_flags_of_its_own() {
        let peer = Peer::parse("mine=./mine --port={port}").unwrap();
        assert_eq!(peer.argument(), "--tracker=mine=./mine --port={port}");
        assert!(Peer::parse("./mine").is_err());
    }
}
