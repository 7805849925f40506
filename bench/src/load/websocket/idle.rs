//! What connections cost that do nothing: opened, one announce each, then silence.
//!
//! Memory of the tracker's process only; the kernel's for its sockets is not in it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::load::clock;
use crate::load::process::resident_bytes;
use crate::load::websocket::frame::{Frame, split};
use crate::load::websocket::message::{Hash, Messages};
use crate::load::websocket::{WsLoad, open};

/// Connections before the first look, after which no buffer is new to the tracker.
const FIRST: u32 = 256;
/// Room for what comes over one connection.
const ROOM_BYTES: usize = 1 << 16;

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub(crate) connections: u32,
    /// By which the tracker grew.
    pub(crate) grown_bytes: u64,
    /// Of the tracker in the end.
    pub(crate) resident_bytes: u64,
}

impl Idle {
    /// What one connection takes.
    pub(crate) fn bytes(&self) -> f64 {
        self.grown_bytes as f64 / f64::from(self.connections)
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "idle         {:>12} connections: {:.0} bytes each, {:.1} MiB of {:.1} MiB resident",
            self.connections,
            self.bytes(),
            mib(self.grown_bytes),
            mib(self.resident_bytes)
        )
    }
}

/// Opens connections, waits, and looks how the tracker has grown.
///
/// # Errors
/// What the system reports, and a tracker that does not answer or ends a connection.
pub(crate) fn idle(load: &WsLoad, quiet_secs: f64) -> Result<Idle> {
    let process = load.server.context("memory is that of a process: --server-pid")?;
    let run = (clock::nanos() >> 10) as u16 ^ std::process::id() as u16;
    let hashes: Vec<Hash> = (0..load.torrents).map(Hash::of).collect();
    let mut messages = Messages::new(0);
    let first = WsLoad { connections: FIRST, ..*load };
    let held = open::open(&first, FIRST, run ^ 1, &hashes, &mut messages)?;
    std::thread::sleep(Duration::from_secs_f64(quiet_secs));
    let before = resident_bytes(process)?;
    let mut clients = open::open(load, load.connections, run, &hashes, &mut messages)?;
    std::thread::sleep(Duration::from_secs_f64(quiet_secs));
    let resident_bytes = resident_bytes(process)?;
    let mut room = vec![0; ROOM_BYTES];
    for client in &mut clients {
        client.stop_waiting()?;
        let received = client.receive(&mut room).context("the tracker ended a connection")?;
        let closes = matches!(split(&room[..received]), Ok(Some((Frame::Close, _))));
        ensure!(!closes, "the tracker closed a connection");
    }
    drop(held);
    Ok(Idle {
        connections: load.connections,
        grown_bytes: resident_bytes.saturating_sub(before),
        resident_bytes,
    })
}
