//! What the writer writes, what the strict reader refuses, and that they and others agree.
//!
//! No reply is known here.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

#[test]
fn values_that_are_not_canonical_are_refused() {
    for (bytes, error) in [
        (&b""[..], ReadError::Truncated),
        (b"i1", ReadError::Truncated),
        (b"3:ab", ReadError::Truncated),
        (b"99999999999999999999:", ReadError::TooLarge),
        (b"l", ReadError::Truncated),
        (b"d1:a", ReadError::Truncated),
        (b"i01e", ReadError::LeadingZero),
        (b"i-0e", ReadError::LeadingZero),
        (b"i-01e", ReadError::LeadingZero),
        (b"01:a", ReadError::LeadingZero),
        (b"ie", ReadError::Unexpected),
        (b"i-e", ReadError::Unexpected),
        (b"i1.5e", ReadError::Unexpected),
        (b"x", ReadError::Unexpected),
        (b"di1ei2ee", ReadError::Unexpected),
        (b"i9223372036854775808e", ReadError::TooLarge),
        (b"d1:bi1e1:ai1ee", ReadError::UnsortedKey),
        (b"d1:ai1e1:ai1ee", ReadError::UnsortedKey),
        (b"i1ei2e", ReadError::TrailingBytes),
        (b"de\r\n", ReadError::TrailingBytes),
    ] {
        assert_eq!(read(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    assert!(read(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(read(&nested(DEPTH_MAX + 1)), Err(ReadError::TooDeep));
    assert_eq!(read(&vec![b'l'; 1 << 20]), Err(ReadError::TooDeep));
    assert_eq!(read(&b"d1:a".repeat(1 << 18)), Err(ReadError::TooDeep));
}

#[test]
fn numbers_at_the_ends_read_back() {
    assert_eq!(read(b"i-9223372036854775808e"), Ok(Value::Integer(i64::MIN)));
    assert_eq!(read(b"i9223372036854775807e"), Ok(Value::Integer(i64::MAX)));
    assert_eq!(read(b"i0e"), Ok(Value::Integer(0)));
    assert_eq!(DecimalDigits::default().of(u64::MAX), b"18446744073709551615");
}

/// A value that owns its bytes, to be made up and written.
#[derive(Clone, Debug)]
enum Made {
    Integer(u64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Dict(std::collections::BTreeMap<Vec<u8>, Self>),
}

impl Made {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Integer(value) => writer.uint(*value),
            Self::Bytes(bytes) => writer.bytes(bytes),
            Self::List(elements) => {
                writer.begin_list();
                elements.iter().for_each(|element| element.write(writer));
                writer.end();
            }
            Self::Dict(entries) => {
                writer.begin_dict();
                entries.iter().for_each(|(key, value)| value.write(writer.key(key)));
                writer.end();
            }
        }
    }

    fn equals(&self, read: &Value<'_>) -> bool {
        match (self, read) {
            (Self::Integer(made), Value::Integer(read)) => i64::try_from(*made) == Ok(*read),
            (Self::Bytes(made), Value::Bytes(read)) => made == read,
            (Self::List(made), Value::List(read)) => {
                made.len() == read.len() && made.iter().zip(read).all(|(m, r)| m.equals(r))
            }
            (Self::Dict(made), Value::Dict(read)) => {
                made.len() == read.len()
                    && made.iter().zip(read).all(|((mk, m), (rk, r))| mk == rk && m.equals(r))
                    && made.iter().all(|(key, m)| read_get(read, key, m))
            }
            _ => false,
        }
    }

    fn equals_other(&self, read: &bt_bencode::Value) -> bool {
        match (self, read) {
            (Self::Integer(made), bt_bencode::Value::Int(read)) => {
                *read == bt_bencode::value::Number::Unsigned(*made)
            }
            (Self::Bytes(made), bt_bencode::Value::ByteStr(read)) => made == read.as_slice(),
            (Self::List(made), bt_bencode::Value::List(read)) => {
                made.len() == read.len() && made.iter().zip(read).all(|(m, r)| m.equals_other(r))
            }
            (Self::Dict(made), bt_bencode::Value::Dict(read)) => {
                made.len() == read.len()
                    && made.iter().zip(read).all(|((made_key, m), (read_key, r))| {
                        made_key == read_key.as_slice() && m.equals_other(r)
                    })
            }
            _ => false,
        }
    }
}

fn read_get(read: &[(&[u8], Value<'_>)], key: &[u8], made: &Made) -> bool {
    let dict = Value::Dict(read.to_vec());
    dict.get(key).is_some_and(|value| made.equals(value))
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = prop_oneof![
        (0..=i64::MAX as u64).prop_map(Made::Integer),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Made::Bytes),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = proptest::collection::vec(any::<u8>(), 0..8);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Made::List),
            proptest::collection::btree_map(key, inner, 0..6).prop_map(Made::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_by_this_reader_and_by_another(made in made()) {
        let mut out = vec![];
        made.write(&mut Writer::new(&mut out));
        let value = read(&out).expect("the writer is canonical");
        prop_assert!(made.equals(&value));
        let other: bt_bencode::Value = bt_bencode::from_slice(&out).expect("bencode");
        prop_assert!(made.equals_other(&other));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn nothing_near_bencode_panics(text in "[dlie0-9:a-]{0,60}") {
        let _ = read(text.as_bytes());
    }
}
