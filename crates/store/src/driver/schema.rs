//! Numbered steps that make and change the tables of a driver, and in which order they are taken.
//!
//! Runs no SQL itself: each driver knows how its database takes a step and notes it, both or neither.

use super::DriverError;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number; the first is 1, and none is left out.
    pub number: u32,
    /// What it does, in a few words.
    pub name: &'static str,
    /// The statements, each ended by a semicolon at the end of a line.
    pub sql: &'static str,
}

impl Migration {
    /// The statements one by one, without comments.
    ///
    /// For databases that take one at a time. No statement may hold `--` or end a line with a
    /// semicolon inside of it.
    pub fn statements(&self) -> impl Iterator<Item = String> {
        let lines = self.sql.lines().map(|line| line.split("--").next().unwrap_or_default());
        let text: Vec<_> = lines.map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let text = text.join("\n");
        let statements: Vec<_> =
            text.split(";\n").map(|part| part.trim_end_matches(';').trim().to_owned()).collect();
        statements.into_iter().filter(|statement| !statement.is_empty())
    }
}

/// An open database whose tables can be changed.
pub trait Migrate {
    /// The number of the last step that was taken; 0 if none was.
    ///
    /// # Errors
    /// [`DriverError`]
    fn version(&mut self) -> Result<u32, DriverError>;

    /// Takes a step and notes its number, both or neither where the database can do that, and else so
    /// that a step that was cut short can be taken again. Does nothing if the step was taken meanwhile
    /// by another process.
    ///
    /// # Errors
    /// [`DriverError`]
    fn take(&mut self, step: &Migration) -> Result<(), DriverError>;
}

/// The number of the last step.
#[must_use]
pub const fn known(steps: &[Migration]) -> u32 {
    match steps.last() {
        Some(step) => step.number,
        None => 0,
    }
}

/// Takes the steps that a database lacks, and returns how many.
///
/// # Errors
/// [`DriverError::Schema`] if the database is ahead of this version, which then changes nothing;
/// whatever a step comes to.
pub fn migrate(steps: &[Migration], database: &mut dyn Migrate) -> Result<u32, DriverError> {
    let found = database.version()?;
    refuse_newer(steps, found)?;
    let missing = steps.iter().filter(|step| step.number > found);
    let mut taken = 0;
    for step in missing {
        database.take(step)?;
        taken += 1;
    }
    Ok(taken)
}

/// Refuses tables that are not as this version knows them.
///
/// # Errors
/// [`DriverError::Schema`] if they are older or newer.
pub fn require_current(steps: &[Migration], found: u32) -> Result<(), DriverError> {
    refuse_newer(steps, found)?;
    let known = known(steps);
    if found < known {
        let found = if found == 0 { "absent".to_owned() } else { format!("version {found}") };
        return Err(DriverError::Schema(format!(
            "they are {found} and must be version {known}; run skep db migrate"
        )));
    }
    Ok(())
}

fn refuse_newer(steps: &[Migration], found: u32) -> Result<(), DriverError> {
    let known = known(steps);
    if found > known {
        return Err(DriverError::Schema(format!(
            "they are version {found}, made by a newer skep; this one knows {known} at the most"
        )));
    }
    Ok(())
}

/// The steps of MySQL and MariaDB.
#[cfg(feature = "mysql")]
pub const MYSQL: &[Migration] = &[Migration {
    number: 1,
    name: "records and sums",
    sql: include_str!("migrations/mysql/0001_records_and_sums.sql"),
}];

/// The steps of PostgreSQL.
#[cfg(feature = "postgres")]
pub const POSTGRES: &[Migration] = &[Migration {
    number: 1,
    name: "records and sums",
    sql: include_str!("migrations/postgres/0001_records_and_sums.sql"),
}];

/// The steps of SQLite.
#[cfg(feature = "sqlite")]
pub const SQLITE: &[Migration] = &[Migration {
    number: 1,
    name: "records and sums",
    sql: include_str!("migrations/sqlite/0001_records_and_sums.sql"),
}];

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Migration] = &[
        Migration { number: 1, name: "one", sql: "" },
        Migration { number: 2, name: "two", sql: "" },
        Migration { number: 3, name: "three", sql: "" },
    ];

    struct Database {
        taken: Vec<u32>,
        fails_at: u32,
    }

    impl Migrate for Database {
        fn version(&mut self) -> Result<u32, DriverError> {
            Ok(self.taken.last().copied().unwrap_or(0))
        }

        fn take(&mut self, step: &Migration) -> Result<(), DriverError> {
            if step.number == self.fails_at {
                return Err(DriverError::Unavailable("no".into()));
            }
            self.taken.push(step.number);
            Ok(())
        }
    }

    #[test]
    fn only_missing_steps_are_taken_and_in_order() {
        let mut database = Database { taken: vec![1], fails_at: 0 };
        assert_eq!(migrate(STEPS, &mut database).unwrap(), 2);
        assert_eq!(database.taken, [1, 2, 3]);
        assert_eq!(migrate(STEPS, &mut database).unwrap(), 0);
    }

    #[test]
    fn a_step_that_fails_is_the_last_one() {
        let mut database = Database { taken: vec![], fails_at: 2 };
        migrate(STEPS, &mut database).unwrap_err();
        assert_eq!(database.taken, [1]);
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let mut database = Database { taken: vec![4], fails_at: 0 };
        let error = migrate(STEPS, &mut database).unwrap_err().to_string();
        assert!(error.contains("version 4") && error.contains("knows 3"), "{error}");
        assert_eq!(database.taken, [4]);
        require_current(STEPS, 4).unwrap_err();
    }

    #[test]
    fn an_older_schema_tells_what_to_do() {
        for (found, text) in [(0, "absent"), (2, "version 2")] {
            let error = require_current(STEPS, found).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("skep db migrate"), "{error}");
        }
        require_current(STEPS, 3).unwrap();
    }

    #[test]
    fn statements_are_told_apart() {
        let step = Migration {
            number: 1,
            name: "",
            sql: "-- first; second\nCREATE a ( -- note\n  b\n);\n\nCREATE c;\n",
        };
        let statements: Vec<_> = step.statements().collect();
        assert_eq!(statements, ["CREATE a (\n  b\n)", "CREATE c"]);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn steps_are_numbered_without_gaps() {
        for (number, step) in (1..).zip(SQLITE) {
            assert_eq!(step.number, number, "{}", step.name);
        }
    }
}
