//! What every backend promises, tried over real sockets once for each backend.
//!
//! Details of one backend are tested at the foot of its file.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as Client};
use std::time::Duration;

use super::batch::Asked;
use super::*;
use crate::clock::monotonic_coarse_secs;

const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Long enough for any machine; a test that passes never waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Stamps one test for each function and backend.
macro_rules! on_every_backend {
    ($($test:ident)*) => {
        mod std_calls {
            $(#[test] fn $test() { super::$test(super::Backend::Std); })*
        }
        #[cfg(target_os = "linux")]
        mod mmsg_calls {
            $(#[test] fn $test() { super::$test(super::Backend::Mmsg); })*
        }
    };
}

on_every_backend! {
    replies_reach_the_source_of_their_datagram
    reply_leaves_from_the_address_that_was_asked
    only_the_replies_that_are_set_are_sent
    batch_takes_what_is_there_up_to_its_size
    long_datagram_is_cut_and_marked
    receive_gives_up_when_its_time_is_over
    refused_reply_does_not_keep_the_others_back
    port_is_shared_by_those_who_ask_for_it
    ipv6_socket_leaves_the_port_free_for_ipv4
    one_thread_waits_for_two_sockets
    buffers_tell_what_was_granted
    flood_of_a_small_buffer_shows_as_drops
    unheard_reply_does_not_disturb_receiving
    batch_serves_sockets_on_any_thread
}

fn bind(backend: Backend, ip: IpAddr) -> UdpSocket {
    let options = UdpOptions { backend, ..UdpOptions::new(SocketAddr::new(ip, 0)) };
    let socket = UdpSocket::bind(&options).unwrap();
    assert_eq!(socket.backend(), backend);
    socket
}

fn wait_any(sockets: &[&UdpSocket], wait_max: Duration) -> io::Result<Readiness> {
    Waiter::new(sockets)?.wait(sockets, wait_max)
}

fn client(ip: IpAddr) -> Client {
    let client = Client::bind((ip, 0)).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

/// Receives until there is a batch, because a signal may end one wait with nothing.
fn receive_some(socket: &mut UdpSocket, batch: &mut Batch) -> usize {
    let deadline = monotonic_coarse_secs() + DEADLINE.as_secs();
    while monotonic_coarse_secs() < deadline {
        let received = socket.receive(batch, DEADLINE).unwrap();
        if received != 0 {
            return received;
        }
    }
    panic!("no datagram arrived");
}

/// Answers every datagram of the batch with its own bytes and a mark.
fn echo(socket: &mut UdpSocket, batch: &mut Batch) -> SendReport {
    for index in 0..batch.len() {
        let (datagram, _, reply) = batch.exchange(index);
        let reply_len = datagram.len() + 1;
        reply[..datagram.len()].copy_from_slice(datagram);
        reply[reply_len - 1] = b'!';
        batch.set_reply_len(index, reply_len);
    }
    socket.send(batch)
}

fn sent(sent: usize) -> SendReport {
    SendReport { sent, ..SendReport::default() }
}

fn expect_reply(client: &Client, expected: &[u8], from: SocketAddr) {
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    let (bytes, source) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..bytes], source), (expected, from));
}

fn replies_reach_the_source_of_their_datagram(backend: Backend) {
    for ip in LOOPBACKS {
        let mut socket = bind(backend, ip);
        let mut batch = Batch::new(8);
        let clients: Vec<_> = (0..3).map(|_| client(ip)).collect();
        for (client, text) in clients.iter().zip(["one", "", "three"]) {
            client.send_to(text.as_bytes(), socket.local_addr()).unwrap();
        }
        assert_eq!(receive_some(&mut socket, &mut batch), 3);
        for (index, client) in clients.iter().enumerate() {
            assert_eq!(batch.source(index), client.local_addr().unwrap());
        }
        assert_eq!(echo(&mut socket, &mut batch), sent(3));
        for (client, text) in clients.iter().zip(["one!", "!", "three!"]) {
            expect_reply(client, text.as_bytes(), socket.local_addr());
        }
        // The next batch starts without replies.
        clients[1].send_to(b"silence", socket.local_addr()).unwrap();
        assert_eq!(receive_some(&mut socket, &mut batch), 1);
        assert_eq!(socket.send(&mut batch), sent(0));
    }
}

fn reply_leaves_from_the_address_that_was_asked(backend: Backend) {
    // Linux alone answers to all of 127.0.0.0/8, and the portable backend knows the address that
    // was asked only if it is bound to it.
    let asked = if cfg!(target_os = "linux") { [127, 0, 0, 5] } else { [127, 0, 0, 1] };
    let four = (IpAddr::from(asked), Ipv4Addr::UNSPECIFIED.into(), LOOPBACKS[0]);
    let six = (LOOPBACKS[1], Ipv6Addr::UNSPECIFIED.into(), LOOPBACKS[1]);
    for (asked, unspecified, from) in [four, six] {
        let mut socket = bind(backend, if backend == Backend::Std { asked } else { unspecified });
        let mut batch = Batch::new(4);
        let client = client(from);
        let target = SocketAddr::new(asked, socket.local_addr().port());
        client.send_to(b"who", target).unwrap();
        assert_eq!(receive_some(&mut socket, &mut batch), 1);
        assert_eq!(echo(&mut socket, &mut batch), sent(1));
        expect_reply(&client, b"who!", target);
        if backend == Backend::Std {
            continue;
        }
        // Most machines have one IPv6 loopback address, from which the reply would leave anyway. A
        // foreign address is refused, which shows that the kernel was told it.
        assert_eq!(batch.slots[0].asked, Some(Asked { address: asked, interface: 0 }));
        let foreign: IpAddr =
            if asked.is_ipv6() { "2001:db8::1".parse() } else { "192.0.2.1".parse() }.unwrap();
        batch.slots[0].asked = Some(Asked { address: foreign, interface: 0 });
        assert_eq!(socket.send(&mut batch), SendReport { failed: 1, ..sent(0) });
    }
}

fn only_the_replies_that_are_set_are_sent(backend: Backend) {
    let mut socket = bind(backend, LOOPBACKS[0]);
    let mut batch = Batch::new(4);
    let clients = [0; 4].map(|_| client(LOOPBACKS[0]));
    for client in &clients {
        client.send_to(b"q", socket.local_addr()).unwrap();
    }
    assert_eq!(receive_some(&mut socket, &mut batch), 4);
    for (index, text) in [(1, b"one"), (3, b"two")] {
        batch.reply_buffer(index)[..3].copy_from_slice(text);
        batch.set_reply_len(index, 3);
    }
    assert_eq!(socket.send(&mut batch), sent(2));
    expect_reply(&clients[1], b"one", socket.local_addr());
    expect_reply(&clients[3], b"two", socket.local_addr());
    for silent in [&clients[0], &clients[2]] {
        silent.set_nonblocking(true).unwrap();
        assert_eq!(silent.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

fn batch_takes_what_is_there_up_to_its_size(backend: Backend) {
    let mut socket = bind(backend, LOOPBACKS[0]);
    let mut batch = Batch::new(4);
    assert_eq!(batch.capacity(), 4);
    let client = client(LOOPBACKS[0]);
    for number in 0..6u8 {
        client.send_to(&[number; 3], socket.local_addr()).unwrap();
    }
    for expected in [&[0, 1, 2, 3][..], &[4, 5]] {
        assert_eq!(receive_some(&mut socket, &mut batch), expected.len());
        for (index, &number) in expected.iter().enumerate() {
            assert_eq!(batch.datagram(index), [number; 3]);
        }
        assert_eq!(echo(&mut socket, &mut batch), sent(expected.len()));
    }
    assert_eq!(socket.receive(&mut batch, Duration::ZERO).unwrap(), 0);
    assert!(batch.is_empty());
}

fn long_datagram_is_cut_and_marked(backend: Backend) {
    for ip in LOOPBACKS {
        let mut socket = bind(backend, ip);
        let mut batch = Batch::new(4);
        let client = client(ip);
        for bytes in [DATAGRAM_BYTES_MAX + 1, DATAGRAM_BYTES_MAX, 1] {
            client.send_to(&vec![7; bytes], socket.local_addr()).unwrap();
        }
        assert_eq!(receive_some(&mut socket, &mut batch), 3);
        let seen: Vec<_> = (0..3).map(|i| (batch.datagram(i).len(), batch.truncated(i))).collect();
        assert_eq!(seen, [(DATAGRAM_BYTES_MAX, true), (DATAGRAM_BYTES_MAX, false), (1, false)]);
        // The same places take later datagrams at full length again.
        client.send_to(&[8; DATAGRAM_BYTES_MAX], socket.local_addr()).unwrap();
        assert_eq!(receive_some(&mut socket, &mut batch), 1);
        assert_eq!(batch.datagram(0), [8; DATAGRAM_BYTES_MAX]);
        assert!(!batch.truncated(0));
    }
}

fn receive_gives_up_when_its_time_is_over(backend: Backend) {
    let mut socket = bind(backend, LOOPBACKS[0]);
    let mut batch = Batch::new(4);
    for wait_max in [0, 1, 3_000_000].map(Duration::from_nanos) {
        assert_eq!(socket.receive(&mut batch, wait_max).unwrap(), 0);
        assert_eq!(wait_any(&[&socket], wait_max).unwrap(), Readiness::default());
    }
}

fn refused_reply_does_not_keep_the_others_back(backend: Backend) {
    for ip in LOOPBACKS {
        let mut socket = bind(backend, ip);
        let mut batch = Batch::new(8);
        let client = client(ip);
        for _ in 0..5 {
            client.send_to(b"q", socket.local_addr()).unwrap();
        }
        assert_eq!(receive_some(&mut socket, &mut batch), 5);
        // A broadcast that was not asked for, an address of the other family, and port 0.
        batch.slots[1].source = (Ipv4Addr::BROADCAST, 9).into();
        batch.slots[2].source = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 9).into();
        batch.slots[4].source.set_port(0);
        let report = echo(&mut socket, &mut batch);
        assert_eq!(report, SendReport { failed: 3, ..sent(2) });
        for _ in 0..2 {
            expect_reply(&client, b"q!", socket.local_addr());
        }
    }
}

fn port_is_shared_by_those_who_ask_for_it(backend: Backend) {
    let any = SocketAddr::new(LOOPBACKS[0], 0);
    let alone = bind(backend, LOOPBACKS[0]).local_addr();
    let shared = UdpOptions { backend, reuse_port: true, ..UdpOptions::new(any) };
    if cfg!(not(unix)) {
        assert_eq!(UdpSocket::bind(&shared).err().unwrap().kind(), ErrorKind::Unsupported);
        return;
    }
    let mut first = UdpSocket::bind(&shared).unwrap();
    let shared = UdpOptions { address: first.local_addr(), ..shared };
    assert_ne!(shared.address, alone);
    let mut second = UdpSocket::bind(&shared).unwrap();
    let unshared = UdpOptions { reuse_port: false, ..shared.clone() };
    assert_eq!(UdpSocket::bind(&unshared).err().unwrap().kind(), ErrorKind::AddrInUse);

    // The kernel deals senders out by their port; that all of 64 fall to one side does not happen.
    let clients: Vec<_> = (0..64).map(|_| client(LOOPBACKS[0])).collect();
    for client in &clients {
        client.send_to(b"q", shared.address).unwrap();
    }
    let mut batch = Batch::new(64);
    let mut answered = [0; 2];
    let deadline = monotonic_coarse_secs() + DEADLINE.as_secs();
    while answered.iter().sum::<usize>() < clients.len() {
        assert!(monotonic_coarse_secs() < deadline, "only {answered:?} datagrams arrived");
        for (socket, count) in [&mut first, &mut second].into_iter().zip(&mut answered) {
            *count += socket.receive(&mut batch, Duration::from_millis(1)).unwrap();
            let _ = echo(socket, &mut batch);
        }
    }
    if cfg!(target_os = "linux") {
        assert!(answered.iter().all(|&count| count > 0), "dealt out as {answered:?}");
    }
    for client in &clients {
        expect_reply(client, b"q!", shared.address);
    }
}

fn ipv6_socket_leaves_the_port_free_for_ipv4(backend: Backend) {
    let six = bind(backend, Ipv6Addr::UNSPECIFIED.into());
    let same_port = (Ipv4Addr::UNSPECIFIED, six.local_addr().port()).into();
    UdpSocket::bind(&UdpOptions { backend, ..UdpOptions::new(same_port) }).unwrap();
}

fn one_thread_waits_for_two_sockets(backend: Backend) {
    let mut sockets = LOOPBACKS.map(|ip| bind(backend, ip));
    let mut batch = Batch::new(4);
    let clients = LOOPBACKS.map(client);
    for asked in [&[0][..], &[1], &[0, 1]] {
        for &index in asked {
            clients[index].send_to(b"q", sockets[index].local_addr()).unwrap();
        }
        // A loopback datagram is there when its send returns.
        let ready = wait_any(&[&sockets[0], &sockets[1]], DEADLINE).unwrap();
        assert!(ready.any() && !ready.is_ready(2) && !ready.is_ready(SOCKETS_MAX));
        for (index, socket) in sockets.iter_mut().enumerate() {
            assert_eq!(ready.is_ready(index), asked.contains(&index));
            let received = socket.receive(&mut batch, Duration::ZERO).unwrap();
            assert_eq!(received, usize::from(asked.contains(&index)));
            assert_eq!(echo(socket, &mut batch), sent(received));
        }
        for &index in asked {
            expect_reply(&clients[index], b"q!", sockets[index].local_addr());
        }
    }

    // And one that comes while it waits, on the socket that is looked at last.
    let [first, second] = &sockets;
    std::thread::scope(|scope| {
        scope.spawn(|| clients[1].send_to(b"q", second.local_addr()).unwrap());
        let deadline = monotonic_coarse_secs() + DEADLINE.as_secs();
        while !wait_any(&[first, second], DEADLINE).unwrap().is_ready(1) {
            assert!(monotonic_coarse_secs() < deadline, "the second socket never became ready");
        }
    });
}

fn buffers_tell_what_was_granted(backend: Backend) {
    let wanted = 64 * 1024;
    let address = SocketAddr::new(LOOPBACKS[0], 0);
    let options = UdpOptions {
        receive_buffer_bytes: wanted,
        send_buffer_bytes: wanted,
        backend,
        ..UdpOptions::new(address)
    };
    let socket = UdpSocket::bind(&options).unwrap();
    assert_eq!(socket.receive_buffer_bytes(), wanted);
    assert_eq!(socket.send_buffer_bytes(), wanted);

    let greedy = UdpOptions { receive_buffer_bytes: usize::MAX, ..options };
    let granted = UdpSocket::bind(&greedy).unwrap().receive_buffer_bytes();
    assert!(granted > wanted / 2, "{granted} bytes granted");
}

fn flood_of_a_small_buffer_shows_as_drops(backend: Backend) {
    for ip in LOOPBACKS {
        let options = UdpOptions {
            receive_buffer_bytes: 8192,
            backend,
            ..UdpOptions::new(SocketAddr::new(ip, 0))
        };
        let mut socket = UdpSocket::bind(&options).unwrap();
        let mut batch = Batch::new(64);
        let client = client(ip);
        let flood = |count: usize| {
            for _ in 0..count {
                client.send_to(&[0; 1000], socket.local_addr()).unwrap();
            }
        };
        flood(500);
        let mut received = 0;
        while socket.receive(&mut batch, Duration::ZERO).unwrap() != 0 {
            received += batch.len();
        }
        assert!((1..500).contains(&received), "{received} datagrams fitted");
        let dropped = if backend == Backend::Std { 0 } else { 500 - received as u64 };
        assert_eq!(socket.kernel_drops(), dropped);
    }
}

fn unheard_reply_does_not_disturb_receiving(backend: Backend) {
    for ip in LOOPBACKS {
        let mut socket = bind(backend, ip);
        let mut batch = Batch::new(4);
        client(ip).send_to(b"gone", socket.local_addr()).unwrap();
        assert_eq!(receive_some(&mut socket, &mut batch), 1);
        assert_eq!(echo(&mut socket, &mut batch), sent(1));
        let client = client(ip);
        client.send_to(b"here", socket.local_addr()).unwrap();
        assert_eq!(receive_some(&mut socket, &mut batch), 1);
        assert_eq!(batch.datagram(0), b"here");
    }
}

fn batch_serves_sockets_on_any_thread(backend: Backend) {
    let mut batch = Batch::new(4);
    for ip in LOOPBACKS {
        batch = std::thread::spawn(move || {
            let mut socket = bind(backend, ip);
            let client = client(ip);
            client.send_to(b"q", socket.local_addr()).unwrap();
            assert_eq!(receive_some(&mut socket, &mut batch), 1);
            assert_eq!(echo(&mut socket, &mut batch), sent(1));
            expect_reply(&client, b"q!", socket.local_addr());
            batch
        })
        .join()
        .unwrap();
    }
}

#[test]
fn best_backend_is_chosen_and_a_missing_one_refused() {
    let options = UdpOptions::new(SocketAddr::new(LOOPBACKS[0], 0));
    let chosen = UdpSocket::bind(&options).unwrap().backend();
    let mmsg = UdpSocket::bind(&UdpOptions { backend: Backend::Mmsg, ..options });
    if cfg!(target_os = "linux") {
        assert_eq!((chosen, mmsg.is_ok()), (Backend::Mmsg, true));
    } else {
        assert_eq!(chosen, Backend::Std);
        assert_eq!(mmsg.err().unwrap().kind(), ErrorKind::Unsupported);
    }
}

/// Plays a kernel: each call to send must start where the script says, and gets its answer.
fn run_script(count: usize, script: &[(usize, Result<usize, ErrorKind>)]) -> (SendReport, usize) {
    let mut steps = script.iter();
    let mut waits = 0;
    let send = |next| {
        let &(expected, answer) = steps.next().expect("a send beyond the script");
        assert_eq!(next, expected);
        answer.map_err(io::Error::from)
    };
    let report = send_all(count, send, || waits += 1);
    assert_eq!(steps.next(), None, "the script was not played to its end");
    (report, waits)
}

#[test]
fn sending_goes_on_after_part_of_a_batch_and_after_a_signal() {
    let script = [(0, Ok(2)), (2, Err(ErrorKind::Interrupted)), (2, Ok(1)), (3, Ok(2))];
    assert_eq!(run_script(5, &script), (sent(5), 0));
}

#[test]
fn full_kernel_is_waited_for_once_and_then_the_rest_is_dropped() {
    use ErrorKind::{PermissionDenied, WouldBlock};
    let script = [(0, Ok(1)), (1, Err(WouldBlock)), (1, Ok(3))];
    assert_eq!(run_script(4, &script), (sent(4), 1));

    let script = [
        (0, Err(WouldBlock)),
        (0, Ok(1)),
        (1, Err(PermissionDenied)),
        (2, Ok(1)),
        (3, Err(WouldBlock)),
    ];
    let report = SendReport { sent: 2, failed: 1, would_block: 2 };
    assert_eq!(run_script(5, &script), (report, 1));
}

#[cfg(unix)]
#[test]
fn missing_buffers_in_the_kernel_are_lack_of_room() {
    assert!(is_lack_of_room(&io::Error::from_raw_os_error(libc::ENOBUFS)));
    assert!(is_lack_of_room(&io::Error::from_raw_os_error(libc::EAGAIN)));
    assert!(!is_lack_of_room(&io::Error::from_raw_os_error(libc::EPERM)));
}
