//! One WebSocket connection to a tracker: opened while waiting, then used without.
//!
//! What is sent over it, and what comes back means, is known by the load.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::load::answer::Wrong;
use crate::load::population::Sources;
use crate::load::system::set_bind_without_port;
use crate::load::websocket::exchange::Exchange;
use crate::load::websocket::frame::{Frame, split, write_pong};
use crate::load::websocket::message::{ACCEPT, UPGRADE};

/// How long anything may take while connections are opened.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection, and the only peer that announces over it.
pub(crate) struct Client {
    socket: TcpStream,
    /// What was received of a frame that is not whole.
    partial: Vec<u8>,
    /// What the socket had no room for.
    unsent: Vec<u8>,
    /// Announces so far.
    pub(crate) turn: u16,
    pub(crate) exchange: Option<Exchange>,
}

impl Client {
    /// Connects and asks for the upgrade, whose answer is not waited for.
    pub(crate) fn begin(target: SocketAddr, source: usize) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        set_bind_without_port(&socket)?;
        socket.bind(&SocketAddr::from((Sources::address(source), 0)).into())?;
        socket.connect_timeout(&target.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true)?;
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.write_all(UPGRADE)?;
        Ok(Self { socket, partial: Vec::new(), unsent: Vec::new(), turn: 0, exchange: None })
    }

    /// Waits for the upgrade.
    pub(crate) fn upgrade(&mut self) -> Result<()> {
        let end = loop {
            if let Some(at) = self.partial.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.receive_more()?;
        };
        let rest = self.partial.split_off(end);
        let head = std::mem::replace(&mut self.partial, rest);
        ensure!(is_accepted(&head), "no upgrade: {}", head.escape_ascii());
        Ok(())
    }

    /// Sends a message and waits until it is gone.
    pub(crate) fn send_whole(&mut self, message: &[u8]) -> io::Result<()> {
        self.socket.write_all(message)
    }

    /// Waits for the next message and hands its text to `read`.
    pub(crate) fn wait_for_text<T>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<T, Wrong>,
    ) -> Result<T> {
        loop {
            let whole = split(&self.partial).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
            let Some((frame, rest)) = whole else {
                self.receive_more()?;
                continue;
            };
            let used = self.partial.len() - rest.len();
            match frame {
                Frame::Text(text) => {
                    let shown = String::from_utf8_lossy(text).into_owned();
                    let read = read(text).map_err(|wrong| anyhow::anyhow!("{wrong}: {shown}"));
                    self.partial.drain(..used);
                    return read;
                }
                Frame::Ping(payload) => {
                    let mut pong = Vec::new();
                    write_pong(&mut pong, payload);
                    self.socket.write_all(&pong)?;
                }
                Frame::Pong => {}
                Frame::Close => bail!("the tracker closed a connection"),
            }
            self.partial.drain(..used);
        }
    }

    fn receive_more(&mut self) -> Result<()> {
        let mut room = [0; 4096];
        match self.socket.read(&mut room).context("no answer")? {
            0 => bail!("the tracker closed a connection"),
            more => self.partial.extend(&room[..more]),
        }
        Ok(())
    }

    /// Waits for nothing from now on.
    pub(crate) fn stop_waiting(&mut self) -> io::Result<()> {
        self.partial.shrink_to_fit();
        self.socket.set_nonblocking(true)
    }

    /// Receives once and returns how much of the room holds frames, the last one perhaps in part.
    ///
    /// # Errors
    /// What the system reports, and the end of the connection.
    pub(crate) fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let kept = self.partial.len();
        room[..kept].copy_from_slice(&self.partial);
        self.partial.clear();
        let received = match self.socket.read(&mut room[kept..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => 0,
            received => received?,
        };
        Ok(kept + received)
    }

    /// Keeps what is left of what was received until more of it comes.
    pub(crate) fn keep(&mut self, partial: &[u8]) {
        self.partial.extend(partial);
    }

    /// Sends what there is room for and keeps the rest; tells whether there is a rest.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if self.unsent.is_empty() {
            let sent = self.write(bytes)?;
            self.unsent.extend(&bytes[sent..]);
        } else {
            self.unsent.extend(bytes);
        }
        Ok(!self.unsent.is_empty())
    }

    /// Sends more of what was kept; tells whether there is a rest.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let unsent = std::mem::take(&mut self.unsent);
        let sent = self.write(&unsent)?;
        self.unsent.extend(&unsent[sent..]);
        Ok(!self.unsent.is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.socket.write(bytes) {
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Whether a head is the upgrade that was asked for.
fn is_accepted(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let accepts = |line: &str| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
        })
    };
    head.starts_with("HTTP/1.1 101 ") && head.lines().any(accepts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrade_must_accept_the_key_that_was_sent() {
        let head = |status: u16, accept: &str| {
            format!(
                "HTTP/1.1 {status} X\r\nUpgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
            )
        };
        assert!(is_accepted(head(101, ACCEPT).as_bytes()));
        assert!(!is_accepted(head(200, ACCEPT).as_bytes()));
        assert!(!is_accepted(head(101, "x").as_bytes()));
        assert!(!is_accepted(b"HTTP/1.1 101 X\r\n\r\n"));
    }
}
