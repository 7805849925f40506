//! Segments of a journal: whatever is in them, no record comes out that was not written there.
//!
//! The format is written down a second time here, slowly, and must agree on every record, on where
//! damage begins and on where reading goes on behind it. Input is a segment as it stands, or one
//! that is made of it and then changed, since no fuzzer guesses checksums.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use skep_store::{BATCH_BYTES_MAX, SegmentError, SegmentReader};

const SEGMENT_HEADER: usize = 32;
const BATCH_HEADER: usize = 28;

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((0, segment)) => check(segment),
        Some((_, recipe)) => check(&cook(recipe)),
        None => check(input),
    }
});

fn check(segment: &[u8]) {
    let mut reader = match SegmentReader::open(Cursor::new(segment)) {
        Ok(reader) => reader,
        Err(error) => {
            assert!(matches!(error, SegmentError::Damaged { offset: 0, .. }), "{error}");
            assert!(!has_header(segment));
            return;
        }
    };
    assert!(has_header(segment));
    let id = u64_at(segment, 8);
    let (mut offset, mut position) = (SEGMENT_HEADER, u64_at(segment, 16));
    loop {
        while let Some((records, length)) = batch(segment, offset, id, position) {
            for record in records {
                let (at, bytes) = reader.next_record().unwrap().expect("a record is left");
                assert_eq!((at, bytes), (position, record));
                position += 1;
            }
            offset += length;
        }
        if offset == segment.len() {
            assert!(reader.next_record().unwrap().is_none());
            assert!(reader.next_record().unwrap().is_none());
            return;
        }
        for _ in 0..2 {
            let Err(SegmentError::Damaged { offset: o, position: p, .. }) = reader.next_record()
            else {
                panic!("byte {offset} is no batch");
            };
            assert_eq!((o, p), (offset as u64, position));
        }
        let later = (offset + 1..segment.len())
            .find_map(|at| Some((at, header(segment, at, id)?)).filter(|it| it.1 > position));
        assert_eq!(reader.resume().unwrap(), later.is_some());
        let Some((at, first)) = later else {
            return;
        };
        (offset, position) = (at, first);
        assert_eq!((reader.offset(), reader.position()), (at as u64, first));
    }
}

fn has_header(segment: &[u8]) -> bool {
    segment.len() >= SEGMENT_HEADER
        && segment[..4] == *b"SKPJ"
        && u32_at(segment, 4) == 1
        && u32_at(segment, 28) == crc32(&[&segment[..28]])
}

/// The first position of the batch whose header stands at `offset`.
fn header(segment: &[u8], offset: usize, id: u64) -> Option<u64> {
    let header = segment.get(offset..offset + BATCH_HEADER)?;
    let sum = crc32(&[&id.to_le_bytes(), &(offset as u64).to_le_bytes(), &header[8..]]);
    let (first, records) = (u64_at(header, 8), u32_at(header, 16));
    (header[..4] == *b"SKPB"
        && u32_at(header, 4) == sum
        && records > 0
        && first.checked_add(u64::from(records)).is_some()
        && u32_at(header, 20) as usize <= BATCH_BYTES_MAX)
        .then_some(first)
}

/// The records of the batch at `offset` and its length, if all of it is right.
fn batch(segment: &[u8], offset: usize, id: u64, position: u64) -> Option<(Vec<&[u8]>, usize)> {
    header(segment, offset, id).filter(|&first| first == position)?;
    let start = offset + BATCH_HEADER;
    let payload = segment.get(start..start + u32_at(segment, offset + 20) as usize)?;
    if crc32(&[payload]) != u32_at(segment, offset + 24) {
        return None;
    }
    let mut records = Vec::new();
    let mut left = payload;
    for _ in 0..u32_at(segment, offset + 16) {
        let length = usize::from(u16::from_le_bytes([*left.first()?, *left.get(1)?]));
        records.push(left.get(2..2 + length)?);
        left = &left[2 + length..];
    }
    left.is_empty().then_some((records, BATCH_HEADER + payload.len()))
}

/// Makes a segment as a recipe says: batches with right checksums, and changes to them.
fn cook(recipe: &[u8]) -> Vec<u8> {
    let mut steps = recipe.iter().copied();
    let mut next = || steps.next();
    let id = u64::from(next().unwrap_or(0)) << 56;
    let mut position = u64::from(next().unwrap_or(0)).wrapping_sub(3);
    let mut segment = b"SKPJ\x01\0\0\0".to_vec();
    segment.extend(id.to_le_bytes());
    segment.extend(position.to_le_bytes());
    segment.extend([0; 4]);
    segment.extend(crc32(&[&segment]).to_le_bytes());
    while let Some(step) = next() {
        match step % 8 {
            // A byte changes, bytes come between, the end is lost.
            5 => {
                let at = usize::from(next().unwrap_or(0)) * 7 % segment.len();
                segment[at] ^= next().unwrap_or(1);
            }
            6 => segment.extend((0..step / 8).map(|_| next().unwrap_or(0))),
            7 => segment.truncate(segment.len() - usize::from(step / 8).min(segment.len() - 1)),
            lie => {
                let mut payload = Vec::new();
                let mut records = 0u32;
                for _ in 0..step / 64 + 1 {
                    let length = u16::from(next().unwrap_or(0) % 40);
                    payload.extend(length.to_le_bytes());
                    payload.extend((0..length).map(|_| next().unwrap_or(0)));
                    records += 1;
                }
                // Right checksums over wrong words, too.
                let records = records + u32::from(lie == 1);
                let first = position.wrapping_add(u64::from(lie == 2));
                let mut words = first.to_le_bytes().to_vec();
                words.extend(records.to_le_bytes());
                words.extend((payload.len() as u32 + u32::from(lie == 3)).to_le_bytes());
                words.extend(crc32(&[&payload]).to_le_bytes());
                let offset = segment.len() as u64;
                let sum = crc32(&[&id.to_le_bytes(), &offset.to_le_bytes(), &words]);
                segment.extend(b"SKPB");
                segment.extend(sum.to_le_bytes());
                segment.extend(words);
                segment.extend(payload);
                position = position.wrapping_add(u64::from(records));
            }
        }
    }
    segment
}

/// CRC-32 as in IEEE 802.3, a bit at a time.
fn crc32(parts: &[&[u8]]) -> u32 {
    let bits = |crc: u32| (0..8).fold(crc, |crc, _| crc >> 1 ^ (crc & 1) * 0xedb8_8320);
    !parts.iter().flat_map(|part| part.iter()).fold(!0, |crc, &byte| bits(crc ^ u32::from(byte)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
