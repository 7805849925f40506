//! Opens connections: upgrade, and a first announce of the peer without offers.
//!
//! Waits for what it does; the load itself waits for nothing.

use anyhow::{Context as _, Result, ensure};

use crate::load::answer::Wrong;
use crate::load::clock;
use crate::load::websocket::WsLoad;
use crate::load::websocket::client::Client;
use crate::load::websocket::json;
use crate::load::websocket::message::{Hash, Messages, ws_peer_id};

/// Connections that are opened at the same time.
const AT_ONCE: u32 = 64;
/// How long the tracker may take to begin to listen, and to forget the peers of an earlier run.
const START_NANOS_MAX: u64 = 20_000_000_000;
/// How long to wait before asking once more whether it does.
const START_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Opens connections and lets each join its torrent.
///
/// # Errors
/// What the system reports, and a tracker that does not answer.
pub(crate) fn open(
    load: &WsLoad,
    count: u32,
    run: u16,
    hashes: &[Hash],
    messages: &mut Messages,
) -> Result<Vec<Client>> {
    wait_for_start(load)?;
    let mut clients: Vec<Client> = Vec::with_capacity(count as usize);
    while (clients.len() as u32) < count {
        let first = clients.len() as u32;
        let more = first..count.min(first + AT_ONCE);
        for connection in more.clone() {
            let source = (connection % load.sources) as usize;
            let client = Client::begin(load.target, source)
                .with_context(|| format!("cannot open connection {connection}"))?;
            clients.push(client);
        }
        let opened = &mut clients[first as usize..];
        for (connection, client) in more.clone().zip(opened.iter_mut()) {
            client.upgrade()?;
            let hash = &hashes[load.torrent(connection) as usize];
            client.send_whole(messages.join(hash, &ws_peer_id(run, connection)))?;
        }
        for client in opened {
            client.wait_for_text(counted)?;
        }
    }
    Ok(clients)
}

/// Waits until each torrent has the peers of this run and no others.
///
/// # Errors
/// As [`open`].
pub(crate) fn settle(
    load: &WsLoad,
    run: u16,
    hashes: &[Hash],
    messages: &mut Messages,
    clients: &mut [Client],
) -> Result<()> {
    let end = clock::nanos() + START_NANOS_MAX;
    for torrent in 0..load.torrents {
        let size = u64::from(load.size(torrent));
        loop {
            // The first connections have one torrent each.
            let client = &mut clients[torrent as usize];
            let join = messages.join(&hashes[torrent as usize], &ws_peer_id(run, torrent));
            client.send_whole(join)?;
            let peers = client.wait_for_text(counted)?;
            if peers == size {
                break;
            }
            ensure!(clock::nanos() < end, "a torrent of {size} peers has {peers}");
            std::thread::sleep(START_PAUSE);
        }
    }
    Ok(())
}

fn wait_for_start(load: &WsLoad) -> Result<()> {
    let end = clock::nanos() + START_NANOS_MAX;
    loop {
        let Err(cause) = Client::begin(load.target, 0).and_then(|mut client| client.upgrade())
        else {
            return Ok(());
        };
        if clock::nanos() > end {
            return Err(cause.context(format!("no tracker answers at {}", load.target)));
        }
        std::thread::sleep(START_PAUSE);
    }
}

/// The peers that a reply counts.
fn counted(text: &[u8]) -> Result<u64, Wrong> {
    let message = json::read(text, b"-")?;
    if message.is_failure {
        return Err(Wrong::Refused);
    }
    message.counts.peers().ok_or(Wrong::Json)
}
