//! What stock clients move for users of a private tracker, and what its storage says of it then.
//!
//! How announces become sums is tested elsewhere, with clients that lie and crash; these are true.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use skep::driver::{
    Change, Conn, Driver as _, DriverSettings, InfoHash, Sqlite, Sums, Torrent as OfSite,
    TorrentId, Totals, Traffic, User, UserId,
};

use crate::client::{self, Claims, Client, Transport};
use crate::network::{self, Family, Network};
use crate::process::{Process, wait_until};
use crate::torrent::{self, Torrent};
use crate::tracker;

const SEEDER: (UserId, &str) = (UserId(1), "passkey-of-the-seeder");
const LEECHER: (UserId, &str) = (UserId(2), "passkey-of-the-leecher");

/// Of nobody.
const WRONG: &str = "passkey-of-nobody";

macro_rules! accounts {
    ($($name:ident: $client:ident by $transport:ident, $family:ident;)*) => {
        $(
            #[test]
            fn $name() {
                let test = concat!("private::", stringify!($name));
                network::inside(test, Family::$family, |network| {
                    accounts(network, Client::$client, Transport::$transport);
                });
            }
        )*
    };
}

accounts! {
    aria2_counts_by_http_over_ipv6: Aria2 by Http, Ipv6;
    libtorrent_counts_by_http_over_ipv4: Libtorrent by Http, Ipv4;
    libtorrent_counts_by_udp_over_ipv6: Libtorrent by Udp, Ipv6;
    libtorrent_counts_once_by_http_over_both: Libtorrent by Http, Both;
    libtorrent_counts_once_by_udp_over_both: Libtorrent by Udp, Both;
    transmission_counts_by_http_over_ipv4: Transmission by Http, Ipv4;
    webtorrent_counts_over_ipv4: Webtorrent by WebSocket, Ipv4;
}

/// Makes the database of a site with two users and one torrent.
fn found(network: &Network, torrent: &Torrent) -> Box<dyn Conn> {
    let data_dir = network.folder("tracker");
    let settings = DriverSettings { data_dir, migrate: true, ..DriverSettings::default() };
    let conn = Sqlite.open(&settings).unwrap();
    let user = |(id, passkey): (UserId, &str)| {
        Change::PutUser(User { id, passkey: passkey.into(), ..User::default() })
    };
    let info_hash = InfoHash(torrent.info_hash());
    let torrent = OfSite { id: TorrentId(1), info_hash, ..OfSite::default() };
    conn.change(&[user(SEEDER), user(LEECHER), Change::PutTorrent(torrent)]).unwrap();
    conn
}

fn sums(conn: &dyn Conn, (user, _): (UserId, &str)) -> Sums {
    conn.totals(Totals::User(user)).unwrap()
}

/// A client of one user, in a folder of its own.
struct Participant<'a> {
    role: &'a str,
    client: Client,
    transport: Transport,
    passkey: &'a str,
}

impl Participant<'_> {
    fn folder(&self, network: &Network) -> PathBuf {
        network.folder(&format!("{}-{:?}-{:?}", self.role, self.client, self.transport))
    }

    /// Starts it, with the file if it is to seed.
    fn start(&self, network: &Network, addresses: &[IpAddr], torrent: &Torrent) -> Process {
        let folder = self.folder(network);
        if self.role == "seeder" {
            fs::write(folder.join(torrent::NAME), torrent.data()).unwrap();
        }
        let file = torrent.file(network, self.transport, Some(self.passkey));
        self.client.start(self.role, addresses, &folder, &file)
    }

    /// Whether it has the whole file.
    fn has(&self, network: &Network, torrent: &Torrent) -> bool {
        let file = self.folder(network).join(torrent::NAME);
        fs::read(file).is_ok_and(|bytes| bytes == torrent.data())
    }
}

/// Moves a file from one user to another and compares what the clients claim with the storage.
fn accounts(network: &Network, client: Client, transport: Transport) {
    let torrent = Torrent::new();
    let conn = found(network, &torrent);
    let tracker = tracker::start_private(network);
    let participant = |role, (_, passkey)| Participant { role, client, transport, passkey };
    let [from, to] = [participant("seeder", SEEDER), participant("leecher", LEECHER)];
    let seeder = from.start(network, &network.seeder(), &torrent);
    wait_until_known(network, &tracker, &seeder, &torrent);
    let leecher = to.start(network, &network.leecher(), &torrent);
    wait_until("the leecher has the whole file", || {
        [&tracker, &seeder, &leecher].into_iter().for_each(Process::expect_running);
        to.has(network, &torrent)
    });
    // Transmission forgets what it wanted to say when it stops.
    wait_until("the storage knows that the leecher has it", || {
        [&tracker, &leecher].into_iter().for_each(Process::expect_running);
        sums(&*conn, LEECHER).completions > 0
    });
    if network.family() == Family::Both {
        expect_every_address(&seeder, &network.seeder());
        expect_every_address(&leecher, &network.leecher());
    }
    client.stop(&leecher);
    client.stop(&seeder);
    // What is in the journal goes to the storage before it ends.
    tracker.stop();
    tracker.expect_no_failure();

    let size = torrent.data().len() as u64;
    let by_seeder = client.claims(&seeder, &from.folder(network));
    let by_leecher = client.claims(&leecher, &to.folder(network));
    // In webtorrent, what was downloaded is what it has, and a file that it had is completed.
    let had = client == Client::Webtorrent;
    let counted = Claims { downloaded: 0, ..by_seeder };
    assert_eq!(by_seeder, if had { Claims { downloaded: size, ..counted } } else { counted });
    expect(&sums(&*conn, SEEDER), counted, had.into());
    expect(&sums(&*conn, LEECHER), by_leecher, 1);
    assert_eq!(by_leecher.downloaded, size);
    assert!(by_seeder.uploaded >= size, "{by_seeder:?}");
    eprintln!(
        "moved {size} bytes by {client:?} by {transport:?} over {:?}, {} counted as uploaded",
        network.family(),
        counted.uploaded,
    );
}

/// What a client shows of a refusal; libtorrent shows nothing of the text that comes by UDP.
fn refusal(client: Client, transport: Transport) -> &'static str {
    match (client, transport) {
        (Client::Libtorrent, Transport::Udp) => "tracker sent a failure message",
        _ => "Passkey not found",
    }
}

/// Waits until the tracker knows that a client has the whole file.
fn wait_until_known(network: &Network, tracker: &Process, seeder: &Process, torrent: &Torrent) {
    wait_until(&format!("the tracker knows the {}", seeder.name()), || {
        [tracker, seeder].into_iter().for_each(Process::expect_running);
        // Browsers and other clients do not meet, and are not counted together.
        seeder.said(client::SEEDS) > 0 || seeders(network, torrent) > 0
    });
}

/// How many of those that are no browsers have the whole file.
fn seeders(network: &Network, torrent: &Torrent) -> u32 {
    let swarm = tracker::scrape_of_user(network, SEEDER.1, torrent.info_hash());
    swarm.unwrap().unwrap().seeders
}

fn expect(found: &Sums, claims: Claims, completions: u64) {
    let raw = Claims { uploaded: found.raw.uploaded_bytes, downloaded: found.raw.downloaded_bytes };
    assert_eq!((raw, found.completions), (claims, completions));
    assert_eq!((found.credited, found.corrupt_bytes), (found.raw, 0));
}

/// Fails unless the tracker answered libtorrent on each of its addresses.
fn expect_every_address(client: &Process, addresses: &[IpAddr]) {
    for address in addresses {
        let socket = SocketAddr::new(*address, 6881);
        wait_until(&format!("{} is answered at {socket}", client.name()), || {
            client.said(&format!("[{socket}-v1] received peers")) > 0
        });
    }
}

#[test]
fn nobody_gets_anything_with_a_wrong_passkey() {
    let test = "private::nobody_gets_anything_with_a_wrong_passkey";
    network::inside(test, Family::Ipv4, |network| {
        let strangers = [
            (Client::Aria2, Transport::Http),
            (Client::Libtorrent, Transport::Http),
            (Client::Libtorrent, Transport::Udp),
            (Client::Transmission, Transport::Http),
        ];
        refused(network, (Client::Libtorrent, Transport::Http), WRONG, &strangers);
    });
}

#[test]
fn webtorrent_gets_nothing_with_a_wrong_passkey() {
    let test = "private::webtorrent_gets_nothing_with_a_wrong_passkey";
    network::inside(test, Family::Ipv4, |network| {
        let webtorrent = (Client::Webtorrent, Transport::WebSocket);
        refused(network, webtorrent, WRONG, &[webtorrent]);
    });
}

#[test]
fn aria2_and_transmission_send_no_passkey_by_udp() {
    let test = "private::aria2_and_transmission_send_no_passkey_by_udp";
    network::inside(test, Family::Ipv4, |network| {
        let clients = [(Client::Aria2, Transport::Udp), (Client::Transmission, Transport::Udp)];
        refused(network, (Client::Libtorrent, Transport::Udp), LEECHER.1, &clients);
    });
}

/// Lets clients announce beside a seeder who may, and fails unless they are told that they may not.
fn refused(
    network: &Network,
    (client, transport): (Client, Transport),
    passkey: &str,
    strangers: &[(Client, Transport)],
) {
    let torrent = Torrent::new();
    let conn = found(network, &torrent);
    let tracker = tracker::start_private(network);
    let seeder = Participant { role: "seeder", client, transport, passkey: SEEDER.1 };
    let process = seeder.start(network, &network.seeder(), &torrent);
    wait_until_known(network, &tracker, &process, &torrent);
    let known = seeders(network, &torrent);
    for &(client, transport) in strangers {
        for role in ["seeder", "leecher"] {
            let stranger = Participant { role, client, transport, passkey };
            let process = stranger.start(network, &network.leecher(), &torrent);
            let words = refusal(client, transport);
            wait_until(&format!("{} is refused", process.name()), || {
                process.expect_running();
                process.said(words) > 0
            });
            assert_eq!(process.said("connected by "), 0, "{}", process.name());
            assert_eq!(stranger.has(network, &torrent), role == "seeder", "{}", process.name());
            assert_eq!(seeders(network, &torrent), known, "{}", process.name());
            eprintln!("moved nothing: a {role}, {client:?} by {transport:?}, is refused");
        }
    }
    process.stop();
    tracker.stop();
    assert_eq!(sums(&*conn, SEEDER).raw, Traffic::default());
    assert_eq!(sums(&*conn, LEECHER), Sums::default());
}
