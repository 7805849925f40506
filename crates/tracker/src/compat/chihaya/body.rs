//! Records of users, torrents and peers as Chihaya writes them in JSON.
//!
//! Names of keys are read in large and small letters alike, and unknown ones are left out, as there.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use skep_engine::site::Permille;

use super::Refused;

/// What a site says of a user or of a torrent.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

/// A torrent as a site reads it.
#[derive(Debug, Serialize)]
pub(super) struct TorrentJson {
    pub(super) id: u32,
    #[serde(rename = "infohash")]
    pub(super) info_hash: String,
    pub(super) seeders: BTreeMap<String, PeerJson>,
    pub(super) leechers: BTreeMap<String, PeerJson>,
    #[serde(rename = "snatches")]
    pub(super) completions: u64,
    pub(super) up_multiplier: f64,
    pub(super) down_multiplier: f64,
    pub(super) last_action: u64,
}

/// A peer as a site reads it.
#[derive(Debug, Serialize)]
pub(super) struct PeerJson {
    pub(super) id: String,
    pub(super) user_id: u32,
    #[serde(rename = "torrent_id")]
    pub(super) torrent: u32,
    pub(super) ip: String,
    pub(super) port: u16,
    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
    pub(super) left: u64,
    pub(super) last_announce: u64,
}

impl Body {
    /// Reads an object.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refused> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(entries)) => Ok(Self(entries)),
            Ok(_) => Err(Refused::Bad("the body must be a JSON object".into())),
            Err(error) => Err(Refused::Bad(format!("the body is no JSON: {error}"))),
        }
    }

    /// A value; none if it is null.
    fn value(&self, key: &str) -> Option<&Value> {
        let named = |entry: &(&String, &Value)| entry.0.eq_ignore_ascii_case(key);
        self.0.iter().filter(named).map(|entry| entry.1).find(|value| !value.is_null())
    }

    /// The number of the record; none if it is 0 or missing.
    pub(super) fn id(&self) -> Result<Option<u32>, Refused> {
        let Some(value) = self.value("id") else {
            return Ok(None);
        };
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id
            .ok_or_else(|| Refused::Bad(format!("id must be a whole number up to {}", u32::MAX)))?;
        Ok((id != 0).then_some(id))
    }

    /// A text that must be there.
    pub(super) fn text(&self, key: &str) -> Result<&str, Refused> {
        let text = self.value(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| Refused::Bad(format!("{key} must be a text that is not empty")))
    }

    /// What a byte counts for; once if nothing is said.
    pub(super) fn multiplier(&self, key: &str) -> Result<Permille, Refused> {
        let Some(value) = self.value(key) else {
            return Ok(Permille::ONE);
        };
        let permille = value.as_f64().map(|times| (times * 1000.0).round());
        match permille {
            Some(permille) if (0.0..=f64::from(MULTIPLIER_MAX) * 1000.0).contains(&permille) => {
                Ok(Permille(permille as u32))
            }
            _ => Err(Refused::Bad(format!("{key} must be a number from 0 to {MULTIPLIER_MAX}"))),
        }
    }
}

/// What a byte counts for, as Chihaya writes it.
pub(super) fn times(permille: Permille) -> f64 {
    f64::from(permille.0) / 1000.0
}

const MULTIPLIER_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn multipliers_are_kept_in_per_mille() {
        for (written, permille) in [
            ("0", 0),
            ("0.5", 500),
            ("1", 1000),
            ("2.0", 2000),
            ("0.0004", 0),
            ("1.23456", 1235),
            ("1e3", 1_000_000),
            ("null", 1000),
        ] {
            let body = body(&format!("{{\"up_multiplier\": {written}}}"));
            assert_eq!(body.multiplier("up_multiplier"), Ok(Permille(permille)), "{written}");
        }
        assert_eq!(body("{}").multiplier("up_multiplier"), Ok(Permille::ONE));
        for wrong in ["-1", "\"1\"", "true", "1000001", "1e300"] {
            let body = body(&format!("{{\"up_multiplier\": {wrong}}}"));
            assert!(body.multiplier("up_multiplier").is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_read_in_any_letters() {
        assert_eq!(body(r#"{"Passkey": "a", "more": 1}"#).text("passkey"), Ok("a"));
        assert_eq!(body(r#"{"ID": 7}"#).id(), Ok(Some(7)));
        assert_eq!(body(r#"{"id": 0}"#).id(), Ok(None));
        assert!(body(r#"{"id": 4294967296}"#).id().is_err());
        assert!(body(r#"{"id": "7"}"#).id().is_err());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for wrong in ["", "[]", "1", "{", "{\"id\": 1} x"] {
            assert!(Body::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
