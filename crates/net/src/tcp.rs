//! TCP listeners ready to be handed to an event loop, and the calls that make short connections
//! cheap.
//!
//! When to call them, reading and limits per connection are the business of whoever runs the loop.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

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
    // Linux hands it on to every connection, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Accepts a connection that does not block and sends what it is given at once.
///
/// The listener must come from [`listen`].
///
/// # Cost
/// One system call on Linux.
/// # Errors
/// The cause given by the system; `WouldBlock` when no connection waits.
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    #[cfg(target_os = "linux")]
    return crate::sys::accept(listener);
    #[cfg(not(target_os = "linux"))]
    {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }
}

/// Sends the last bytes of a connection, which the caller closes next, and returns how many of them
/// the system took.
///
/// On Linux they may wait for that: then they leave together with the end of the connection, in one
/// segment instead of two, which wakes the other side once.
///
/// # Errors
/// The cause given by the system; `WouldBlock` when it takes nothing now.
pub fn send_last(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    return SockRef::from(stream).send_with_flags(bytes, libc::MSG_MORE | libc::MSG_NOSIGNAL);
    #[cfg(not(target_os = "linux"))]
    SockRef::from(stream).send(bytes)
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
    use std::io::{ErrorKind, Read};
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
    fn accepted_connection_waits_neither_for_data_nor_for_more_to_send() {
        for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let listener = listen(SocketAddr::new(ip, 0), false, 16).unwrap();
            assert_eq!(accept(&listener).unwrap_err().kind(), ErrorKind::WouldBlock);
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, from) = accept(&listener).unwrap();
            assert_eq!(from, client.local_addr().unwrap());
            assert!(stream.nodelay().unwrap());
            let nothing = (&stream).read(&mut [0]).unwrap_err();
            assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn last_bytes_and_the_end_arrive() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), false, 16).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = accept(&listener).unwrap();
        assert_eq!(send_last(&stream, b"farewell").unwrap(), 8);
        drop(stream);
        let mut told = String::new();
        client.read_to_string(&mut told).unwrap();
        assert_eq!(told, "farewell");
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
