//! The bytes of a segment: its header, the headers of its batches, their checksums.
//!
//! It opens no file and knows no thread; `docs/internals/journal.md` shows the same in tables.

/// The longest record.
///
/// # Units
/// Bytes; the length of a record is kept in 16 bits.
pub const RECORD_BYTES_MAX: usize = u16::MAX as usize;

/// The most that one batch holds of records and their lengths.
///
/// # Units
/// Bytes, without the header of the batch.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

pub(super) const SEGMENT_HEADER_BYTES: usize = 32;
pub(super) const BATCH_HEADER_BYTES: usize = 28;
pub(super) const BATCH_MAGIC: [u8; 4] = *b"SKPB";
pub(super) const LENGTH_BYTES: usize = 2;

const SEGMENT_MAGIC: [u8; 4] = *b"SKPJ";
const VERSION: u32 = 1;

const _: () = assert!(LENGTH_BYTES + RECORD_BYTES_MAX <= BATCH_BYTES_MAX);

/// What is wrong with the bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file does not begin with the header of a segment.
    #[error("no header of a segment, or one with a wrong checksum")]
    SegmentHeader,
    /// The segment was written by another version.
    #[error("format version {0}, only 1 is known")]
    Version(u32),
    /// The segment belongs to another journal, or its name tells another position.
    #[error("a segment of another journal or of another place in this one")]
    Stranger,
    /// The file ends within a batch, or before the record that must follow.
    #[error("the file ends too early")]
    Truncated,
    /// A batch begins with something else than its header.
    #[error("no header of a batch, or one with a wrong checksum")]
    BatchHeader,
    /// The records of a batch are not those that were written.
    #[error("the records of a batch have a wrong checksum")]
    BatchChecksum,
    /// The records of a batch do not fill it.
    #[error("the lengths of the records do not add up to their batch")]
    RecordLengths,
    /// A batch begins with another position than the one that follows.
    #[error("a batch that does not follow the one before it")]
    Order,
}

/// The beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) id: u64,
    /// Position of the first record.
    pub(super) first: u64,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&SEGMENT_MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..28]);
        bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, Fault> {
        if bytes[0..4] != SEGMENT_MAGIC || crc32fast::hash(&bytes[..28]) != u32_at(bytes, 28) {
            return Err(Fault::SegmentHeader);
        }
        match u32_at(bytes, 4) {
            VERSION => Ok(Self { id: u64_at(bytes, 8), first: u64_at(bytes, 16) }),
            other => Err(Fault::Version(other)),
        }
    }
}

/// The beginning of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// Position of the first record.
    pub(super) first: u64,
    pub(super) records: u32,
    pub(super) payload_bytes: u32,
    pub(super) payload_checksum: u32,
}

impl BatchHeader {
    /// The header as it stands at `offset` of a segment of journal `id`, and nowhere else.
    pub(super) fn encode(self, id: u64, offset: u64) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&BATCH_MAGIC);
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.records.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload_checksum.to_le_bytes());
        let checksum = header_checksum(&bytes, id, offset);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(
        bytes: &[u8; BATCH_HEADER_BYTES],
        id: u64,
        offset: u64,
    ) -> Result<Self, Fault> {
        let checked =
            bytes[0..4] == BATCH_MAGIC && u32_at(bytes, 4) == header_checksum(bytes, id, offset);
        let header = Self {
            first: u64_at(bytes, 8),
            records: u32_at(bytes, 16),
            payload_bytes: u32_at(bytes, 20),
            payload_checksum: u32_at(bytes, 24),
        };
        let sound = header.records > 0
            && header.payload_bytes as usize <= BATCH_BYTES_MAX
            && header.first.checked_add(u64::from(header.records)).is_some();
        if checked && sound { Ok(header) } else { Err(Fault::BatchHeader) }
    }
}

fn header_checksum(bytes: &[u8; BATCH_HEADER_BYTES], id: u64, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&bytes[8..]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Records on their way to the disk, in the form in which they will lie there.
#[derive(Debug)]
pub(super) struct Batch {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    pub(super) first: u64,
    pub(super) records: u32,
}

impl Batch {
    /// Begins a batch in a buffer that may have served before.
    pub(super) fn new(first: u64, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(BATCH_HEADER_BYTES, 0);
        Self { bytes, first, records: 0 }
    }

    /// Tells whether a record of that length still fits.
    pub(super) fn has_room(&self, record_bytes: usize) -> bool {
        self.payload().len() + LENGTH_BYTES + record_bytes <= BATCH_BYTES_MAX
    }

    /// Adds a record that fits.
    pub(super) fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(&(record.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.records += 1;
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[BATCH_HEADER_BYTES..]
    }

    /// The position behind the last record.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.records)
    }

    /// The whole batch with its header, made for its place.
    pub(super) fn seal(&mut self, id: u64, offset: u64) -> &[u8] {
        let header = BatchHeader {
            first: self.first,
            records: self.records,
            payload_bytes: self.payload().len() as u32,
            payload_checksum: crc32fast::hash(self.payload()),
        };
        self.bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(id, offset));
        &self.bytes
    }

    /// The buffer, for another batch.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}
