//! What PostgreSQL means by its errors.
//!
//! Tells the names that a message holds and never a value.

use sqlx::postgres::PgDatabaseError;

use crate::driver::DriverError;
use crate::sql::{not_of_server, without_quoted};

/// What an error means for those who asked.
pub(super) fn meaning(error: sqlx::Error) -> DriverError {
    let sqlx::Error::Database(database) = &error else { return not_of_server(&error) };
    let Some(of) = database.try_downcast_ref::<PgDatabaseError>() else {
        return not_of_server(&error);
    };
    let (code, message) = (of.code(), of.message());
    let text = format!("{message} ({code})");
    if is_transient(code) {
        return DriverError::Unavailable(text);
    }
    match code {
        // There is another row with the key. The detail has the values, which may be passkeys.
        "23505" => {
            let key = of.constraint().unwrap_or("a key");
            DriverError::Refused(format!("another row has the same {key} ({code})"))
        }
        // Who may come in, and where to.
        "28000" | "28P01" | "3D000" => DriverError::Settings(text),
        "XX001" | "XX002" => DriverError::Damaged(text),
        _ => match &code[..code.len().min(2)] {
            // Syntax and names: a table or a column is not what it was, or may not be used.
            "42" | "3F" | "0A" => DriverError::Schema(text),
            // Values, constraints and triggers; the messages of the first repeat values.
            "22" => DriverError::Refused(format!("{} ({code})", without_quoted(message, '"'))),
            "23" | "44" | "P0" => DriverError::Refused(text),
            // Whatever it is, it is not the fault of what was to be written.
            _ => DriverError::Unavailable(text),
        },
    }
}

/// Whether it is a matter of time, or of somebody who looks after the server.
///
/// # Source
/// PostgreSQL 17 documentation, appendix A.
fn is_transient(code: &str) -> bool {
    const CODES: &[&str] = &[
        "25006", // The server is only read from, as while another one takes over.
        "25P03", // A transaction did nothing for too long.
        "40001", // Transactions do not fit together.
        "40003", // Nobody knows whether it was done.
        "40P01", // A deadlock.
        "55006", // In use.
        "55P03", // A lock did not come.
        "57014", // It took too long, or somebody stopped it.
        "57P01", // The server is being shut down,
        "57P02", // or has crashed,
        "57P03", // or is being started.
        "57P05", // The session did nothing for too long.
    ];
    // Connections; memory, disk, connections at once; disk errors.
    CODES.contains(&code) || ["08", "53", "58"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::is_transient;

    #[test]
    fn what_time_heals_is_told_from_what_it_does_not() {
        for code in ["40P01", "40001", "55P03", "57P01", "08006", "53300", "53100", "58030"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["23505", "42P01", "42703", "42501", "28P01", "22003", "XX001"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
