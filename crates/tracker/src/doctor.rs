//! Limits of the system that will hurt, as sentences for the operator.
//!
//! Judges facts that it is given; what it can read of `/proc` it reads only when asked to.

use std::fs;
use std::net::SocketAddr;

/// With room for fewer connections than this, HTTP is as good as off.
const CONNECTIONS_FEW: u64 = 64;

/// A certificate that is good for less than this should have been replaced.
const CERTIFICATE_LEFT_SECS: i64 = 7 * SECS_PER_DAY;

const SECS_PER_DAY: i64 = 24 * 60 * 60;

/// What is known about this host; `None` where the system does not tell.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Receive buffer that was asked for, in bytes; 0 where none was.
    pub receive_buffer_wanted_bytes: u64,
    /// The smallest receive buffer that a UDP socket got, in bytes.
    pub receive_buffer_bytes: Option<u64>,
    /// `net.core.rmem_max`, in bytes.
    pub receive_buffer_bytes_max: Option<u64>,
    /// Files that this process may have open.
    pub open_files_max: Option<u64>,
    /// `http.connections_max`, 0 if HTTP is off.
    pub http_connections_max: u64,
    /// HTTP connections for which there are files.
    pub http_connections_possible: Option<u64>,
    /// Addresses of the operator's listener that other hosts may reach.
    pub admin_for_strangers: Vec<SocketAddr>,
    /// Fill of the table of tracked connections.
    pub conntrack: Option<Conntrack>,
    /// Seconds for which the certificate is good; negative when it has ended.
    pub certificate_left_secs: Option<i64>,
    /// Front ends that were to listen on IPv6 and do not, by name.
    pub ipv6_missing: Vec<&'static str>,
}

/// The table in which a firewall of this host keeps every flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conntrack {
    /// Flows in the table.
    pub entries: u64,
    /// Flows that fit into it.
    pub entries_max: u64,
}

/// Whether this host has an IPv6 address; taken for granted where the system does not tell.
///
/// Where IPv6 is switched off, `[::]` can still be bound, and nothing ever reaches it.
#[must_use]
pub fn has_ipv6() -> bool {
    !cfg!(target_os = "linux") || lists_an_address(fs::read_to_string(IPV6_ADDRESSES).ok())
}

/// The kernel's list of IPv6 addresses; there is none in a kernel without IPv6.
const IPV6_ADDRESSES: &str = "/proc/net/if_inet6";

fn lists_an_address(list: Option<String>) -> bool {
    list.is_some_and(|list| !list.trim().is_empty())
}

impl Conntrack {
    /// Reads the fill of the table, if this host has one.
    #[must_use]
    pub fn read() -> Option<Self> {
        let number = |name| {
            let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
            fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        Some(Self { entries: number("count")?, entries_max: number("max")? })
    }
}

impl Host {
    /// Returns a sentence for each limit that will hurt.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let all = [
            self.receive_buffer(),
            self.open_files(),
            self.conntrack_fill(),
            self.ipv6(),
            self.admin(),
            self.certificate(),
        ];
        all.into_iter().flatten().collect()
    }

    fn receive_buffer(&self) -> Option<String> {
        let (got, wanted) = (self.receive_buffer_bytes?, self.receive_buffer_wanted_bytes);
        // A little less is rounding; half of it is a limit.
        if got > wanted / 2 {
            return None;
        }
        let limit = match self.receive_buffer_bytes_max {
            Some(max) => format!(" because net.core.rmem_max is {max}"),
            None => String::new(),
        };
        Some(format!(
            "UDP receive buffers hold {got} bytes instead of {wanted}{limit}; bursts will be lost; \
             raise it with: sysctl -w net.core.rmem_max={wanted}"
        ))
    }

    fn open_files(&self) -> Option<String> {
        let (max, connections) = (self.open_files_max?, self.http_connections_max);
        let possible = self.http_connections_possible?;
        let few = match possible {
            ..CONNECTIONS_FEW => "hardly any HTTP client can be served: ",
            _ => "",
        };
        (possible < connections).then(|| {
            format!(
                "{few}this process may open {max} files, which leaves room for {possible} HTTP \
                 connections, but http.connections_max is {connections}; raise the limit to at \
                 least {} (ulimit -n, LimitNOFILE=) or lower http.connections_max",
                max.saturating_add(connections - possible)
            )
        })
    }

    fn conntrack_fill(&self) -> Option<String> {
        let Conntrack { entries, entries_max } = self.conntrack?;
        (entries_max > 0 && entries >= entries_max / 5 * 4).then(|| {
            format!(
                "the firewall tracks {entries} of at most {entries_max} connections; when the table \
                 is full, packets are lost; exempt the tracker's ports from tracking (NOTRACK) or \
                 raise net.netfilter.nf_conntrack_max"
            )
        })
    }

    fn ipv6(&self) -> Option<String> {
        (!self.ipv6_missing.is_empty()).then(|| {
            format!(
                "no IPv6 for {}: clients that have only IPv6 cannot come; enable IPv6 on this \
                 host or name the addresses to listen on",
                self.ipv6_missing.join(" and ")
            )
        })
    }

    fn certificate(&self) -> Option<String> {
        let left = self.certificate_left_secs.filter(|left| *left < CERTIFICATE_LEFT_SECS)?;
        let state = match left {
            ..=0 => "has ended: browsers and clients refuse it".to_owned(),
            _ => format!("ends in {} days", left / SECS_PER_DAY),
        };
        Some(format!("the certificate of tls.certificate {state}; renew it"))
    }

    fn admin(&self) -> Option<String> {
        let address = self.admin_for_strangers.first()?;
        Some(format!(
            "the admin listener at {address} asks for no password and is not on loopback; keep \
             strangers away from it with a firewall, or change listen.admin"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Host {
        Host {
            receive_buffer_wanted_bytes: 8 << 20,
            receive_buffer_bytes: Some(8 << 20),
            receive_buffer_bytes_max: Some(8 << 20),
            open_files_max: Some(65_536),
            http_connections_max: 16_384,
            http_connections_possible: Some(16_384),
            admin_for_strangers: Vec::new(),
            conntrack: Some(Conntrack { entries: 10, entries_max: 65_536 }),
            certificate_left_secs: Some(CERTIFICATE_LEFT_SECS),
            ipv6_missing: Vec::new(),
        }
    }

    /// The one warning about a host, as its parts are changed.
    fn warning(change: impl FnOnce(&mut Host)) -> String {
        let mut host = healthy();
        change(&mut host);
        let [warning] = &*host.warnings() else { panic!("{:?}", host.warnings()) };
        warning.clone()
    }

    #[test]
    fn healthy_or_silent_host_gets_no_warning() {
        assert_eq!(healthy().warnings(), [""; 0]);
        assert_eq!(Host::default().warnings(), [""; 0]);
    }

    #[test]
    fn certificate_that_ends_soon_or_has_ended_is_told() {
        let text = warning(|host| host.certificate_left_secs = Some(2 * SECS_PER_DAY + 5));
        assert!(text.contains("ends in 2 days"), "{text}");
        let text = warning(|host| host.certificate_left_secs = Some(-1));
        assert!(text.contains("has ended"), "{text}");
    }

    #[test]
    fn small_receive_buffer_names_the_setting_and_the_remedy() {
        let text = warning(|host| {
            host.receive_buffer_bytes = Some(212_992);
            host.receive_buffer_bytes_max = Some(212_992);
        });
        assert!(text.contains("hold 212992 bytes instead of 8388608"), "{text}");
        assert!(text.contains("because net.core.rmem_max is 212992"), "{text}");
        assert!(text.ends_with("sysctl -w net.core.rmem_max=8388608"), "{text}");
    }

    #[test]
    fn few_open_files_are_compared_with_the_bound_on_connections() {
        let text = warning(|host| {
            (host.open_files_max, host.http_connections_possible) = (Some(1024), Some(900));
        });
        assert!(text.starts_with("this process may open 1024 files"), "{text}");
        assert!(text.contains("room for 900 HTTP connections, but"), "{text}");
        assert!(text.contains("http.connections_max is 16384"), "{text}");
        assert!(text.contains("at least 16508"), "{text}");
        let mut off = healthy();
        (off.open_files_max, off.http_connections_max) = (Some(64), 0);
        off.http_connections_possible = Some(0);
        assert_eq!(off.warnings(), [""; 0]);
    }

    #[test]
    fn room_for_hardly_any_connection_is_called_that() {
        let text = warning(|host| {
            (host.open_files_max, host.http_connections_possible) = (Some(64), Some(12));
        });
        assert!(text.starts_with("hardly any HTTP client can be served: "), "{text}");
    }

    #[test]
    fn admin_listener_for_strangers_is_named() {
        let text = warning(|host| host.admin_for_strangers = vec![([0, 0, 0, 0], 1338).into()]);
        assert!(
            text.starts_with("the admin listener at 0.0.0.0:1338 asks for no password"),
            "{text}"
        );
    }

    #[test]
    fn connection_table_is_warned_of_before_it_is_full() {
        let fill = |entries| Some(Conntrack { entries, entries_max: 1000 });
        let text = warning(|host| host.conntrack = fill(800));
        assert!(text.contains("800 of at most 1000"), "{text}");
        let mut host = healthy();
        host.conntrack = fill(799);
        assert_eq!(host.warnings(), [""; 0]);
    }

    #[test]
    fn front_ends_without_ipv6_are_named() {
        let text = warning(|host| host.ipv6_missing = vec!["UDP", "HTTP"]);
        assert!(text.starts_with("no IPv6 for UDP and HTTP:"), "{text}");
    }
    #[test]
    fn host_without_an_ipv6_address_has_no_ipv6() {
        let loopback = "00000000000000000000000000000001 01 80 10 80       lo\n";
        assert!(lists_an_address(Some(loopback.to_owned())));
        assert!(!lists_an_address(Some(String::new())));
        assert!(!lists_an_address(None));
    }
}
