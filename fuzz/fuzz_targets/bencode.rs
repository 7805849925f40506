//! Bencode: what the strict reader accepts is canonical, and it accepts whatever our writer writes.
//!
//! The input is read as it stands, and then as the material of an answer.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use skep_proto::bencode::{self, Value};
use skep_proto::http::{self, AnnounceReply, Failure, PeerList, RetryIn, ScrapeEntry};
use skep_proto::{InfoHash, PeerId};

/// What an answer is made of.
#[derive(Arbitrary, Debug)]
struct Material {
    counts: [u32; 5],
    external_ip: Option<std::net::IpAddr>,
    warning: Option<String>,
    compact: bool,
    ipv6: bool,
    ids: bool,
    peers4: Vec<[u8; 6]>,
    peers6: Vec<[u8; 18]>,
    torrents: Vec<Torrent>,
    flags: Option<u32>,
    retry_in: Option<Option<u32>>,
}

/// One torrent of a scrape.
#[derive(Arbitrary, Debug)]
struct Torrent {
    info_hash: [u8; 20],
    counts: [u32; 3],
    name: Option<Vec<u8>>,
}

fuzz_target!(|input: &[u8]| {
    if let Ok(value) = bencode::read(input) {
        let mut written = Vec::new();
        write(&value, &mut written);
        assert_eq!(written, input, "not canonical, and read all the same");
    }
    if let Ok(material) = Material::arbitrary(&mut Unstructured::new(input)) {
        answers(&material);
    }
});

fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    let bytes = |bytes: &[u8], out: &mut Vec<u8>| {
        out.extend(format!("{}:", bytes.len()).bytes());
        out.extend(bytes);
    };
    match value {
        Value::Integer(number) => out.extend(format!("i{number}e").bytes()),
        Value::Bytes(text) => bytes(text, out),
        Value::List(elements) => {
            out.push(b'l');
            elements.iter().for_each(|element| write(element, out));
            out.push(b'e');
        }
        Value::Dict(entries) => {
            out.push(b'd');
            for (key, value) in entries {
                bytes(key, out);
                write(value, out);
            }
            out.push(b'e');
        }
    }
}

fn answers(material: &Material) {
    let [seeders, completions, leechers, interval_secs, interval_min_secs] = material.counts;
    let ids = |count: usize| vec![PeerId([7; 20]); if material.ids { count } else { 0 }];
    let (ipv4_ids, ipv6_ids) = (ids(material.peers4.len()), ids(material.peers6.len()));
    let reply = AnnounceReply {
        seeders,
        completions,
        leechers,
        interval_secs,
        interval_min_secs,
        external_ip: material.external_ip,
        warning: material.warning.as_deref(),
        compact: material.compact,
        requester_ipv6: material.ipv6,
        peers: PeerList {
            ipv4: material.peers4.as_flattened(),
            ipv6: material.peers6.as_flattened(),
            ipv4_ids: &ipv4_ids,
            ipv6_ids: &ipv6_ids,
        },
    };
    let body = read_back(|out| http::write_announce(out, &reply));
    let value = bencode::read(&body).expect("canonical bencode");
    assert_eq!(number(&value, b"complete"), seeders);
    assert_eq!(number(&value, b"incomplete"), leechers);
    let peers = value.get(b"peers").expect("`peers` is always there");
    match peers.as_bytes() {
        Some(packed) => assert_eq!(packed, reply.peers.ipv4),
        None => {
            let listed = peers.as_list().expect("a list").len();
            assert_eq!(listed, material.peers4.len() + material.peers6.len());
        }
    }
    let mut entries: Vec<_> = material
        .torrents
        .iter()
        .map(|torrent| ScrapeEntry {
            info_hash: InfoHash(torrent.info_hash),
            seeders: torrent.counts[0],
            completions: torrent.counts[1],
            downloaders: material.ids.then_some(torrent.counts[2]),
            leechers: torrent.counts[2],
            name: torrent.name.as_deref(),
        })
        .collect();
    read_back(|out| http::write_scrape(out, &mut entries, material.flags));
    let failure = Failure {
        interval_secs: material.flags,
        retry_in: material.retry_in.map(|minutes| match minutes {
            Some(minutes) => RetryIn::Minutes(minutes),
            None => RetryIn::Never,
        }),
        ..Failure::new(material.warning.as_deref().unwrap_or_default())
    };
    read_back(|out| http::write_failure(out, &failure));
}

fn read_back(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    write(&mut body);
    if let Err(error) = bencode::read(&body) {
        panic!("{error}: {}", body.escape_ascii());
    }
    body
}

fn number(value: &Value<'_>, key: &[u8]) -> u32 {
    let number = value.get(key).and_then(Value::as_integer);
    u32::try_from(number.expect("a number")).expect("a count")
}
