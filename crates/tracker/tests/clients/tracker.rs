//! The tracker under test, and questions to it that no client asks for us.
//!
//! What clients say of each other is not known here.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::client::number;
use crate::network::Network;
use crate::process::{Process, wait_until};

/// How long one answer may take before it is asked for again.
const ANSWER: Duration = Duration::from_millis(500);

/// First word of a connect request (BEP 15).
const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// What the tracker says of a swarm.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) seeders: u32,
    pub(crate) leechers: u32,
}

/// Starts the tracker as operators do and waits until it answers.
pub(crate) fn start(network: &Network) -> Process {
    let tracker = launch(network, &["--announce.interval_min_secs=60"]);
    wait_until("the tracker answers", || {
        tracker.expect_running();
        scrape(network, [0; 20]).is_some()
    });
    tracker
}

/// Starts it for the users and torrents of a database in its folder, where [`launch`] starts it.
pub(crate) fn start_private(network: &Network) -> Process {
    // Transmission announces at once where it is asked to, but not within this time.
    let options = ["--mode=private", "--storage.data_dir=.", "--announce.interval_min_secs=1"];
    let tracker = launch(network, &options);
    wait_until("the tracker answers", || {
        tracker.expect_running();
        scrape_of_user(network, "nobody", [0; 20]).is_ok()
    });
    tracker
}

fn launch(network: &Network, more: &[&str]) -> Process {
    let socket = network.socket();
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command
        .arg(format!("--listen.port={}", socket.port()))
        .args(["--listen.admin=off", "--listen.workers=1"])
        .arg("--announce.interval_secs=60")
        .args(more)
        .current_dir(network.folder("tracker"));
    Process::start("tracker", &mut command)
}

/// Asks over HTTP for one swarm, as a user; the text of the refusal if there is no such user.
pub(crate) fn scrape_of_user(
    network: &Network,
    passkey: &str,
    info_hash: [u8; 20],
) -> io::Result<Result<Swarm, String>> {
    let mut stream = TcpStream::connect(network.socket())?;
    stream.set_read_timeout(Some(ANSWER))?;
    let hash: String = info_hash.iter().map(|byte| format!("%{byte:02x}")).collect();
    let target = format!("/{passkey}/scrape?info_hash={hash}");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: tracker\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    if text.contains("failure reason") {
        return Ok(Err(text));
    }
    let count = |key| number(&text, key) as u32;
    Ok(Ok(Swarm { seeders: count("8:completei"), leechers: count("10:incompletei") }))
}

/// Asks over UDP for one swarm; `None` if no answer came.
pub(crate) fn scrape(network: &Network, info_hash: [u8; 20]) -> Option<Swarm> {
    ask(network, info_hash).ok()
}

fn ask(network: &Network, info_hash: [u8; 20]) -> io::Result<Swarm> {
    let socket = UdpSocket::bind((network.socket().ip(), 0))?;
    socket.connect(network.socket())?;
    socket.set_read_timeout(Some(ANSWER))?;
    let mut answer = [0; 20];

    let transaction = fastrand::u32(..).to_be_bytes();
    socket.send(&[&PROTOCOL_ID.to_be_bytes()[..], &[0; 4], &transaction].concat())?;
    assert_eq!(socket.recv(&mut answer)?, 16, "a connect reply has 16 bytes");
    assert_eq!(answer[..8], [&[0; 4], &transaction[..]].concat(), "{answer:?}");
    let connection_id = &answer[8..16];

    let scrape = [0, 0, 0, 2];
    socket.send(&[connection_id, &scrape, &transaction, &info_hash].concat())?;
    assert_eq!(socket.recv(&mut answer)?, 20, "a scrape reply of one hash has 20 bytes");
    assert_eq!(answer[..8], [scrape, transaction].concat(), "{answer:?}");
    let word = |at| u32::from_be_bytes(std::array::from_fn(|byte| answer[at + byte]));
    Ok(Swarm { seeders: word(8), leechers: word(16) })
}
