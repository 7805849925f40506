//! What a site calls its own tables of users and torrents, and which of their columns are used.
//!
//! Knows no database: whether the tables are there and what their columns hold is seen elsewhere.

use std::collections::BTreeMap;

use super::records::{SUMS, TORRENTS, USERS};
use crate::driver::DriverError;

/// The longest name that all databases take.
const NAME_BYTES_MAX: usize = 63;
/// A name that stands for nothing.
const NOTHING: &str = "-";
/// A flag of a site's torrents: whether a torrent is served is less than what `state` tells.
pub(super) const BANNED: &str = "banned";

/// A table of the site's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SiteTable {
    /// Its name, with the name of its schema or database before a point if it is in another one.
    pub(super) name: String,
    /// Its columns by the names that the tracker's own table has for them.
    pub(super) columns: BTreeMap<&'static str, String>,
}

/// The tables of the site's own; what is not there is in the tracker's tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) users: Option<SiteTable>,
    pub(super) torrents: Option<SiteTable>,
}

impl Names {
    /// Reads what the settings say.
    pub(super) fn new(names: &BTreeMap<String, String>) -> Result<Self, DriverError> {
        for key in names.keys() {
            let table = key.split('.').next().unwrap_or_default();
            if table != "users" && table != "torrents" {
                let text = format!(
                    "there is no name {key}; allowed are users and torrents, and columns of them such as users.passkey"
                );
                return Err(DriverError::Settings(text));
            }
        }
        Ok(Self {
            users: table(names, "users", USERS.columns, &[])?,
            torrents: table(names, "torrents", TORRENTS.columns, &[BANNED])?,
        })
    }
}

fn table(
    names: &BTreeMap<String, String>,
    key: &str,
    columns: &'static [&'static str],
    more: &[&'static str],
) -> Result<Option<SiteTable>, DriverError> {
    let known = || columns.iter().chain(SUMS).chain(more).copied();
    let mut found = BTreeMap::new();
    for (full, name) in names {
        let Some(column) = full.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        let Some(column) = known().find(|known| *known == column) else {
            let list = known().collect::<Vec<_>>().join(", ");
            let text = format!("there is no name {full}; columns of {key} are {list}");
            return Err(DriverError::Settings(text));
        };
        if name != NOTHING {
            check(full, name, 1)?;
            found.insert(column, name.clone());
        }
    }
    let Some(name) = names.get(key).filter(|name| *name != NOTHING) else {
        if let Some(column) = found.keys().next() {
            let text = format!("{key}.{column} names a column, but {key} names no table");
            return Err(DriverError::Settings(text));
        }
        return Ok(None);
    };
    check(key, name, 2)?;
    // By these rows are told apart, so that a table without them is no such table.
    for column in &columns[..2] {
        found.entry(column).or_insert_with(|| (*column).to_owned());
    }
    Ok(Some(SiteTable { name: name.clone(), columns: found }))
}

/// Lets through what is a name in every database, however it is quoted.
fn check(key: &str, name: &str, parts_max: usize) -> Result<(), DriverError> {
    let parts: Vec<_> = name.split('.').collect();
    let good = |part: &&str| {
        (1..=NAME_BYTES_MAX).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_$".contains(&byte))
    };
    if parts.len() <= parts_max && parts.iter().all(good) {
        return Ok(());
    }
    let point = if parts_max > 1 { ", and one point before which a schema stands" } else { "" };
    Err(DriverError::Settings(format!(
        "the name for {key} is not one: allowed are up to {NAME_BYTES_MAX} of A-Z a-z 0-9 _ ${point}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Result<Names, DriverError> {
        Names::new(&pairs.iter().map(|(key, name)| (key.to_string(), name.to_string())).collect())
    }

    #[test]
    fn without_names_the_tables_are_the_trackers_own() {
        assert_eq!(names(&[]).unwrap(), Names::default());
        assert_eq!(names(&[("users", "-")]).unwrap(), Names::default());
    }

    #[test]
    fn a_column_that_is_not_named_is_not_used_but_for_those_that_tell_rows_apart() {
        let of_site = names(&[
            ("users", "site.users_main"),
            ("users.passkey", "torrent_pass"),
            ("users.disabled", "-"),
            ("users.credited_uploaded_bytes", "Uploaded"),
        ]);
        let users = of_site.unwrap().users.unwrap();
        assert_eq!(users.name, "site.users_main");
        let columns: Vec<_> =
            users.columns.iter().map(|(column, name)| (*column, name.as_str())).collect();
        let expected =
            [("credited_uploaded_bytes", "Uploaded"), ("id", "id"), ("passkey", "torrent_pass")];
        assert_eq!(columns, expected);
    }

    #[test]
    fn names_that_could_be_more_than_names_are_refused() {
        let long = "a".repeat(64);
        for name in
            ["", "a b", "a;b", "a\"b", "a`b", "a'b", "a--", "a.b.c", ".a", "a.", "\u{e4}", &long]
        {
            let error = names(&[("users", name)]).unwrap_err();
            assert!(matches!(error, DriverError::Settings(_)), "{name}: {error}");
        }
        names(&[("users", "users"), ("users.id", "a.b")]).unwrap_err();
        names(&[("torrents", "Torrents_2$")]).unwrap();
    }

    #[test]
    fn a_name_for_nothing_known_is_refused_and_what_is_known_is_told() {
        let text = |pairs: &[(&str, &str)]| names(pairs).unwrap_err().to_string();
        assert!(text(&[("user", "u")]).contains("no name user;"));
        assert!(text(&[("users", "u"), ("users.pass", "p")]).contains("passkey, group_id"));
        assert!(text(&[("users.passkey", "p")]).contains("users names no table"));
    }
}
