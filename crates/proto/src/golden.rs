//! Puts decoded requests into the words of the vector files, for the tests of every wire.
//!
//! Holds no vectors and no expectations of its own.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};

use crate::vectors::{Line, VectorFile};
use crate::{AnnounceEvent, AnnounceRequest, NumWant, PeerKey};

/// A decoded request: what kind, or which violation, and its fields.
pub(crate) struct Meaning {
    pub(crate) kind: String,
    pub(crate) fields: BTreeMap<&'static str, String>,
}

impl Meaning {
    pub(crate) fn plain(kind: impl ToString) -> Self {
        Self { kind: kind.to_string(), fields: BTreeMap::new() }
    }

    pub(crate) fn announce(announce: &AnnounceRequest) -> Self {
        let fields = BTreeMap::from([
            ("info_hash", announce.info_hash.to_string()),
            ("peer_id", announce.peer_id.to_string()),
            ("port", announce.port.to_string()),
            ("uploaded", announce.uploaded_bytes.to_string()),
            ("downloaded", announce.downloaded_bytes.to_string()),
            ("left", announce.left_bytes.map_or_else(|| "unknown".into(), |left| left.to_string())),
            ("event", event_word(announce.event).into()),
            ("num_want", num_want_word(announce.num_want)),
            ("key", key_word(announce.peer_key)),
        ]);
        Self { kind: "announce".into(), fields }
    }

    /// Compares with a `means` line; only the fields that it states must agree.
    pub(crate) fn check(&self, id: &str, line: &Line, file: &VectorFile) {
        let stated = line.rest.as_str();
        let first = stated.split(' ').next();
        if !matches!(first, Some("announce" | "answer")) {
            let stated = expand(stated, file);
            assert_eq!(self.kind, stated, "{id} in line {}", line.number);
            return;
        }
        assert_eq!(Some(self.kind.as_str()), first, "{id} in line {}", line.number);
        for word in stated.split(' ').skip(1) {
            let (key, value) = word.split_once('=').expect("a field is key=value");
            let found = self.fields.get(key).unwrap_or_else(|| panic!("no field {key}"));
            assert_eq!(*found, expand(value, file), "{id}, {key} in line {}", line.number);
        }
    }
}

/// Replaces `<name>` by hexadecimal digits.
fn expand(text: &str, file: &VectorFile) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let (name, after) = after.split_once('>').expect("the name is closed");
        expanded.push_str(before);
        for byte in file.bytes(&format!("<{name}>")) {
            expanded.push_str(&format!("{byte:02x}"));
        }
        rest = after;
    }
    expanded + rest
}

fn event_word(event: AnnounceEvent) -> &'static str {
    match event {
        AnnounceEvent::None => "none",
        AnnounceEvent::Started => "started",
        AnnounceEvent::Completed => "completed",
        AnnounceEvent::Stopped => "stopped",
        AnnounceEvent::Paused => "paused",
    }
}

fn num_want_word(num_want: NumWant) -> String {
    match num_want {
        NumWant::Default => "default".into(),
        NumWant::Count(count) => count.to_string(),
    }
}

fn key_word(key: PeerKey) -> String {
    u32::try_from(key.folded()).map_or_else(|_| "folded".into(), |key| format!("{key:08x}"))
}
