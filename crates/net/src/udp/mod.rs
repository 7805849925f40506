//! UDP sockets that receive and send in batches.
//!
//! Options, the socket and what every backend shares; the system calls are in the backends, one file
//! each. What a datagram means is the business of the caller.

mod batch;
mod fallback;
#[cfg(target_os = "linux")]
mod mmsg;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

pub use batch::{BATCH_MAX, Batch, DATAGRAM_BYTES_MAX, ReplyTo};
use fallback::Fallback;
#[cfg(target_os = "linux")]
use mmsg::Mmsg;

/// The most sockets that one [`Waiter`] takes.
pub const SOCKETS_MAX: usize = 32;

/// The way of talking to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// The best one that this system has.
    #[default]
    Auto,
    /// Many datagrams in one system call, kernel drops counted, replies from the address that was
    /// asked. Linux only.
    Mmsg,
    /// One datagram in one system call, on every system. On a socket bound to the unspecified
    /// address, the system chooses the address that a reply leaves from; drops are not counted.
    Std,
}

/// How to open a socket.
#[derive(Clone, Debug)]
pub struct UdpOptions {
    /// The address and port to bind; port 0 takes any free one.
    pub address: SocketAddr,
    /// Wanted room for datagrams not yet received, in bytes; 0 leaves the default of the system.
    pub receive_buffer_bytes: usize,
    /// Wanted room for replies not yet sent, in bytes; 0 leaves the default of the system.
    pub send_buffer_bytes: usize,
    /// Whether sockets that all ask for it share the port, each getting a part of the senders.
    ///
    /// Any process of the same user may join such a port: bind once without it to learn whether
    /// another program already has the port.
    pub reuse_port: bool,
    /// The way of talking to the kernel.
    pub backend: Backend,
}

impl UdpOptions {
    /// The options for an address with everything else left to the system.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            receive_buffer_bytes: 0,
            send_buffer_bytes: 0,
            reuse_port: false,
            backend: Backend::Auto,
        }
    }
}

/// What became of the replies of one batch; the counts add up to the replies that were set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct SendReport {
    /// Given to the kernel.
    pub sent: usize,
    /// Refused one by one: no route, firewall, port 0 and the like.
    pub failed: usize,
    /// Dropped because the kernel had no room even after a short wait.
    pub would_block: usize,
}

enum Engine {
    #[cfg(target_os = "linux")]
    Mmsg(Mmsg),
    Std(Fallback),
}

/// A bound UDP socket; an IPv6 one carries no IPv4.
pub struct UdpSocket {
    socket: std::net::UdpSocket,
    local_addr: SocketAddr,
    receive_buffer_bytes: usize,
    send_buffer_bytes: usize,
    engine: Engine,
}

impl UdpSocket {
    /// Opens and binds a socket.
    ///
    /// Buffers are made as large as the system lets this process; [`Self::receive_buffer_bytes`]
    /// tells how large that is.
    ///
    /// # Errors
    /// The cause given by the system: address in use, not of this machine, no privilege for the
    /// port. `Unsupported` when this system lacks the backend or port sharing that was asked for.
    pub fn bind(options: &UdpOptions) -> io::Result<Self> {
        let address = options.address;
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if options.reuse_port {
            crate::tcp::set_reuse_port(&socket)?;
        }
        grow_buffers(&socket, options);
        let engine = Engine::new(&socket, options)?;
        socket.bind(&address.into())?;
        let receive_buffer_bytes = usable_bytes(socket.recv_buffer_size()?);
        let send_buffer_bytes = usable_bytes(socket.send_buffer_size()?);
        let socket = std::net::UdpSocket::from(socket);
        let local_addr = socket.local_addr()?;
        Ok(Self { socket, local_addr, receive_buffer_bytes, send_buffer_bytes, engine })
    }

    /// Opens another handle to the same socket, for a thread that only sends.
    ///
    /// # Errors
    /// The cause given by the system, for want of open files mostly.
    pub fn sender(&self) -> io::Result<Self> {
        let engine = match self.engine {
            #[cfg(target_os = "linux")]
            Engine::Mmsg(_) => Engine::Mmsg(Mmsg::of_open_socket()),
            Engine::Std(_) => Engine::Std(Fallback::of_open_socket()),
        };
        let Self { local_addr, receive_buffer_bytes, send_buffer_bytes, .. } = *self;
        let socket = self.socket.try_clone()?;
        Ok(Self { socket, local_addr, receive_buffer_bytes, send_buffer_bytes, engine })
    }

    /// The address and port it is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The backend in use, never [`Backend::Auto`].
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.engine {
            #[cfg(target_os = "linux")]
            Engine::Mmsg(_) => Backend::Mmsg,
            Engine::Std(_) => Backend::Std,
        }
    }

    /// The room for datagrams not yet received that the system granted.
    ///
    /// # Units
    /// Bytes, comparable with [`UdpOptions::receive_buffer_bytes`].
    #[must_use]
    pub fn receive_buffer_bytes(&self) -> usize {
        self.receive_buffer_bytes
    }

    /// The room for replies not yet sent that the system granted.
    ///
    /// # Units
    /// Bytes, comparable with [`UdpOptions::send_buffer_bytes`].
    #[must_use]
    pub fn send_buffer_bytes(&self) -> usize {
        self.send_buffer_bytes
    }

    /// Replaces what `batch` holds by waiting datagrams and returns their count.
    ///
    /// Waits until there is one or `wait_max` is over, then takes what is there and waits no more.
    /// Returns 0 when the time is over or a signal came.
    ///
    /// # Cost
    /// One system call with [`Backend::Mmsg`]; no allocation.
    /// # Errors
    /// The cause given by the system; the batch is empty then. A report that an earlier reply
    /// reached nobody is not an error.
    pub fn receive(&mut self, batch: &mut Batch, wait_max: Duration) -> io::Result<usize> {
        batch.len = 0;
        match &mut self.engine {
            #[cfg(target_os = "linux")]
            Engine::Mmsg(engine) => engine.receive(&self.socket, batch, wait_max)?,
            Engine::Std(engine) => engine.receive(&self.socket, batch, wait_max)?,
        }
        Ok(batch.len)
    }

    /// Sends every reply set in `batch` to the source of its datagram.
    ///
    /// A reply that cannot be sent is counted and does not keep the others back. When the kernel has
    /// no room, waits once for some milliseconds and then drops the rest. What the batch holds must
    /// have come by this socket.
    ///
    /// # Cost
    /// One system call with [`Backend::Mmsg`] when nothing fails; no allocation.
    pub fn send(&mut self, batch: &mut Batch) -> SendReport {
        let (count, impossible) = batch.collect_replies();
        let mut report = match &mut self.engine {
            #[cfg(target_os = "linux")]
            Engine::Mmsg(engine) => engine.send(&self.socket, batch, count),
            Engine::Std(engine) => engine.send(&self.socket, batch, count),
        };
        report.failed += impossible;
        report
    }

    /// How many datagrams the kernel dropped before this socket received them, mostly for lack of
    /// room; always 0 with [`Backend::Std`].
    ///
    /// # Cost
    /// One system call with [`Backend::Mmsg`].
    #[must_use]
    pub fn kernel_drops(&mut self) -> u64 {
        match &mut self.engine {
            #[cfg(target_os = "linux")]
            Engine::Mmsg(engine) => engine.kernel_drops(&self.socket),
            Engine::Std(_) => 0,
        }
    }
}

impl Engine {
    /// Sets the options that must stand before the socket is bound.
    fn new(socket: &Socket, options: &UdpOptions) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if options.backend != Backend::Std {
            return Ok(Self::Mmsg(Mmsg::new(socket, options.address)?));
        }
        #[cfg(not(target_os = "linux"))]
        if options.backend == Backend::Mmsg {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "batched system calls are supported on Linux only",
            ));
        }
        Ok(Self::Std(Fallback::new(socket)?))
    }
}

/// Asks for the wanted buffers, past the limit of the system where the process has the privilege.
///
/// Getting less than asked for is no reason to fail: the granted size is read back.
fn grow_buffers(socket: &Socket, options: &UdpOptions) {
    if options.receive_buffer_bytes != 0 {
        let bytes = options.receive_buffer_bytes;
        if !force_buffer(socket, BufferOption::Receive, bytes) {
            let _ = socket.set_recv_buffer_size(bytes.min(BUFFER_BYTES_MAX));
        }
    }
    if options.send_buffer_bytes != 0 {
        let bytes = options.send_buffer_bytes;
        if !force_buffer(socket, BufferOption::Send, bytes) {
            let _ = socket.set_send_buffer_size(bytes.min(BUFFER_BYTES_MAX));
        }
    }
}

/// The kernel doubles the number and keeps it in 31 bits.
const BUFFER_BYTES_MAX: usize = (i32::MAX / 2) as usize;

#[derive(Clone, Copy)]
enum BufferOption {
    Receive,
    Send,
}

#[cfg(target_os = "linux")]
fn force_buffer(socket: &Socket, which: BufferOption, bytes: usize) -> bool {
    use std::os::fd::AsFd;
    let name = match which {
        BufferOption::Receive => libc::SO_RCVBUFFORCE,
        BufferOption::Send => libc::SO_SNDBUFFORCE,
    };
    let bytes = bytes.min(BUFFER_BYTES_MAX) as libc::c_int;
    crate::sys::set_option(socket.as_fd(), libc::SOL_SOCKET, name, bytes).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn force_buffer(_: &Socket, _: BufferOption, _: usize) -> bool {
    false
}

/// Linux reports twice what was asked for, because it counts its own bookkeeping in.
fn usable_bytes(reported: usize) -> usize {
    if cfg!(target_os = "linux") { reported / 2 } else { reported }
}

/// Which of the sockets given to a [`Waiter`] have something to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Readiness(u32);

impl Readiness {
    /// Whether the socket at `index` of the list has something to receive.
    #[must_use]
    pub fn is_ready(self, index: usize) -> bool {
        index < SOCKETS_MAX && self.0 & 1 << index != 0
    }

    /// Whether any socket has.
    #[must_use]
    pub fn any(self) -> bool {
        self.0 != 0
    }

    fn mark(&mut self, index: usize) {
        self.0 |= 1 << index;
    }
}

/// Waits for several sockets together.
///
/// For a worker that serves more than one: wait, then receive from those that are ready.
pub struct Waiter {
    #[cfg(target_os = "linux")]
    epoll: Option<mmsg::Epoll>,
}

impl Waiter {
    /// Prepares to wait for these sockets.
    ///
    /// # Errors
    /// The cause given by the system, for want of open files mostly.
    /// # Panics
    /// Unless there are between 1 and [`SOCKETS_MAX`] sockets.
    pub fn new(sockets: &[&UdpSocket]) -> io::Result<Self> {
        assert!(
            (1..=SOCKETS_MAX).contains(&sockets.len()),
            "between 1 and {SOCKETS_MAX} sockets must be waited for"
        );
        #[cfg(target_os = "linux")]
        {
            let batched = sockets.iter().all(|socket| matches!(socket.engine, Engine::Mmsg(_)));
            let epoll = if batched { Some(mmsg::Epoll::new(sockets)?) } else { None };
            Ok(Self { epoll })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Self {})
    }

    /// Waits until one of the sockets, the same as before, has something to receive or `wait_max` is
    /// over.
    ///
    /// # Cost
    /// One system call if all sockets use [`Backend::Mmsg`]. Otherwise they are asked one after the
    /// other, and the last of them may be noticed some milliseconds late.
    /// # Errors
    /// The cause given by the system. A signal is not an error: nothing is ready then.
    pub fn wait(&self, sockets: &[&UdpSocket], wait_max: Duration) -> io::Result<Readiness> {
        #[cfg(target_os = "linux")]
        if let Some(epoll) = &self.epoll {
            return epoll.wait(wait_max);
        }
        fallback::wait_any(sockets, wait_max)
    }
}

/// Sends replies 0 to `count`, in order, through a backend.
///
/// `send` sends from the given reply on and returns how many it sent, at least one; `wait` waits a
/// little for room.
fn send_all(
    count: usize,
    mut send: impl FnMut(usize) -> io::Result<usize>,
    mut wait: impl FnMut(),
) -> SendReport {
    let mut report = SendReport::default();
    let mut waited = false;
    let mut next = 0;
    while next < count {
        match send(next) {
            Ok(sent) => {
                report.sent += sent;
                next += sent;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if is_lack_of_room(&cause) => {
                // Once only: a worker that waits is a worker that receives nothing.
                if waited {
                    report.would_block = count - next;
                    break;
                }
                waited = true;
                wait();
            }
            Err(_) => {
                report.failed += 1;
                next += 1;
            }
        }
    }
    report
}

fn is_lack_of_room(cause: &io::Error) -> bool {
    #[cfg(unix)]
    if cause.raw_os_error() == Some(libc::ENOBUFS) {
        return true;
    }
    cause.kind() == io::ErrorKind::WouldBlock
}

/// Whether receiving may simply go on: time over, a signal, or news of an earlier reply.
fn is_passing(cause: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
        TimedOut, WouldBlock,
    };
    matches!(
        cause.kind(),
        WouldBlock
            | TimedOut
            | Interrupted
            | ConnectionReset
            | ConnectionRefused
            | HostUnreachable
            | NetworkUnreachable
    )
}
