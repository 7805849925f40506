//! Records of the journal: any bytes are refused or are exactly what their record is written as.
//!
//! Checksums keep such bytes out as long as disks do what they should; the decoder does not rely on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_store::driver::Record;
use skep_store::{ENCODED_BYTES_MAX, RecordError};

fuzz_target!(|input: &[u8]| {
    match Record::decode(input) {
        Ok(record) => {
            assert!(input.len() <= ENCODED_BYTES_MAX);
            assert_eq!(&*record.encode(), input);
        }
        Err(RecordError::Version(version)) => assert_eq!(version, input[0]),
        Err(RecordError::TooLong(bytes)) => {
            // Flags are looked at last, so they may still mean nothing.
            let cut = Record::decode(&input[..input.len() - bytes]);
            assert!(matches!(cut, Ok(_) | Err(RecordError::Flags)), "{cut:?}");
        }
        Err(RecordError::Truncated) => assert!(input.len() < ENCODED_BYTES_MAX),
        Err(_) => {}
    }
});
