//! What rustls is told: ring alone, TLS 1.2 and 1.3, HTTP/1.1, tickets that no memory is kept for.
//!
//! Why a file cannot be read is said without a byte of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use tokio_rustls::TlsAcceptor;

use super::expiry::not_after_unix_secs;
use super::{TlsError, paths};
use crate::config::TlsFiles;

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";

/// The certificate and key in force; those that are read again take their place.
pub struct Tls {
    current: ArcSwap<ServerConfig>,
    expires_unix_secs: AtomicU64,
    /// Outlives certificates, so that clients need no full handshake after each of them. Its keys
    /// change every six hours and are good for twelve.
    tickets: Arc<dyn ProducesTickets>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("expires_unix_secs", &self.expires_unix_secs).finish()
    }
}

/// A certificate with those that lead to its root, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    expires_unix_secs: u64,
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(files: &TlsFiles) -> Result<Self, Vec<TlsError>> {
        let tickets = ring::Ticketer::new()
            .map_err(|error| vec![TlsError { key: KEY, message: error.to_string() }])?;
        let identity = read(files)?;
        let expires_unix_secs = AtomicU64::new(identity.expires_unix_secs);
        let current = ArcSwap::new(server_config(files, identity, &tickets)?);
        Ok(Self { current, expires_unix_secs, tickets })
    }

    /// Reads both files again, for the connections that come from now on.
    ///
    /// # Errors
    /// Everything that is wrong with them; the old ones stay in force then.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), Vec<TlsError>> {
        let identity = read(files)?;
        let expires_unix_secs = identity.expires_unix_secs;
        self.current.store(server_config(files, identity, &self.tickets)?);
        self.expires_unix_secs.store(expires_unix_secs, Ordering::Relaxed);
        Ok(())
    }

    /// When the certificate in force ends, in seconds since 1970; 0 if it does not tell.
    #[must_use]
    pub fn expires_unix_secs(&self) -> u64 {
        self.expires_unix_secs.load(Ordering::Relaxed)
    }

    /// What takes in a connection as things are now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.load_full().into()
    }
}

fn read(files: &TlsFiles) -> Result<Identity, Vec<TlsError>> {
    let [certificate, key] = paths(files);
    match (read_chain(certificate), read_key(key)) {
        (Ok((chain, expires_unix_secs)), Ok(key)) => Ok(Identity { chain, key, expires_unix_secs }),
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}

fn read_chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, u64), TlsError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    let chain = chain.map_err(|error| TlsError::new(CERTIFICATE, path, words(&error)))?;
    match chain.first() {
        Some(first) => {
            let expires_unix_secs = not_after_unix_secs(first).unwrap_or(0);
            Ok((chain, expires_unix_secs))
        }
        None => Err(TlsError::new(CERTIFICATE, path, "must hold a certificate in PEM")),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        PemError::NoItemsFound => TlsError::new(
            KEY,
            path,
            "must hold a private key in PEM that is not encrypted (PKCS #8, PKCS #1 or SEC 1)",
        ),
        error => TlsError::new(KEY, path, words(&error)),
    })
}

/// What is wrong with a file, without anything of what it holds.
fn words(error: &PemError) -> String {
    match error {
        PemError::Io(cause) => format!("cannot be read: {cause}"),
        _ => "must be PEM from beginning to end".to_owned(),
    }
}

fn server_config(
    files: &TlsFiles,
    identity: Identity,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, Vec<TlsError>> {
    let [certificate_path, key_path] = paths(files);
    let refuse = |error: rustls::Error| {
        let (key, path, what) = match error {
            rustls::Error::InconsistentKeys(_) => {
                let whose = format!("must be the key of {}", certificate_path.display());
                (KEY, key_path, whose)
            }
            rustls::Error::InvalidCertificate(_) => {
                (CERTIFICATE, certificate_path, "must begin with a certificate".to_owned())
            }
            _ => (KEY, key_path, "must be a key for ECDSA, Ed25519 or RSA".to_owned()),
        };
        vec![TlsError::new(key, path, what)]
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refuse)?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .map_err(refuse)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(tickets);
    // A second one would be for a second connection at the same time.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
