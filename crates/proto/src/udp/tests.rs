//! Golden bytes, known mistakes of other trackers, and properties of the UDP codec.
//!
//! What a tracker decides about a request is not tested here.

use core::net::IpAddr;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::golden::Meaning;
use crate::http::Target;
use crate::vectors::{Line, UDP_OPTIONS, UDP_SESSION, Vector, VectorFile};
use crate::{AnnounceEvent, ConnectionId, DecodeError, InfoHash, NumWant, TransactionId};

const TRANSACTION: TransactionId = TransactionId([0xfe, 0xdc, 0xba, 0x98]);

/// Stands in for the secret of a tracker: every address has its id.
fn id_of(ip: IpAddr) -> ConnectionId {
    let ip = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    ConnectionId((u128::from(ip) % 0xffff_fffb) as u64 + 1)
}

fn meaning_of(datagram: &[u8], proved: impl Fn(ConnectionId) -> bool) -> Meaning {
    let Some(header) = Header::read(datagram) else {
        return Meaning::plain("nothing");
    };
    if header.is_connect() {
        return Meaning::plain("connect");
    }
    if header.action == ACTION_CONNECT || !proved(header.connection_id) {
        return Meaning::plain("unproved");
    }
    let decoded = match header.action {
        ACTION_ANNOUNCE => read_announce(datagram).map(|decoded| {
            let mut collected = UrlData::new();
            url_data(decoded.options, &mut collected);
            let mut meaning = Meaning::announce(&decoded.announce);
            let target = Target::parse(collected.as_bytes());
            let passkey = target.passkey().map(|key| key.as_bytes().to_vec()).unwrap_or_default();
            meaning.fields.insert("options", decoded.options.len().to_string());
            meaning.fields.insert("passkey", String::from_utf8(passkey).expect("ASCII"));
            let collected = collected.as_bytes().to_vec();
            meaning.fields.insert("url_data", String::from_utf8(collected).expect("ASCII"));
            meaning
        }),
        ACTION_SCRAPE => read_scrape(datagram).map(|hashes| {
            let count = hashes.len();
            let words: Vec<_> = hashes.map(|hash| hash.to_string()).collect();
            assert_eq!(words.len(), count);
            Meaning::plain(format!("scrape {}", words.join(" ")))
        }),
        _ => Err(DecodeError::UnknownAction),
    };
    decoded.unwrap_or_else(Meaning::plain)
}

/// Encodes what a `says` line states.
fn packet_of(line: &Line, request: &[u8], cid: ConnectionId, file: &VectorFile) -> Vec<u8> {
    let mut out = [0; 2048];
    let transaction_id = Header::read(request).expect("an answer has a request").transaction_id;
    let (kind, rest) = line.rest.split_once(' ').unwrap_or((&line.rest, ""));
    let number = |key| line.value(key).expect("a field").parse().expect("a number");
    let len = match kind {
        "connect" => write_connect(&mut out, transaction_id, cid),
        "announce" => {
            let interval = number("interval");
            let (leechers, seeders) = (number("leechers"), number("seeders"));
            let peers = file.bytes(line.value("peers").unwrap_or_default());
            let len = write_announce_header(&mut out, transaction_id, interval, leechers, seeders);
            out[len..len + peers.len()].copy_from_slice(&peers);
            len + peers.len()
        }
        "scrape" => {
            rest.split(' ').fold(write_scrape_header(&mut out, transaction_id), |len, entry| {
                let counts: Vec<u32> =
                    entry.split('/').map(|n| n.parse().expect("a count")).collect();
                len + write_scrape_entry(&mut out[len..], counts[0], counts[1], counts[2])
            })
        }
        "error" => write_error(&mut out, transaction_id, rest),
        _ => panic!("no such answer: {line:?}"),
    };
    out[..len].to_vec()
}

fn replay(text: &str) -> usize {
    let mut file = VectorFile::read(text);
    let sessions = file.sessions.clone();
    let mut count = 0;
    for session in &sessions {
        file.set("cid:L", &id_of(file.address("L").ip()).0.to_be_bytes());
        for vector in &session.vectors {
            replay_vector(&mut file, vector);
            count += 1;
        }
    }
    count
}

fn replay_vector(file: &mut VectorFile, vector: &Vector) {
    let mut waited_secs = 0u32;
    let (mut request, mut answer) = (vec![], vec![]);
    for line in &vector.lines {
        match line.word.as_str() {
            "from" => {
                let cid = id_of(file.address(&line.rest).ip());
                file.set("cid", &cid.0.to_be_bytes());
            }
            "wait" => waited_secs += line.rest.parse::<u32>().expect("seconds"),
            "send" => request = file.bytes(&line.rest),
            "recv" => answer = file.bytes(&line.rest),
            "means" => {
                let cid = file.bytes("<cid>");
                let proved = |id: ConnectionId| id.0.to_be_bytes() == cid[..] && waited_secs <= 240;
                meaning_of(&request, proved).check(&vector.id, line, file);
            }
            "says" => {
                let cid = u64::from_be_bytes(file.bytes("<cid>").try_into().expect("eight bytes"));
                let packet = packet_of(line, &request, ConnectionId(cid), file);
                assert_eq!(packet, answer, "{} in line {}", vector.id, line.number);
            }
            "silence" | "length" | "set" | "swarm" | "peer" | "to" => {}
            word => panic!("a word that means nothing: {word}"),
        }
    }
}

#[test]
fn golden_datagrams_decode_and_encode() {
    let (sessions, options) = (replay(UDP_SESSION), replay(UDP_OPTIONS));
    std::eprintln!("vectors: {sessions} in udp/session.txt, {options} in udp/options.txt");
    assert!(sessions > 0 && options > 0);
}

fn announce_with(event: u32, ip: u32, left: u64, num_want: i32, port: u16) -> Vec<u8> {
    let mut datagram = vec![0; ANNOUNCE_REQUEST_BYTES];
    datagram[64..72].copy_from_slice(&left.to_be_bytes());
    datagram[80..84].copy_from_slice(&event.to_be_bytes());
    datagram[84..88].copy_from_slice(&ip.to_be_bytes());
    datagram[92..96].copy_from_slice(&num_want.to_be_bytes());
    datagram[96..98].copy_from_slice(&port.to_be_bytes());
    datagram
}

#[test]
fn a_header_is_read_without_its_body() {
    let header = Header::read(&[0xff; 16]).expect("sixteen bytes");
    assert_eq!(header.connection_id, ConnectionId(u64::MAX));
    assert_eq!(header.action, u32::MAX);
    assert_eq!(Header::read(&[0xff; 15]), None);
}

#[test]
fn event_four_and_undefined_events_are_no_errors() {
    let event = |event| {
        read_announce(&announce_with(event, 0, 1, -1, 1)).expect("an announce").announce.event
    };
    assert_eq!(event(4), AnnounceEvent::Paused);
    for undefined in [5, 0x0100_0000, u32::MAX] {
        assert_eq!(event(undefined), AnnounceEvent::None);
    }
}

#[test]
fn port_zero_stays_port_zero() {
    let datagram = announce_with(0, 0, 1, -1, 0);
    assert_eq!(read_announce(&datagram).expect("the engine decides").announce.port, 0);
}

#[test]
fn the_ip_field_changes_nothing_in_the_announce() {
    let (plain, spoofed) = (announce_with(2, 0, 7, 5, 9), announce_with(2, 0x0808_0808, 7, 5, 9));
    let words =
        |datagram: &[u8]| format!("{:?}", read_announce(datagram).expect("an announce").announce);
    assert_eq!(words(&plain), words(&spoofed));
}

#[test]
fn left_at_the_ends_of_64_bits_is_unknown_and_never_zero() {
    for (left, expected) in [
        (u64::MAX, None),
        (i64::MAX as u64, None),
        (u64::MAX - 1, Some(u64::MAX - 1)),
        (0, Some(0)),
    ] {
        let datagram = announce_with(0, 0, left, -1, 1);
        let decoded = read_announce(&datagram).expect("an announce");
        assert_eq!(decoded.announce.left_bytes, expected);
    }
}

#[test]
fn negative_num_want_is_the_default_and_zero_is_none() {
    let num_want = |num_want| {
        read_announce(&announce_with(0, 0, 1, num_want, 1)).expect("an announce").announce.num_want
    };
    assert_eq!(num_want(-1), NumWant::Default);
    assert_eq!(num_want(i32::MIN), NumWant::Default);
    assert_eq!(num_want(0), NumWant::Count(0));
    assert_eq!(num_want(i32::MAX), NumWant::Count(0x7fff_ffff));
}

#[test]
fn scraped_torrents_keep_their_order_and_repetitions() {
    let mut datagram = vec![0; HEADER_BYTES];
    for byte in [3, 1, 3, 2] {
        datagram.extend([byte; 20]);
    }
    let hashes: Vec<_> = read_scrape(&datagram).expect("four torrents").collect();
    assert_eq!(hashes, [3, 1, 3, 2].map(|byte| InfoHash([byte; 20])));
}

#[test]
fn a_scrape_of_74_torrents_is_read_and_its_answer_fits_one_packet() {
    let datagram = vec![7; HEADER_BYTES + 74 * 20];
    assert_eq!(read_scrape(&datagram).expect("74 torrents").len(), 74);
    let mut out = [0; IPV6_PAYLOAD_BYTES_MAX];
    let mut len = write_scrape_header(&mut out, TRANSACTION);
    for _ in 0..SCRAPE_INFO_HASHES_MAX {
        len += write_scrape_entry(&mut out[len..], 1, 2, 3);
    }
    assert_eq!(len, SCRAPE_HEADER_BYTES + SCRAPE_INFO_HASHES_MAX * SCRAPE_ENTRY_BYTES);
}

#[test]
fn numbers_above_31_bits_are_cut_because_clients_read_them_as_signed() {
    let mut out = [0; 20];
    let _ = write_announce_header(&mut out, TRANSACTION, u32::MAX, 1 << 31, i32::MAX as u32);
    assert_eq!(out[8..], [0x7f, 0xff, 0xff, 0xff].repeat(3)[..]);
    let _ = write_scrape_entry(&mut out, u32::MAX, u32::MAX, u32::MAX);
    assert_eq!(out[..12], [0x7f, 0xff, 0xff, 0xff].repeat(3)[..]);
}

#[test]
fn an_error_text_has_no_terminator_and_a_limit() {
    let mut out = [0xaa; 512];
    let len = write_error(&mut out, TRANSACTION, "invalid port");
    assert_eq!(&out[8..len], b"invalid port");
    assert_eq!(out[len], 0xaa);
    let long = "\u{e9}".repeat(150);
    let len = write_error(&mut out, TRANSACTION, &format!("x{long}"));
    assert_eq!(len, 8 + 199, "an odd limit never cuts a character");
}

#[test]
fn an_unknown_option_is_skipped_by_its_length() {
    let mut collected = UrlData::new();
    url_data(b"\x07\x03\x02\x01\x00\x02\x02ab\xff\x00\x02\x01c", &mut collected);
    assert_eq!(collected.as_bytes(), b"abc");
}

#[test]
fn url_data_has_a_limit() {
    let mut option = vec![2, 255];
    option.extend([b'x'; 255]);
    let mut collected = UrlData::new();
    url_data(&option.repeat(9), &mut collected);
    assert_eq!(collected.as_bytes(), [b'x'; URL_DATA_BYTES_MAX]);
    url_data(b"\x02\x01y", &mut collected);
    assert_eq!(collected.as_bytes(), b"y", "the room is emptied for the next announce");
}

/// Collects URL data as the standard says it, without the care for truncation.
fn encode_options(pieces: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut options = vec![];
    for (kind, data) in pieces {
        options.push(*kind);
        if *kind > 1 {
            options.push(data.len() as u8);
            options.extend(data);
        }
    }
    options
}

proptest! {
    #[test]
    fn announces_read_back(
        ids in any::<([u8; 20], [u8; 20])>(),
        amounts in any::<(u64, u64, u64)>(),
        event in 0..6u32,
        rest in any::<(u32, u32, i32, u16)>(),
        options in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let (ip, key, num_want, port) = rest;
        let mut datagram = vec![0; HEADER_BYTES];
        datagram.extend(ids.0);
        datagram.extend(ids.1);
        for amount in [amounts.0, amounts.1, amounts.2] {
            datagram.extend(amount.to_be_bytes());
        }
        for word in [event, ip, key, num_want as u32] {
            datagram.extend(word.to_be_bytes());
        }
        datagram.extend(port.to_be_bytes());
        prop_assert_eq!(read_announce(&datagram[..97]).err(), Some(DecodeError::MalformedPacket));
        datagram.extend(&options);
        let decoded = read_announce(&datagram).expect("98 bytes and more");
        let announce = decoded.announce;
        prop_assert_eq!(decoded.options, &options[..]);
        prop_assert_eq!(announce.info_hash.0, ids.0);
        prop_assert_eq!(announce.peer_id.0, ids.1);
        prop_assert_eq!(announce.downloaded_bytes, amounts.0);
        prop_assert_eq!(announce.left_bytes, crate::left_from_wire(amounts.1));
        prop_assert_eq!(announce.uploaded_bytes, amounts.2);
        prop_assert_eq!(announce.peer_key, crate::PeerKey::from_u32(key));
        prop_assert_eq!(announce.port, port);
        let wanted = u32::try_from(num_want).map_or(NumWant::Default, NumWant::Count);
        prop_assert_eq!(announce.num_want, wanted);
    }

    #[test]
    fn url_data_survives_any_split(
        pieces in proptest::collection::vec(
            (1..6u8, proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
        garbage in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut options = encode_options(&pieces);
        options.push(0);
        options.extend(garbage);
        let mut collected = UrlData::new();
        url_data(&options, &mut collected);
        let expected: Vec<u8> = pieces
            .into_iter()
            .filter(|(kind, _)| *kind == 2)
            .flat_map(|(_, data)| data)
            .collect();
        prop_assert_eq!(collected.as_bytes(), &expected[..]);
    }

    #[test]
    fn no_datagram_panics(datagram in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Header::read(&datagram);
        let _ = read_scrape(&datagram).map(Iterator::count);
        let _ = read_announce(&datagram);
        url_data(&datagram, &mut UrlData::new());
    }
}
