//! Many rows of one table, column by column, and what becomes of those that are there already.
//!
//! Knows no statement.

use std::borrow::Cow;

/// Rows of a table.
#[derive(Debug, Default)]
pub(crate) struct Bulk<'a> {
    /// The table, as it stands in statements.
    pub(crate) table: String,
    /// How many of the first columns tell rows apart. No two rows agree in all of them, and rows are in
    /// the order of them, so that two who write wait for each other instead of locking each other out.
    pub(crate) key: usize,
    pub(crate) columns: Vec<Column<'a>>,
}

/// The values of a column.
#[derive(Debug)]
pub(crate) struct Column<'a> {
    /// The column, as it stands in statements.
    pub(crate) name: String,
    pub(crate) merge: Merge,
    pub(crate) values: Values<'a>,
}

/// What becomes of a value that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// It is part of the key.
    Key,
    /// The new one takes its place.
    Set,
    /// It stays.
    Keep,
    /// The new one takes its place unless that is NULL.
    SetKnown,
    /// The new one is added, as far as it goes.
    Add {
        /// The greatest sum.
        max: u64,
    },
    /// The lesser of both stays.
    Least,
    /// The greater of both stays.
    Greatest,
}

/// Values of one type.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    /// Numbers; those above what a column holds become the greatest that it does.
    Numbers(Vec<Option<u64>>),
    /// 64 bits, whatever they mean.
    Bits(Vec<u64>),
    Flags(Vec<bool>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Bytes(Vec<&'a [u8]>),
}

impl Values<'_> {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Bits(values) => values.len(),
            Self::Flags(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }
}

impl Bulk<'_> {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }

    /// The names of the columns, those of the key first.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }
}
