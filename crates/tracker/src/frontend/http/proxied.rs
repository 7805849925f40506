//! Connections of proxies that speak the PROXY protocol, up to the end of the header.
//!
//! Reads nothing behind it: whatever follows, a request or the beginning of TLS, is the business of
//! those who take the connection over.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use skep_proto::proxy::{ProxyStatus, parse_proxy_header};
use tokio::net::TcpStream;

/// Bytes that are looked at together; most headers are shorter.
const PIECE_BYTES: usize = 256;

/// Reads the header with which a connection begins; `None` if it names no client.
///
/// # Errors
/// `InvalidData` if the connection begins otherwise; else what happened to it.
pub(super) async fn read_header(stream: &TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = Vec::new();
    loop {
        let known = header.len();
        header.resize(known + PIECE_BYTES, 0);
        let piece = stream.peek(&mut header[known..]).await?;
        if piece == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        header.truncate(known + piece);
        let (len, client) = match parse_proxy_header(&header) {
            ProxyStatus::Complete(header) => (header.len, Some(header.client)),
            ProxyStatus::Partial => (header.len(), None),
            ProxyStatus::Invalid => return Err(ErrorKind::InvalidData.into()),
        };
        // These bytes are there, and none of them is behind the header.
        if stream.try_read(&mut header[known..len])? < len - known {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(client) = client {
            return Ok(client);
        }
    }
}
