//! TLS as a client that trusts everybody: a session for each connection, whole or resumed.
//!
//! Only carries bytes; whether a certificate is good is no concern here, and checking it would cost
//! more than all the rest.

use std::io::{self, ErrorKind, Read, Write};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};

/// Sessions that are kept for resumption: more than come unused with a connection.
const SESSIONS_MAX: usize = 32;

/// What connections begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handshake {
    /// Keys are agreed on and the certificate is shown and signed with.
    Full,
    /// The session of an earlier connection goes on, where there was one.
    Resumed,
}

impl FromStr for Handshake {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "full" => Ok(Self::Full),
            "resumed" => Ok(Self::Resumed),
            _ => Err(()),
        }
    }
}

/// One client with the sessions it may resume.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    connection: ClientConnection,
}

impl Tls {
    /// # Errors
    /// If the cryptography of this program does not work together.
    pub(crate) fn new(handshake: Handshake) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let trusting = Trusting(Arc::clone(&provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no version of TLS")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trusting))
            .with_no_client_auth();
        config.resumption = match handshake {
            Handshake::Full => Resumption::disabled(),
            Handshake::Resumed => Resumption::in_memory_sessions(SESSIONS_MAX),
        };
        let config = Arc::new(config);
        let connection = connection(&config).context("no session of TLS")?;
        Ok(Self { config, connection })
    }

    /// Begins a session.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.connection = connection(&self.config)?;
        Ok(())
    }

    /// Adds something to be sent as soon as that is possible.
    pub(crate) fn add(&mut self, plain: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(plain)
    }

    /// Sends what can be sent.
    ///
    /// # Errors
    /// What the system reports, also that there is no room.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(socket)?;
        }
        Ok(())
    }

    /// Receives something, and sends what must be sent before more of it can come.
    ///
    /// # Errors
    /// What the system reports, also that there is nothing yet, and violations of TLS.
    pub(crate) fn receive(
        &mut self,
        socket: &mut (impl Read + Write),
        room: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(room) {
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
                received => return received,
            }
            if self.connection.read_tls(socket)? == 0 {
                return Ok(0);
            }
            self.connection.process_new_packets().map_err(io::Error::other)?;
            match self.flush(socket) {
                Err(cause) if cause.kind() != ErrorKind::WouldBlock => return Err(cause),
                _ => {}
            }
        }
    }

    /// The same over a socket that waits.
    pub(crate) fn waiting<'a, S: Read + Write>(
        &'a mut self,
        socket: &'a mut S,
    ) -> rustls::Stream<'a, ClientConnection, S> {
        rustls::Stream::new(&mut self.connection, socket)
    }

    /// Whether the session is that of an earlier connection.
    pub(crate) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

fn connection(config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)
}

/// Takes whoever answers for the one who was meant.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
