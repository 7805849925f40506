//! The opening handshake: from a request head to `101 Switching Protocols`, or to a refusal.
//!
//! Paths, origins, subprotocols and extensions mean nothing here; none is ever agreed to.

use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt;

use crate::http::Head;

/// What every key is hashed together with.
///
/// # Source
/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of a key before base64.
const KEY_BYTES: usize = 16;
/// Bytes of a SHA-1 digest in base64.
const ACCEPT_BYTES: usize = 28;

/// The proof that a key was understood, for the `Sec-WebSocket-Accept` header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accept([u8; ACCEPT_BYTES]);

/// A head that asks for WebSocket in a way that nobody can agree to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// HTTP/1.0, which knows no upgrade, or a body behind the head.
    BadRequest,
    /// Not one `Sec-WebSocket-Key` with 16 bytes in base64.
    InvalidKey,
    /// A version other than 13.
    UnknownVersion,
}

impl HandshakeError {
    /// A fixed text that says what is allowed.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "upgrades need HTTP/1.1 and no body",
            Self::InvalidKey => "Sec-WebSocket-Key must be 16 bytes in base64",
            Self::UnknownVersion => "Sec-WebSocket-Version must be 13",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for HandshakeError {}

/// Reads the handshake in a head, or nothing when the head does not ask for WebSocket.
///
/// # Errors
/// What is wrong with it; [`write_refusal`] tells the client.
/// # Source
/// RFC 6455, section 4.2.1. Deviation: `Host` may be missing.
#[must_use]
pub fn parse(head: &Head<'_>) -> Option<Result<Accept, HandshakeError>> {
    head.wants_websocket.then(|| read(head))
}

fn read(head: &Head<'_>) -> Result<Accept, HandshakeError> {
    if head.http_minor == 0 || head.has_body {
        return Err(HandshakeError::BadRequest);
    }
    if only_header(head, "sec-websocket-version") != Some(b"13") {
        return Err(HandshakeError::UnknownVersion);
    }
    let key = only_header(head, "sec-websocket-key").ok_or(HandshakeError::InvalidKey)?;
    // `decode_slice` wants room for the longest value of that length.
    let mut decoded = [0; KEY_BYTES + 2];
    match STANDARD.decode_slice(key, &mut decoded) {
        Ok(KEY_BYTES) => Ok(accept(key)),
        _ => Err(HandshakeError::InvalidKey),
    }
}

fn only_header<'a>(head: &Head<'a>, name: &str) -> Option<&'a [u8]> {
    let mut values = head.headers_named(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn accept(key: &[u8]) -> Accept {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let mut text = [0; ACCEPT_BYTES];
    let written = STANDARD.encode_slice(hash.digest().bytes(), &mut text);
    debug_assert_eq!(written, Ok(ACCEPT_BYTES));
    Accept(text)
}

/// Appends the response behind which both sides speak frames.
///
/// # Source
/// RFC 6455, section 4.2.2.
pub fn write_response(out: &mut Vec<u8>, accept: &Accept) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept.0);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Appends the response to a handshake that failed; the connection must be closed behind it.
///
/// # Source
/// RFC 6455, section 4.4; RFC 9110, section 15.5.22.
pub fn write_refusal(out: &mut Vec<u8>, error: HandshakeError) {
    use core::fmt::Write as _;

    let status = match error {
        HandshakeError::UnknownVersion => {
            "426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
        }
        HandshakeError::BadRequest | HandshakeError::InvalidKey => "400 Bad Request",
    };
    let text = error.text();
    let mut head = alloc::string::String::new();
    // Writing into a String never fails.
    let _ = write!(
        head,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len(),
    );
    out.extend_from_slice(head.as_bytes());
}
