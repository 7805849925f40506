//! TCP listeners ready to be handed to an event loop.
//!
//! Accepting, reading and limits per connection are the business of whoever runs the loop.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Opens a non-blocking listener; an IPv6 one takes no IPv4 connections.
///
/// Several listeners share one port when all of them ask for `reuse_port`. Any process of the same
/// user may then join, so bind once without it to learn whether the port is taken.
///
/// # Errors
/// The cause given by the system: address in use, not of this machine, no privilege for the port.
/// `Unsupported` when `reuse_port` is asked where the system has no such option.
pub fn listen(address: SocketAddr, reuse_port: bool, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Unix this lets a restart bind while old connections linger in TIME_WAIT; on Windows the
    // same name would let a stranger take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if reuse_port {
        set_reuse_port(&socket)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Lets several sockets of this user bind one port, where the system can.
pub(crate) fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    #[cfg(unix)]
    return socket.set_reuse_port(true);
    #[cfg(not(unix))]
    {
        let _ = socket;
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "sharing a port between sockets is not supported on this system",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use super::*;

    #[test]
    fn listener_accepts_and_does_not_block() {
        for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let listener = listen(SocketAddr::new(ip, 0), false, 16).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            // A loopback connect returns when the connection is queued.
            let (_, from) = listener.accept().unwrap();
            assert_eq!(from, client.local_addr().unwrap());
        }
    }

    #[test]
    fn ipv6_listener_leaves_the_port_free_for_ipv4() {
        let six = listen((Ipv6Addr::UNSPECIFIED, 0).into(), false, 16).unwrap();
        let port = six.local_addr().unwrap().port();
        listen((Ipv4Addr::UNSPECIFIED, port).into(), false, 16).unwrap();
    }

    #[test]
    fn port_is_shared_only_when_every_listener_asks() {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let alone = listen(any, false, 16).unwrap().local_addr().unwrap();
        let first = listen(any, false, 16).unwrap();
        let taken = first.local_addr().unwrap();
        assert_ne!(taken, alone);
        assert_eq!(listen(taken, true, 16).unwrap_err().kind(), ErrorKind::AddrInUse);

        #[cfg(unix)]
        {
            let first = listen(any, true, 16).unwrap();
            listen(first.local_addr().unwrap(), true, 16).unwrap();
        }
    }
}
