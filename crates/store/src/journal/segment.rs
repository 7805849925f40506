//! Reading one segment: record after record, and where reading can go on behind damage.
//!
//! It does not know which segment follows or how far the disk has confirmed what was written.

use std::io::{self, Read, Seek, SeekFrom};

use super::format::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader, Fault, LENGTH_BYTES, SEGMENT_HEADER_BYTES,
    SegmentHeader,
};

/// How much is looked through at once for a batch behind damage.
const WINDOW_BYTES: usize = 64 * 1024;

/// Why a segment cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The file could not be read.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// What was read is not what was written.
    #[error("byte {offset}, where record {position} should be: {fault}")]
    Damaged {
        /// Where the batch begins that is damaged.
        offset: u64,
        /// The record that should follow.
        position: u64,
        /// What is wrong.
        fault: Fault,
    },
}

/// The records of one segment, whose checksums are looked at before they are handed out.
#[derive(Debug)]
pub struct SegmentReader<R> {
    source: R,
    id: u64,
    /// Where the batch begins that comes next.
    offset: u64,
    /// The position of the record that comes next.
    position: u64,
    payload: Vec<u8>,
    /// Where in the payload the next record begins, and how many are left there.
    at: usize,
    left: u32,
    fault: Option<Fault>,
}

impl<R: Read + Seek> SegmentReader<R> {
    /// Reads the header of a segment; the source must be at its beginning.
    ///
    /// # Errors
    /// [`SegmentError`] if the source cannot be read or does not begin with such a header.
    pub fn open(mut source: R) -> Result<Self, SegmentError> {
        let damaged = |fault| SegmentError::Damaged { offset: 0, position: 0, fault };
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        if read_up_to(&mut source, &mut bytes)? < bytes.len() {
            return Err(damaged(Fault::SegmentHeader));
        }
        let header = SegmentHeader::decode(&bytes).map_err(damaged)?;
        Ok(Self {
            source,
            id: header.id,
            offset: SEGMENT_HEADER_BYTES as u64,
            position: header.first,
            payload: Vec::new(),
            at: 0,
            left: 0,
            fault: None,
        })
    }

    /// The id of the journal that the segment is of.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The position of the record that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where the batch begins that comes next, or that is damaged.
    ///
    /// # Units
    /// Bytes from the beginning of the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next record with its position, nothing at the end of the file.
    ///
    /// # Errors
    /// [`SegmentError`] if the file cannot be read or is damaged; it then says so each time.
    pub fn next_record(&mut self) -> Result<Option<(u64, &[u8])>, SegmentError> {
        if self.left == 0 && !self.next_batch()? {
            return Ok(None);
        }
        let start = self.at + LENGTH_BYTES;
        let end = start + record_bytes(&self.payload[self.at..]);
        let position = self.position;
        (self.at, self.left, self.position) = (end, self.left - 1, position + 1);
        Ok(Some((position, &self.payload[start..end])))
    }

    /// Goes on behind damage, at the next batch whose header stands where it was written.
    ///
    /// Returns whether there is one. Such a header is a proof that the disk had confirmed
    /// everything before it, since a batch is only written after the one before it was synced.
    ///
    /// # Cost
    /// Reads at most the rest of the file.
    /// # Errors
    /// If the file cannot be read.
    pub fn resume(&mut self) -> io::Result<bool> {
        let mut window = vec![0; WINDOW_BYTES];
        let mut start = self.offset + 1;
        loop {
            self.source.seek(SeekFrom::Start(start))?;
            let length = read_up_to(&mut self.source, &mut window)?;
            if let Some((offset, first)) = self.header_in(&window[..length], start) {
                self.source.seek(SeekFrom::Start(offset))?;
                (self.offset, self.position) = (offset, first);
                (self.left, self.fault) = (0, None);
                return Ok(true);
            }
            if length < window.len() {
                return Ok(false);
            }
            // What may be the beginning of a header is looked at once more.
            start += (length - (BATCH_HEADER_BYTES - 1)) as u64;
        }
    }

    fn header_in(&self, window: &[u8], start: u64) -> Option<(u64, u64)> {
        window.windows(BATCH_HEADER_BYTES).enumerate().find_map(|(at, bytes)| {
            if bytes[..4] != BATCH_MAGIC {
                return None;
            }
            let offset = start + at as u64;
            let header = BatchHeader::decode(bytes.try_into().ok()?, self.id, offset).ok()?;
            (header.first > self.position).then_some((offset, header.first))
        })
    }

    /// Reads and checks a batch; false at the end of the file.
    fn next_batch(&mut self) -> Result<bool, SegmentError> {
        let read = match self.fault {
            Some(fault) => Err(fault),
            None => self.read_batch()?,
        };
        read.map_err(|fault| {
            self.fault = Some(fault);
            SegmentError::Damaged { offset: self.offset, position: self.position, fault }
        })
    }

    fn read_batch(&mut self) -> io::Result<Result<bool, Fault>> {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        match read_up_to(&mut self.source, &mut bytes)? {
            0 => return Ok(Ok(false)),
            BATCH_HEADER_BYTES => {}
            _ => return Ok(Err(Fault::Truncated)),
        }
        let header = match BatchHeader::decode(&bytes, self.id, self.offset) {
            Ok(header) if header.first == self.position => header,
            Ok(_) => return Ok(Err(Fault::Order)),
            Err(fault) => return Ok(Err(fault)),
        };
        self.payload.resize(header.payload_bytes as usize, 0);
        if read_up_to(&mut self.source, &mut self.payload)? < self.payload.len() {
            return Ok(Err(Fault::Truncated));
        }
        if crc32fast::hash(&self.payload) != header.payload_checksum {
            return Ok(Err(Fault::BatchChecksum));
        }
        if !are_records(&self.payload, header.records) {
            return Ok(Err(Fault::RecordLengths));
        }
        (self.at, self.left) = (0, header.records);
        self.offset += (BATCH_HEADER_BYTES + self.payload.len()) as u64;
        Ok(Ok(true))
    }
}

/// The length of the record that begins there, which the caller knows to be there.
fn record_bytes(payload: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([payload[0], payload[1]]))
}

fn are_records(mut payload: &[u8], records: u32) -> bool {
    for _ in 0..records {
        let Some(record_bytes) = payload.get(..LENGTH_BYTES).map(record_bytes) else {
            return false;
        };
        let Some(rest) = payload.get(LENGTH_BYTES + record_bytes..) else {
            return false;
        };
        payload = rest;
    }
    payload.is_empty()
}

/// Fills the buffer as far as the source goes.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
