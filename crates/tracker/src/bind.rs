//! Binding every socket that the configuration names, before anything is answered.
//!
//! Whatever cannot be bound is reported with its step, its address and the system's reason.

#[cfg(unix)]
pub mod unix;

use std::io;
use std::iter;
use std::net::{SocketAddr, TcpListener};

use skep_net::udp::{Backend, SOCKETS_MAX, UdpOptions, UdpSocket};
use skep_net::{addresses, tcp};

use crate::config::{Config, Listeners, UdpBackend};

/// Connections that the system keeps for us until they are accepted.
const TCP_BACKLOG: i32 = 4096;

/// Addresses of this host and of one family that get sockets of their own.
const DIRECT_MAX: usize = 12;

/// Ports that are tried when any will do and each front end must get the same one.
const ANY_PORT_ATTEMPTS: u32 = 50;

/// Room for answers that the network does not take at once.
const SEND_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {service} {address}: {cause}{}", hint(.key, .cause))]
pub struct BindError {
    /// What was to listen there.
    pub service: &'static str,
    /// The option that says where.
    pub key: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub cause: io::Error,
}

fn hint(key: &str, cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            let off = if matches!(key, "listen.admin" | "compat.chihaya_listen") {
                ", or \"off\""
            } else {
                ""
            };
            format!("; another program listens there: choose another {key}{off}")
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege".to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            format!("; no interface of this host has this address of {key}")
        }
        _ => String::new(),
    }
}

/// Every socket of the process, ready to be given to its worker.
pub struct Sockets {
    /// UDP sockets by worker.
    pub udp: Vec<Vec<UdpSocket>>,
    /// More of them for addresses of this host, where all of its addresses are listened on.
    pub udp_direct: Vec<Vec<UdpSocket>>,
    /// HTTP listeners by worker.
    pub http: Vec<Vec<TcpListener>>,
    /// HTTPS listeners by worker.
    pub https: Vec<Vec<TcpListener>>,
    /// Listeners for the operator.
    pub admin: Vec<TcpListener>,
    /// Listeners for the routes of Chihaya.
    pub chihaya: Vec<TcpListener>,
    /// Addresses of a family that this host does not have, left out because nobody named them.
    pub left_out: Vec<SocketAddr>,
}

impl Sockets {
    /// Binds everything for so many workers.
    ///
    /// # Errors
    /// The first socket that cannot be opened.
    pub fn bind(config: &Config, workers: usize) -> Result<Self, BindError> {
        let listen = &config.listen;
        let any_port = listen.port == 0 && (listen.udp.from_port || listen.http.from_port);
        if !any_port {
            return Self::bind_to(config, workers, 0);
        }
        let mut attempts = ANY_PORT_ATTEMPTS;
        loop {
            let port = free_port(config)?;
            match Self::bind_to(config, workers, port) {
                // Another port does not help whoever named one.
                Err(error)
                    if error.cause.kind() == io::ErrorKind::AddrInUse
                        && error.address.port() == port
                        && attempts > 0 =>
                {
                    attempts -= 1;
                }
                result => return result,
            }
        }
    }

    /// Binds everything; `port` takes the place of 0 where addresses follow from `listen.port`.
    fn bind_to(config: &Config, workers: usize, port: u16) -> Result<Self, BindError> {
        let listen = &config.listen;
        let mut sockets = Self {
            udp: (0..workers).map(|_| Vec::new()).collect(),
            udp_direct: (0..workers).map(|_| Vec::new()).collect(),
            http: (0..workers).map(|_| Vec::new()).collect(),
            https: (0..workers).map(|_| Vec::new()).collect(),
            admin: Vec::new(),
            chihaya: Vec::new(),
            left_out: Vec::new(),
        };
        let mut everywhere = Vec::new();
        for address in addresses(&listen.udp, port) {
            let options = UdpOptions {
                address,
                receive_buffer_bytes: listen.receive_buffer_bytes as usize,
                send_buffer_bytes: SEND_BUFFER_BYTES,
                reuse_port: workers > 1 || has_direct(config, address),
                backend: match listen.udp_backend {
                    UdpBackend::Auto => Backend::Auto,
                    UdpBackend::Mmsg => Backend::Mmsg,
                    UdpBackend::Std => Backend::Std,
                },
            };
            let key = key("listen.udp", &listen.udp);
            let bound = udp(&options, workers).map_err(|cause| fail("udp", key, address, cause));
            sockets.keep(bound, listen.udp.from_port, |sockets| &mut sockets.udp)?;
            if let Some(all) = sockets.udp[0].last().map(UdpSocket::local_addr)
                && all.ip() == address.ip()
                && has_direct(config, address)
            {
                everywhere.push(UdpOptions { address: all, ..options });
            }
        }
        // Those that were asked for come first: a worker can wait for so many only.
        for options in everywhere {
            sockets.add_direct(&options);
        }
        for address in addresses(&listen.http, port) {
            let key = key("listen.http", &listen.http);
            let bound = http(address, workers).map_err(|cause| fail("http", key, address, cause));
            sockets.keep(bound, listen.http.from_port, |sockets| &mut sockets.http)?;
        }
        for &address in &listen.https.addresses {
            let bound = http(address, workers)
                .map_err(|cause| fail("https", "listen.https", address, cause));
            sockets.keep(bound, false, |sockets| &mut sockets.https)?;
        }
        for &address in &listen.admin.addresses {
            let listener = tcp::listen(address, false, TCP_BACKLOG);
            let listener =
                listener.map_err(|cause| fail("admin", "listen.admin", address, cause))?;
            sockets.admin.push(listener);
        }
        for &address in &config.compat.chihaya.addresses {
            let listener = tcp::listen(address, false, TCP_BACKLOG);
            let listener = listener
                .map_err(|cause| fail("chihaya", "compat.chihaya_listen", address, cause))?;
            sockets.chihaya.push(listener);
        }
        Ok(sockets)
    }

    /// Binds the addresses of this host one by one, beside a socket for all of them.
    ///
    /// The kernel prefers a socket bound to the address that was asked, and such a socket need not
    /// be told that address with each datagram, nor tell it back with each answer: 7 % of the
    /// processor time of an answer. Addresses that come later are served by the socket for all.
    fn add_direct(&mut self, options: &UdpOptions) {
        let of_family = |ip: &std::net::IpAddr| ip.is_ipv4() == options.address.is_ipv4();
        let addresses = addresses::local().into_iter().filter(of_family);
        for ip in addresses.take(DIRECT_MAX) {
            if self.udp[0].len() + self.udp_direct[0].len() >= SOCKETS_MAX {
                return;
            }
            let address = SocketAddr::new(ip, options.address.port());
            let options = UdpOptions { address, ..options.clone() };
            let bound: io::Result<Vec<_>> =
                self.udp.iter().map(|_| UdpSocket::bind(&options)).collect();
            // One that is just coming or going is left to the socket for all.
            if let Ok(bound) = bound {
                let workers = self.udp_direct.iter_mut().zip(bound);
                workers.for_each(|(worker, socket)| worker.push(socket));
            }
        }
    }

    /// Gives each worker its socket; a family that the host lacks is left out if nobody asked for it.
    fn keep<T>(
        &mut self,
        bound: Result<Vec<T>, BindError>,
        from_port: bool,
        to: impl Fn(&mut Self) -> &mut Vec<Vec<T>>,
    ) -> Result<(), BindError> {
        match bound {
            Ok(bound) => {
                to(self).iter_mut().zip(bound).for_each(|(worker, socket)| worker.push(socket));
                Ok(())
            }
            Err(error) if from_port && family_missing(&error.cause) && error.address.is_ipv6() => {
                self.left_out.push(error.address);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether addresses of this host get sockets of their own beside one for all of them.
fn has_direct(config: &Config, address: SocketAddr) -> bool {
    // Elsewhere sockets cannot share a port in this way, and waiting for many costs.
    let backend = cfg!(target_os = "linux") && config.listen.udp_backend != UdpBackend::Std;
    backend && address.ip().is_unspecified()
}

const fn fail(
    service: &'static str,
    key: &'static str,
    address: SocketAddr,
    cause: io::Error,
) -> BindError {
    BindError { service, key, address, cause }
}

/// The option that an address comes from.
const fn key(own: &'static str, listeners: &Listeners) -> &'static str {
    if listeners.from_port { "listen.port" } else { own }
}

fn addresses(listeners: &Listeners, port: u16) -> impl Iterator<Item = SocketAddr> {
    let from_port = listeners.from_port;
    listeners.addresses.iter().map(move |&address| match (from_port, address.port()) {
        (true, 0) => SocketAddr::new(address.ip(), port),
        _ => address,
    })
}

/// A port that nobody uses at the moment, found by binding to it.
fn free_port(config: &Config) -> Result<u16, BindError> {
    let listen = &config.listen;
    let from_port = [&listen.udp, &listen.http].into_iter().filter(|kind| kind.from_port);
    let Some(&address) = from_port.flat_map(|kind| &kind.addresses).next() else {
        return Ok(0);
    };
    let socket = std::net::UdpSocket::bind(address);
    let bound = socket.and_then(|socket| socket.local_addr());
    Ok(bound.map_err(|cause| fail("udp", "listen.port", address, cause))?.port())
}

fn udp(options: &UdpOptions, workers: usize) -> io::Result<Vec<UdpSocket>> {
    // Sockets that share a port would share it with a second tracker as well, and each would get
    // some of the other's clients. A socket that does not share finds out.
    UdpSocket::bind(&UdpOptions { reuse_port: false, ..options.clone() }).map(drop)?;
    let first = UdpSocket::bind(options)?;
    // Any port is any port once: all workers get the one that the first got.
    let options = UdpOptions { address: first.local_addr(), ..options.clone() };
    let others = (1..workers).map(|_| UdpSocket::bind(&options));
    iter::once(Ok(first)).chain(others).collect()
}

fn http(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    tcp::listen(address, false, TCP_BACKLOG).map(drop)?;
    let first = tcp::listen(address, workers > 1, TCP_BACKLOG)?;
    let address = first.local_addr()?;
    let others = (1..workers).map(|_| tcp::listen(address, workers > 1, TCP_BACKLOG));
    iter::once(Ok(first)).chain(others).collect()
}

fn family_missing(cause: &io::Error) -> bool {
    // Linux has no error kind of its own for EAFNOSUPPORT.
    cause.kind() == io::ErrorKind::AddrNotAvailable
        || cause.kind() == io::ErrorKind::Unsupported
        || matches!(cause.raw_os_error(), Some(97 | 93))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(udp: &str, workers: usize) -> Sockets {
        let mut config = Config::default();
        config.listen.udp.addresses = vec![udp.parse().unwrap()];
        config.listen.udp.from_port = false;
        config.listen.http.addresses = Vec::new();
        config.listen.admin.addresses = Vec::new();
        Sockets::bind(&config, workers).unwrap_or_else(|error| panic!("{error}"))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_worker_has_a_socket_for_each_address_beside_the_one_for_all() {
        for workers in [1, 2] {
            let sockets = bind("0.0.0.0:0", workers);
            let all = sockets.udp[0][0].local_addr();
            let loopback = SocketAddr::from(([127, 0, 0, 1], all.port()));
            assert_eq!((sockets.udp.len(), sockets.udp_direct.len()), (workers, workers));
            for (worker, direct) in sockets.udp.iter().zip(&sockets.udp_direct) {
                assert_eq!(worker.iter().map(UdpSocket::local_addr).collect::<Vec<_>>(), [all]);
                assert!(direct.iter().any(|socket| socket.local_addr() == loopback));
                assert!(direct.iter().all(|socket| socket.local_addr().port() == all.port()));
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn many_ports_on_all_addresses_are_no_more_sockets_than_a_worker_can_wait_for() {
        let mut config = Config::default();
        config.listen.udp.addresses = vec!["0.0.0.0:0".parse().unwrap(); SOCKETS_MAX - 3];
        config.listen.udp.from_port = false;
        config.listen.http.addresses = Vec::new();
        config.listen.admin.addresses = Vec::new();
        let sockets = Sockets::bind(&config, 1).unwrap_or_else(|error| panic!("{error}"));
        let (named, direct) = (&sockets.udp[0], &sockets.udp_direct[0]);
        assert_eq!((named.len(), named.len() + direct.len()), (SOCKETS_MAX - 3, SOCKETS_MAX));
    }

    #[test]
    fn named_address_gets_one_socket() {
        let sockets = bind("127.0.0.1:0", 1);
        assert_eq!((sockets.udp[0].len(), sockets.udp_direct[0].len()), (1, 0));
    }

    #[test]
    fn port_with_sockets_for_each_address_is_taken_for_a_second_tracker() {
        let first = bind("0.0.0.0:0", 1);
        let taken = first.udp[0][0].local_addr();
        let mut config = Config::default();
        config.listen.udp.addresses = vec![taken];
        config.listen.udp.from_port = false;
        let Err(error) = Sockets::bind(&config, 1) else {
            panic!("two trackers on {taken}");
        };
        assert_eq!(error.cause.kind(), io::ErrorKind::AddrInUse);
    }
}
