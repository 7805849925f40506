//! The file that moves and its torrent files, one for each transport and passkey.
//!
//! Made without the tracker's own code, which must not be asked whether it is right.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::client::Transport;
use crate::network::Network;

/// The file's name.
pub(crate) const NAME: &str = "payload.bin";

const LENGTH: usize = 2 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// A file of random bytes and its info dictionary.
pub(crate) struct Torrent {
    data: Vec<u8>,
    info: Vec<u8>,
    info_hash: [u8; 20],
}

impl Torrent {
    pub(crate) fn new() -> Self {
        let data: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(LENGTH).collect();
        let hashes: Vec<u8> = data.chunks(PIECE_BYTES).flat_map(sha1).collect();
        let head = format!(
            "d6:lengthi{LENGTH}e4:name{}:{NAME}12:piece lengthi{PIECE_BYTES}e6:pieces{}:",
            NAME.len(),
            hashes.len()
        );
        // Private: clients then ask nobody but the tracker (BEP 27).
        let info = [head.as_bytes(), &hashes, b"7:privatei1ee"].concat();
        let info_hash = sha1(&info);
        Self { data, info, info_hash }
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(crate) fn info_hash(&self) -> [u8; 20] {
        self.info_hash
    }

    /// Writes the torrent file that names the tracker by this transport, for the user of a passkey
    /// if there are users.
    pub(crate) fn file(
        &self,
        network: &Network,
        transport: Transport,
        passkey: Option<&str>,
    ) -> PathBuf {
        let url = network.announce_url(transport, passkey);
        let head = format!("d8:announce{}:{url}4:info", url.len());
        let name = format!("{transport:?}{}.torrent", passkey.unwrap_or_default());
        let path = network.folder("torrents").join(name);
        fs::write(&path, [head.as_bytes(), &self.info, b"e"].concat()).unwrap();
        path
    }
}

/// SHA-1 as coreutils computes it.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut child = Command::new("sha1sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha1sum, of the Debian package coreutils, starts");
    child.stdin.take().expect("piped above").write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let digits = str::from_utf8(&output.stdout).unwrap().get(..40).expect("40 digits come first");
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
