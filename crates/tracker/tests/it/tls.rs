//! HTTP over TLS: certificates from OpenSSL, clients of rustls, curl and OpenSSL.
//!
//! What is said over the connection is HTTP as ever and tested with it.

mod clients;
mod files;
mod hostile;
mod reload;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{DEADLINE, Tracker};

/// A certificate for localhost that signs itself, and its key.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn make(folder: &Path, name: &str) -> Self {
        let files = Self {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let made = [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30",
            "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1",
            // The root of a chain as well as its end.
            "-addext basicConstraints=critical,CA:FALSE",
            "-keyout",
        ]
        .join(" ");
        let mut arguments: Vec<_> = made.split(' ').map(str::to_owned).collect();
        arguments.extend([path(&files.key), "-out".to_owned(), path(&files.certificate)]);
        run("openssl", &arguments);
        files
    }

    fn settings(&self) -> [String; 2] {
        [
            format!("--tls.certificate={}", self.certificate.display()),
            format!("--tls.key={}", self.key.display()),
        ]
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.certificate).unwrap()
    }

    /// Takes the place of another pair.
    fn replace(&self, other: &Self) {
        std::fs::copy(&self.certificate, &other.certificate).unwrap();
        std::fs::copy(&self.key, &other.key).unwrap();
    }
}

/// Starts a tracker that listens for TLS beside HTTP.
fn start(files: &Files, settings: &[&str]) -> Tracker {
    let [certificate, key] = files.settings();
    let of_tls = ["--listen.https=127.0.0.1:0", &certificate, &key];
    Tracker::start(&[&of_tls[..], settings].concat())
}

fn https(tracker: &Tracker) -> SocketAddr {
    tracker.running().bound().https[0]
}

/// Runs a program that must succeed and returns what it printed.
fn run(program: &str, arguments: &[String]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}\n{out}\n{error}");
    out.into_owned()
}

/// What a client trusts and remembers.
fn client_config(trusted: &[&Files]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for files in trusted {
        roots.add(files.certificate()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A client that speaks HTTP over TLS.
struct TlsClient(StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    fn connect(config: &Arc<ClientConfig>, to: SocketAddr) -> Self {
        let socket = TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        let name = "localhost".try_into().unwrap();
        Self(StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), socket))
    }

    fn ask(&mut self, target: &str, headers: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        self.0.write_all(request.as_bytes()).unwrap();
        let mut told = Vec::new();
        let mut missing = 1;
        while missing > 0 {
            let mut piece = vec![0; missing];
            self.0.read_exact(&mut piece).unwrap();
            told.extend(piece);
            missing = missing_of(&told);
        }
        String::from_utf8(told).unwrap()
    }

    /// The body of an answer over a connection that stays open.
    fn get(&mut self, target: &str) -> String {
        let told = self.ask(target, "");
        told.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Whether the other side said that this is the end, which a cut connection does not.
    fn is_ended(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            other => panic!("{other:?}"),
        }
    }

    fn server_certificate(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

/// Bytes of an answer that must still come; one at a time until its head is whole.
fn missing_of(told: &[u8]) -> usize {
    let text = String::from_utf8_lossy(told).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return 1;
    };
    let (_, length) = head.split_once("content-length: ").unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    length - body.len()
}
