//! The list of storages that the configuration may name.
//!
//! Nothing registers itself: a driver is here or it is handed to the tracker by a program that is built
//! on it. What a driver does is not known here.

use super::Driver;

/// Whether a storage can be used, and how it is opened.
#[derive(Clone, Copy)]
pub enum Make {
    /// By opening nothing.
    Nothing,
    /// By this driver.
    Driver(&'static dyn Driver),
    /// Not in this build: its feature is off.
    Absent,
}

impl std::fmt::Debug for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Driver(_) => "Driver",
            Self::Absent => "Absent",
        })
    }
}

/// A storage that the configuration may name.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The word for `storage.driver`.
    pub name: &'static str,
    /// The cargo feature that it needs; empty for none.
    pub feature: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// What `storage.url` looks like, as Markdown; empty if it has no meaning.
    pub url: &'static str,
    /// What opens it.
    pub make: Make,
}

#[cfg(feature = "sqlite")]
const SQLITE: Make = Make::Driver(&crate::sqlite::Sqlite);
#[cfg(not(feature = "sqlite"))]
const SQLITE: Make = Make::Absent;

#[cfg(feature = "mysql")]
const MYSQL: Make = Make::Driver(&crate::mysql::Mysql);
#[cfg(not(feature = "mysql"))]
const MYSQL: Make = Make::Absent;

#[cfg(feature = "postgres")]
const POSTGRES: Make = Make::Driver(&crate::postgres::Postgres);
#[cfg(not(feature = "postgres"))]
const POSTGRES: Make = Make::Absent;
#[cfg(feature = "webhook")]
const WEBHOOK: Make = Make::Driver(&crate::webhook::Webhook::new());
#[cfg(not(feature = "webhook"))]
const WEBHOOK: Make = Make::Absent;

/// All storages, by name.
pub const DRIVERS: &[Row] = &[
    Row {
        name: "mysql",
        feature: "mysql",
        doc: "A MySQL or MariaDB server.",
        url: "`mysql://user:password@host:3306/database`",
        make: MYSQL,
    },
    Row {
        name: "none",
        feature: "",
        doc: "No storage: what the API changes is forgotten at the end, and nothing is added up.",
        url: "",
        make: Make::Nothing,
    },
    Row {
        name: "postgres",
        feature: "postgres",
        doc: "A PostgreSQL server.",
        url: "`postgres://user:password@host:5432/database`",
        make: POSTGRES,
    },
    Row {
        name: "sqlite",
        feature: "sqlite",
        doc: "A file of the tracker's own; nothing to install.",
        url: "empty for `skep.db` in `data_dir`, or a path, also as `sqlite:path`",
        make: SQLITE,
    },
    Row {
        name: "webhook",
        feature: "webhook",
        doc: "The site's own program, to which deltas are sent over HTTP.",
        url: "`https://token@host/path`, or with `name:password@`",
        make: WEBHOOK,
    },
];

/// Finds a storage by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    DRIVERS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(DRIVERS.is_sorted_by(|one, other| one.name < other.name));
    }

    #[test]
    fn each_driver_goes_by_the_name_of_its_row() {
        for row in DRIVERS {
            if let Make::Driver(driver) = row.make {
                assert_eq!(driver.name(), row.name);
            }
            assert!(row.doc.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn a_driver_is_found_by_its_whole_name() {
        assert_eq!(find("sqlite").unwrap().name, "sqlite");
        assert!(find("sqlit").is_none() && find("").is_none());
    }
}
