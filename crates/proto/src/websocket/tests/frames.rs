//! Frames, one by one: what is read, what is refused and with which code, what is written.
//!
//! What stands in a message does not matter here.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::{MASK, masked, unmasked};
use crate::websocket::read::unmask;
use crate::websocket::*;

const MESSAGE_MAX: usize = 100_000;

/// What a client's bytes bring, until they end or are refused.
fn events(mut input: Vec<u8>) -> (Vec<String>, Option<ReadError>) {
    let (mut reader, mut seen) = (Reader::default(), vec![]);
    let mut at = 0;
    loop {
        match reader.next(&mut input[at..], MESSAGE_MAX) {
            Ok(Step::Frame { consumed, event }) => {
                seen.push(std::format!("{event:?}"));
                at += consumed;
            }
            Ok(Step::Partial { .. }) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

fn refusal(input: Vec<u8>) -> Option<ReadError> {
    events(input).1
}

/// # Source
/// RFC 6455, section 5.7, has the bytes.
#[test]
fn samples_of_the_standard_are_read_and_written() {
    let hello = vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(hello, masked(0x81, b"Hello"));
    assert_eq!(events(hello), (vec!["Message(\"Hello\")".to_string()], None));
    let pong = vec![0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(events(pong), (vec!["Pong".to_string()], None));
    let mut out = vec![];
    write_text(&mut out, b"Hello");
    write_ping(&mut out, b"Hello");
    assert_eq!(out, b"\x81\x05Hello\x89\x05Hello");
}

#[test]
fn texts_of_every_length_are_written_with_the_shortest_header() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let text = vec![b'x'; len];
        let mut out = b"before".to_vec();
        write_text(&mut out, &text);
        assert_eq!(out[..6], *b"before", "{len}");
        assert_eq!(out[6..], unmasked(0x81, &text), "{len}");
    }
}

#[test]
fn control_frames_are_cut_to_what_fits() {
    let long = "\u{e9}".repeat(100);
    let mut out = vec![];
    write_pong(&mut out, long.as_bytes());
    assert_eq!(out, unmasked(0x8a, &long.as_bytes()[..125]));
    out.clear();
    write_close(&mut out, close_code::POLICY_VIOLATION, &long);
    // A code of two bytes, and no half of a letter.
    assert_eq!(out[..4], [0x88, 124, 0x03, 0xf0]);
    assert_eq!(out[4..], long.as_bytes()[..122]);
}

#[test]
fn messages_of_every_length_are_read_at_every_cut() {
    for len in [0, 1, 7, 8, 9, 125, 126, 200, 65_535, 65_536] {
        let text: String = ('a'..='z').cycle().take(len).collect();
        let frame = masked(0x81, text.as_bytes());
        let mut reader = Reader::default();
        for have in [0, 1, 2, 3, 4, 6, 9, 13, frame.len() - 1] {
            let have = have.min(frame.len() - 1);
            let mut input = frame[..have].to_vec();
            let step = reader.next(&mut input, MESSAGE_MAX);
            let Ok(Step::Partial { wanted_bytes }) = step else {
                panic!("{step:?} with {have} of {} bytes", frame.len());
            };
            assert!(have < wanted_bytes && wanted_bytes <= frame.len());
        }
        let mut longer = [&frame[..], b"next"].concat();
        let expected = Step::Frame { consumed: frame.len(), event: Event::Message(&text) };
        assert_eq!(reader.next(&mut longer, MESSAGE_MAX), Ok(expected));
    }
}

#[test]
fn fragments_become_one_message_with_control_frames_between() {
    let frames = [
        masked(0x01, b"ab"),
        masked(0x89, b"are you there"),
        masked(0x00, b""),
        masked(0x80, b"cd"),
        masked(0x82, b"binary"),
        masked(0x88, b"\x03\xe8bye"),
    ];
    let expected = [
        "Fragment",
        "Ping([97, 114, 101, 32, 121, 111, 117, 32, 116, 104, 101, 114, 101])",
        "Fragment",
        "Message(\"abcd\")",
        "Message(\"binary\")",
        "Close(Some(1000))",
    ];
    assert_eq!(events(frames.concat()), (expected.map(String::from).to_vec(), None));
}

#[test]
fn a_letter_may_be_cut_by_fragments_but_not_by_the_end() {
    let letter = "\u{1f600}".as_bytes();
    let whole = [masked(0x01, &letter[..2]), masked(0x80, &letter[2..])].concat();
    assert_eq!(events(whole).0[1], "Message(\"\u{1f600}\")");
    let cut = [masked(0x01, &letter[..2]), masked(0x80, &letter[2..3])].concat();
    assert_eq!(refusal(cut), Some(ReadError::InvalidUtf8));
}

#[test]
fn reader_between_messages_holds_no_heap() {
    let mut input = [masked(0x01, b"ab"), masked(0x80, b"cd")].concat();
    let mut reader = Reader::default();
    let Ok(Step::Frame { consumed, event: Event::Fragment }) = reader.next(&mut input, 4) else {
        panic!("a fragment");
    };
    assert!(reader.is_within_message());
    let expected = Step::Frame { consumed: input.len() - consumed, event: Event::Message("abcd") };
    assert_eq!(reader.next(&mut input[consumed..], 4), Ok(expected));
    assert!(!reader.is_within_message());
    assert_eq!(reader.next(&mut [], 4), Ok(Step::Partial { wanted_bytes: 2 }));
    assert_eq!(reader.held_bytes(), 0);
}

#[test]
fn headers_that_the_standard_forbids_are_refused() {
    let forbidden = [
        ("no mask", unmasked(0x81, b"x")),
        ("a bit of an extension", masked(0xc1, b"x")),
        ("another", masked(0xa1, b"x")),
        ("a third", masked(0x91, b"x")),
        ("opcode 3", masked(0x83, b"x")),
        ("opcode 7", masked(0x87, b"x")),
        ("opcode 11", masked(0x8b, b"x")),
        ("opcode 15", masked(0x8f, b"x")),
        ("a ping in fragments", masked(0x09, b"x")),
        ("a long ping", masked(0x89, &[0; 126])),
        ("a long close", masked(0x88, &[0; 126])),
        ("a continuation of nothing", masked(0x80, b"x")),
        ("a length in two bytes that fits one", vec![0x81, 0xfe, 0, 125]),
        (
            "a length in eight bytes that fits two",
            [&[0x81, 0xff][..], &[0, 0, 0, 0, 0, 0, 0xff, 0xff]].concat(),
        ),
        (
            "a length with the highest bit",
            [&[0x81, 0xff][..], &[0x80, 0, 0, 0, 0, 0, 0, 0]].concat(),
        ),
        ("a message within another", [masked(0x01, b"a"), masked(0x81, b"b")].concat()),
        ("a close frame of one byte", masked(0x88, b"\x03")),
        ("a close code that is never sent", masked(0x88, b"\x03\xed")),
        ("a close code below all", masked(0x88, b"\x03\xe7")),
        ("a close code above all", masked(0x88, b"\x13\x88")),
    ];
    for (what, input) in forbidden {
        assert_eq!(refusal(input), Some(ReadError::Protocol), "{what}");
    }
    assert_eq!(ReadError::Protocol.close_code(), 1002);
}

#[test]
fn what_is_no_text_is_refused() {
    for first in [0x81, 0x82] {
        assert_eq!(refusal(masked(first, b"\xff")), Some(ReadError::InvalidUtf8));
        assert_eq!(refusal(masked(first, b"\xed\xa0\x80")), Some(ReadError::InvalidUtf8));
    }
    assert_eq!(refusal(masked(0x88, b"\x03\xe8\xff")), Some(ReadError::InvalidUtf8));
    assert_eq!(ReadError::InvalidUtf8.close_code(), 1007);
}

#[test]
fn long_messages_are_refused_with_their_header() {
    let max = 131_072;
    let wanted_of = |len: usize, have: usize| {
        let mut header = masked(0x81, &vec![0; len])[..have].to_vec();
        match Reader::default().next(&mut header, max) {
            Ok(Step::Partial { wanted_bytes }) => Ok(wanted_bytes),
            Ok(step) => panic!("{step:?}"),
            Err(error) => Err(error),
        }
    };
    assert_eq!(wanted_of(max, 14), Ok(max + 14));
    // The header ends with its mask.
    assert_eq!(wanted_of(max + 1, 10), Ok(14));
    assert_eq!(wanted_of(max + 1, 14), Err(ReadError::TooBig));
    let endless = [&[0x81, 0xff, 0x7f][..], &[0xff; 7], &MASK].concat();
    assert_eq!(refusal(endless), Some(ReadError::TooBig));
    let full = masked(0x01, &vec![b'x'; MESSAGE_MAX]);
    let more = [&full[..], &masked(0x80, b"y")].concat();
    assert_eq!(refusal(more), Some(ReadError::TooBig));
    // A control frame in between is no part of the message.
    let ping = [&full[..], &masked(0x89, b"y"), &masked(0x80, b"")].concat();
    assert_eq!(refusal(ping), None);
    assert_eq!(ReadError::TooBig.close_code(), 1009);
}

#[test]
fn close_frames_may_be_empty() {
    assert_eq!(events(masked(0x88, b"")), (vec!["Close(None)".to_string()], None));
    for code in [1000, 1003, 1007, 1014, 3000, 4999u16] {
        let (seen, refused) = events(masked(0x88, &code.to_be_bytes()));
        assert_eq!((seen, refused), (vec![std::format!("Close(Some({code}))")], None));
    }
}

#[test]
fn masks_come_off_at_every_length() {
    for len in 0..40 {
        let plain: Vec<u8> = (0..len).collect();
        let mut payload = plain.clone();
        unmask(&mut payload, MASK);
        let expected = plain.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        assert!(expected.eq(payload.iter().copied()), "{len}");
        unmask(&mut payload, MASK);
        assert_eq!(payload, plain);
    }
}
