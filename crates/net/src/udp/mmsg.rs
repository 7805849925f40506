//! The Linux backend: `recvmmsg` and `sendmmsg`, with control messages read and written.
//!
//! The only file of the UDP part that holds unsafe code, and it hands out nothing raw.
#![allow(unsafe_code)]

use std::io;
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use socket2::Socket;

use super::batch::{Asked, Batch, DATAGRAM_BYTES_MAX, Slot};
use super::{Readiness, SOCKETS_MAX, SendReport, UdpSocket, is_passing, send_all};
use crate::sys::{get_option, set_option};

/// How long a send waits for room in the kernel before it drops.
const ROOM_WAIT: Duration = Duration::from_millis(10);

/// Numbers that the kernel tells of a socket's memory; the last one counts drops.
const MEMORY_INFORMATION: usize = 9;

/// Room for the larger packet info.
// SAFETY: this only computes a size.
const CONTROL_BYTES: usize =
    unsafe { libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32) as usize };

/// State of the backend beside the socket, which blocks.
pub(super) struct Mmsg {
    /// The receive time-out last set on the socket.
    wait: Option<Duration>,
    drops: DropCounter,
}

impl Mmsg {
    /// Asks the kernel for the control messages; the socket must not be bound yet.
    pub(super) fn new(socket: &Socket, address: SocketAddr) -> io::Result<Self> {
        const ON: libc::c_int = 1;
        // A socket bound to one address can answer from no other.
        if address.ip().is_unspecified() {
            let (level, name) = match address {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            };
            set_option(socket.as_fd(), level, name, ON)?;
        }
        Ok(Self::of_open_socket())
    }

    /// The state of another handle to a socket that was told already.
    pub(super) fn of_open_socket() -> Self {
        Self { wait: None, drops: DropCounter::default() }
    }

    pub(super) fn receive(
        &mut self,
        socket: &net::UdpSocket,
        batch: &mut Batch,
        wait_max: Duration,
    ) -> io::Result<()> {
        let flags = if wait_max.is_zero() {
            libc::MSG_DONTWAIT
        } else {
            if self.wait != Some(wait_max) {
                socket.set_read_timeout(Some(wait_max))?;
                self.wait = Some(wait_max);
            }
            libc::MSG_WAITFORONE
        };
        let Batch { headers, datagrams, slots, .. } = &mut *batch;
        headers.arm_receive(datagrams);
        // SAFETY: every header points to a name, a vector, a control buffer and a datagram buffer of
        // the length that it states. `arm_receive` just made these pointers, and all of that memory
        // belongs to `batch`, which is borrowed mutably and not touched until the call returns.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.messages.as_mut_ptr(),
                headers.messages.len() as _,
                flags as _,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            let cause = io::Error::last_os_error();
            return if is_passing(&cause) { Ok(()) } else { Err(cause) };
        };
        for (index, slot) in slots[..received].iter_mut().enumerate() {
            *slot = headers.read(index);
        }
        batch.len = received;
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        socket: &net::UdpSocket,
        batch: &mut Batch,
        count: usize,
    ) -> SendReport {
        let Batch { headers, replies, slots, pending, .. } = batch;
        headers.arm_send(&pending[..count], slots, replies);
        let send_rest = |next: usize| {
            let rest = &mut headers.messages[next..count];
            // SAFETY: every header up to `count` points to a name, a vector, a control buffer and a
            // reply buffer of the length that it states. `arm_send` made these pointers, and all of
            // that memory belongs to `batch`, which nothing else touches until `send_all` is done.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as _,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            usize::try_from(sent).map_err(|_| io::Error::last_os_error())
        };
        let wait_for_room = || {
            // Whatever the outcome, the next attempt to send tells more.
            let _ = poll(&mut [poll_entry(socket, libc::POLLOUT)], ROOM_WAIT);
        };
        send_all(count, send_rest, wait_for_room)
    }

    /// Asks for the counter by itself: told along with each datagram it would cost each something.
    pub(super) fn kernel_drops(&mut self, socket: &net::UdpSocket) -> u64 {
        let information: io::Result<[u32; MEMORY_INFORMATION]> =
            get_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO);
        // Linux before 4.12 does not tell.
        if let Ok([.., drops]) = information {
            self.drops.note(drops);
        }
        self.drops.total
    }
}

/// Follows a kernel counter of 32 bits that wraps around.
#[derive(Default)]
struct DropCounter {
    seen: u32,
    total: u64,
}

impl DropCounter {
    fn note(&mut self, now: u32) {
        let more = now.wrapping_sub(self.seen);
        // Summed up over cores it may be slightly out of order; a step back must not look like four
        // thousand million drops.
        if more < 1 << 31 {
            self.seen = now;
            self.total += u64::from(more);
        }
    }
}

/// Memory for a socket address of either family.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Memory for control messages, aligned as their headers want it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// What the kernel wants to be told of each datagram, for receiving and sending in turn.
pub(super) struct Headers {
    messages: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
}

// SAFETY: the pointers in the headers are what keeps this from being `Send` by itself. They are made
// anew by `arm_receive` and `arm_send` before each use and are never followed later, so a move to
// another thread in between cannot matter.
unsafe impl Send for Headers {}

impl Headers {
    pub(super) fn new(capacity: usize) -> Self {
        // SAFETY: all of these are plain integers and raw pointers, for which all zeroes is valid.
        let (message, vector, name) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            messages: vec![message; capacity].into(),
            vectors: vec![vector; capacity].into(),
            names: vec![name; capacity].into(),
            controls: vec![Control([0; CONTROL_BYTES]); capacity].into(),
        }
    }

    /// Points every header at its buffers, at full length.
    ///
    /// The kernel overwrites lengths and flags on every call, so all of them are set every time.
    fn arm_receive(&mut self, datagrams: &mut [[u8; DATAGRAM_BYTES_MAX]]) {
        let parts = self
            .messages
            .iter_mut()
            .zip(&mut self.vectors)
            .zip(&mut self.names)
            .zip(&mut self.controls)
            .zip(datagrams);
        for ((((message, vector), name), control), datagram) in parts {
            vector.iov_base = datagram.as_mut_ptr().cast();
            vector.iov_len = datagram.len();
            let header = &mut message.msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_namelen = size_of::<Name>() as libc::socklen_t;
            header.msg_control = ptr::from_mut(control).cast();
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
            message.msg_len = 0;
        }
    }

    /// Points the first headers at the replies of the slots listed in `pending`.
    fn arm_send(
        &mut self,
        pending: &[usize],
        slots: &[Slot],
        replies: &mut [[u8; DATAGRAM_BYTES_MAX]],
    ) {
        let parts = self
            .messages
            .iter_mut()
            .zip(&mut self.vectors)
            .zip(&mut self.names)
            .zip(&mut self.controls)
            .zip(pending);
        for ((((message, vector), name), control), &index) in parts {
            let slot = &slots[index];
            vector.iov_base = replies[index].as_mut_ptr().cast();
            vector.iov_len = slot.reply_bytes;
            let name_bytes = write_name(name, slot.source);
            let header = &mut message.msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_namelen = name_bytes as libc::socklen_t;
            header.msg_control = ptr::from_mut(control).cast();
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
            match slot.asked {
                Some(asked) => write_asked(header, asked),
                None => {
                    header.msg_control = ptr::null_mut();
                    header.msg_controllen = 0;
                }
            }
        }
    }

    /// Reads what the kernel told of a received datagram.
    fn read(&self, index: usize) -> Slot {
        let message = &self.messages[index];
        let header = &message.msg_hdr;
        Slot {
            source: read_name(&self.names[index]),
            asked: read_control(header),
            datagram_bytes: (message.msg_len as usize).min(DATAGRAM_BYTES_MAX),
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
            reply_bytes: 0,
        }
    }
}

/// Reads the sender of a datagram, which the kernel wrote.
fn read_name(name: &Name) -> SocketAddr {
    // SAFETY: the memory was initialised, all fields are integers, and the family field lies at the
    // same place in both.
    let family = unsafe { name.v4.sin_family };
    if libc::c_int::from(family) == libc::AF_INET6 {
        // SAFETY: initialised memory and integer fields only, as above.
        let name = unsafe { name.v6 };
        SocketAddr::V6(SocketAddrV6::new(
            Ipv6Addr::from(name.sin6_addr.s6_addr),
            u16::from_be(name.sin6_port),
            0,
            name.sin6_scope_id,
        ))
    } else {
        // SAFETY: initialised memory and integer fields only, as above.
        let name = unsafe { name.v4 };
        SocketAddr::V4(SocketAddrV4::new(
            Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)),
            u16::from_be(name.sin_port),
        ))
    }
}

/// Writes where a reply goes and returns the length of it in bytes.
fn write_name(name: &mut Name, address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(address) => {
            name.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: in_addr(*address.ip()),
                sin_zero: [0; 8],
            };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            name.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            size_of::<libc::sockaddr_in6>()
        }
    }
}

fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from(address).to_be() }
}

/// Reads which address was asked.
fn read_control(header: &libc::msghdr) -> Option<Asked> {
    let mut asked = None;
    // SAFETY: the kernel filled the control buffer that `header` points to and set its length. The
    // macros stay within that length, and each value is read unaligned as the type that its level
    // and kind stand for.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let value = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    asked = Some(asked_v4(value.cast::<libc::in_pktinfo>().read_unaligned()));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    asked = asked_v6(value.cast::<libc::in6_pktinfo>().read_unaligned());
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    asked
}

/// The kernel itself names the local address that fits, also when a broadcast was received.
fn asked_v4(info: libc::in_pktinfo) -> Asked {
    let address = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
    Asked { address: IpAddr::V4(address), interface: 0 }
}

/// Nothing can be sent from a multicast address, so the kernel chooses then.
fn asked_v6(info: libc::in6_pktinfo) -> Option<Asked> {
    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
    // Routing chooses the way of a reply, except for an address that one interface alone knows.
    let interface = if address.is_unicast_link_local() { info.ipi6_ifindex as _ } else { 0 };
    (!address.is_multicast()).then_some(Asked { address: IpAddr::V6(address), interface })
}

/// Writes the address that a reply is to leave from.
fn write_asked(header: &mut libc::msghdr, asked: Asked) {
    match asked.address {
        IpAddr::V4(address) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: asked.interface as _,
                ipi_spec_dst: in_addr(address),
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: asked.interface as _,
            };
            write_control(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
}

/// Writes one control message as the only one of `header`, which has a whole control buffer.
fn write_control<T: Copy>(
    header: &mut libc::msghdr,
    level: libc::c_int,
    kind: libc::c_int,
    value: T,
) {
    const { assert!(size_of::<T>() <= size_of::<libc::in6_pktinfo>()) };
    // SAFETY: the control buffer is longer than a message with the largest value, as checked above,
    // and is aligned for a message header. The value itself is written unaligned.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
        header.msg_controllen = libc::CMSG_SPACE(size_of::<T>() as u32) as _;
    }
}

/// The kernel's list of sockets to wait for: it costs the same however many they are.
pub(super) struct Epoll(OwnedFd);

impl Epoll {
    pub(super) fn new(sockets: &[&UdpSocket]) -> io::Result<Self> {
        // SAFETY: no pointers, and the result is looked at before it is used.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor, and nobody else knows it.
        let epoll = unsafe { OwnedFd::from_raw_fd(descriptor) };
        for (index, socket) in sockets.iter().enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
            let socket = socket.socket.as_raw_fd();
            // SAFETY: both descriptors are open, and the kernel copies the event.
            let result = unsafe {
                libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket, &raw mut event)
            };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(epoll))
    }

    pub(super) fn wait(&self, wait_max: Duration) -> io::Result<Readiness> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; SOCKETS_MAX];
        // SAFETY: the pointer and length describe `events`, which outlives the call.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                SOCKETS_MAX as libc::c_int,
                millis(wait_max),
            )
        };
        let mut readiness = Readiness::default();
        let Ok(count) = usize::try_from(count) else {
            let cause = io::Error::last_os_error();
            let interrupted = cause.kind() == io::ErrorKind::Interrupted;
            return if interrupted { Ok(readiness) } else { Err(cause) };
        };
        for event in &events[..count] {
            // An error counts too: the next receive tells it.
            readiness.mark(event.u64 as usize);
        }
        Ok(readiness)
    }
}

fn poll_entry(socket: &net::UdpSocket, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 }
}

/// Waits for any of the entries; a signal ends the wait with none of them marked.
fn poll(entries: &mut [libc::pollfd], wait_max: Duration) -> io::Result<()> {
    // SAFETY: the pointer and length describe `entries`, which outlives the call.
    let result = unsafe {
        libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, millis(wait_max))
    };
    if result < 0 {
        let cause = io::Error::last_os_error();
        return if cause.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(cause) };
    }
    Ok(())
}

/// Rounded up, or a wait of less than a millisecond would spin.
fn millis(wait: Duration) -> libc::c_int {
    libc::c_int::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::UdpOptions;

    #[test]
    fn drop_counter_survives_wrap_and_disorder() {
        let mut drops = DropCounter::default();
        drops.note(5);
        drops.note(4);
        assert_eq!(drops.total, 5);
        drops.note(7);
        assert_eq!(drops.total, 7);
        drops.seen = u32::MAX;
        drops.note(1);
        assert_eq!(drops.total, 9);
    }

    #[test]
    fn addresses_come_back_as_written() {
        let link_local = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 2, 0, 3);
        for address in ["192.0.2.1:6881".parse().unwrap(), SocketAddr::V6(link_local)] {
            let mut headers = Headers::new(1);
            write_name(&mut headers.names[0], address);
            assert_eq!(read_name(&headers.names[0]), address);
        }
    }
    #[test]
    fn each_wait_is_as_long_as_asked() {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let mut socket = UdpSocket::bind(&UdpOptions::new(address)).unwrap();
        let mut batch = Batch::new(1);
        for wait_secs in [5, 7, 5] {
            socket.socket.send_to(b"q", socket.local_addr()).unwrap();
            let wait_max = Duration::from_secs(wait_secs);
            assert_eq!(socket.receive(&mut batch, wait_max).unwrap(), 1);
            assert_eq!(socket.socket.read_timeout().unwrap(), Some(wait_max));
        }
    }
}
