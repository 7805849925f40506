//! Passkeys that are made for a user in one torrent, by all three transports.
//!
//! What makes them void is tested beside the site.

use hmac::{Hmac, KeyInit, Mac};
use skep_engine::ledger::keys::{KeyClaim, derive, derive_xbt};

use super::*;

const SITE_KEY: &str = "a site key of 32 characters.....";
const XBT_KEY: &str = "abcdefghijklmnopqrstuvwxyz0";

fn hmac_key(claim: &KeyClaim) -> String {
    let key = derive(claim, 0, |parts| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SITE_KEY.as_bytes()).unwrap();
        mac.update(&parts.concat());
        mac.finalize().into_bytes().into()
    });
    String::from_utf8(key.to_vec()).unwrap()
}

fn xbt_key(claim: &KeyClaim) -> String {
    let key = derive_xbt(claim, XBT_KEY.as_bytes(), |parts| {
        sha1_smol::Sha1::from(parts.concat()).digest().bytes()
    });
    String::from_utf8(key.to_vec()).unwrap()
}

fn claim(number: u8) -> KeyClaim {
    KeyClaim { user: UserId(1), version: 0, info_hash: torrent(number) }
}

#[test]
fn made_keys_open_one_torrent_by_every_way() {
    let (site_key, xbt_key_flag) =
        (format!("--keys.site_key={SITE_KEY}"), format!("--keys.xbt_private_key={XBT_KEY}"));
    let tracker = start(&[&site_key, &xbt_key_flag]);
    put(&tracker, [Change::PutTorrent(of_site(2))]);
    for way in Way::ALL {
        for key in [hmac_key(&claim(1)), xbt_key(&claim(1))] {
            way.announce(&tracker, &key, &announce(torrent(1), 6881, 5)).unwrap();
            let told = way.announce(&tracker, &key, &announce(torrent(2), 6881, 5));
            assert_eq!(told.unwrap_err(), "Passkey not found", "{way:?}");
        }
        way.announce(&tracker, "passkey-1", &announce(torrent(2), 6881, 5)).unwrap();
    }
    // The torrent of the key may be scraped, and what is wrong with an announce is told.
    let key = hmac_key(&claim(1));
    let hash = "%01".repeat(20);
    let told = |target: &str| failure(tracker.get(target).ok());
    let scrape = tracker.get(&format!("/{key}/scrape?info_hash={hash}"));
    assert!(scrape.ok().starts_with(b"d5:files"), "{scrape:?}");
    assert_eq!(told(&format!("/{key}/scrape?info_hash={}", "%02".repeat(20))), "Passkey not found");
    let other = "%02".repeat(20);
    let both = tracker.get(&format!("/{key}/scrape?info_hash={hash}&info_hash={other}"));
    let shows = |number: u8| both.ok().windows(20).any(|it| it == [number; 20]);
    assert!(shows(1) && !shows(2), "a key opens no other torrent behind its own: {both:?}");
    let target = format!("/{key}/announce?info_hash={hash}&peer_id=-TR4100-abcdefghijkl");
    assert_eq!(told(&target), "invalid port");
    assert_eq!(told(&format!("/{key}/announce?port=1")), "Passkey not found");
}

#[test]
fn plain_passkeys_count_only_where_they_are_wanted() {
    let site_key = format!("--keys.site_key={SITE_KEY}");
    let tracker = start(&["--keys.plain=false", &site_key]);
    for way in Way::ALL {
        let request = announce(torrent(1), 6881, 5);
        way.announce(&tracker, &hmac_key(&claim(1)), &request).unwrap();
        for key in ["passkey-1", &xbt_key(&claim(1))] {
            let told = way.announce(&tracker, key, &request);
            assert_eq!(told.unwrap_err(), "Passkey not found", "{way:?}");
        }
    }
}
