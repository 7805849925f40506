//! What MySQL and MariaDB mean by their errors.
//!
//! Tells the names that a message holds and never a value.

use sqlx::mysql::MySqlDatabaseError;

use crate::driver::DriverError;
use crate::sql::{not_of_server, without_quoted};

/// What an error means for those who asked.
pub(super) fn meaning(error: sqlx::Error) -> DriverError {
    let sqlx::Error::Database(database) = &error else { return not_of_server(&error) };
    let Some(of) = database.try_downcast_ref::<MySqlDatabaseError>() else {
        return not_of_server(&error);
    };
    let number = of.number();
    let text = format!("{} ({number})", of.message());
    if TRANSIENT.contains(&number) {
        return DriverError::Unavailable(text);
    }
    match number {
        _ if ENTRY.contains(&number) => DriverError::Settings(text),
        _ if NAMES.contains(&number) => DriverError::Schema(text),
        // There is another row with the key. The message begins with the value and ends with the key.
        1062 | 1586 => {
            let key = of.message().rsplit('\'').nth(1).unwrap_or("of a key");
            DriverError::Refused(format!("another row has the same {key} ({number})"))
        }
        1034 | 1035 | 1194 | 1195 | 1712 | 1877 => DriverError::Damaged(text),
        _ => {
            // Many of them repeat values.
            let text = format!("{} ({number})", without_quoted(of.message(), '\''));
            match VALUES.contains(&number) {
                true => DriverError::Refused(text),
                // Whatever it is, it is not the fault of what was to be written.
                false => DriverError::Unavailable(text),
            }
        }
    }
}

/// What is a matter of time, or of somebody who looks after the server.
///
/// # Source
/// MariaDB, "MariaDB Error Code Reference"; MySQL 8.4 Reference Manual, "Server Error Message Reference".
const TRANSIENT: &[u16] = &[
    1020, // Somebody else changed the row meanwhile.
    1021, // The disk is full,
    1037, // or the memory,
    1038, // or the memory for sorting,
    1040, // or there are too many connections.
    1041, // No memory.
    1047, // A node of a cluster is not ready.
    1053, // The server is being shut down.
    1114, // A table is full, as when its disk is.
    1152, // The connection was broken off,
    1158, // and the same, reading
    1159, // for too long,
    1160, // writing
    1161, // for too long.
    1180, // A commit failed.
    1184, // The connection was broken off.
    1203, // The user has too many connections.
    1205, // A lock did not come.
    1206, // There are too many locks.
    1213, // A deadlock.
    1226, // The user has used up what is allowed in an hour.
    1290, // The server is only read from, as while another one takes over.
    1317, // Somebody stopped it.
    1836, // The server is only read from.
    1927, // The connection was killed.
    1969, // It took too long: MariaDB,
    3024, // MySQL.
    3101, // A cluster took it back.
    3572, // A lock did not come at once.
    4031, // The connection did nothing for too long.
];

/// Who may come in, and where to.
const ENTRY: &[u16] = &[1044, 1045, 1049, 1129, 1130, 1251, 1275, 1524, 1698, 1862, 3118, 4151];

/// Names and rights: a table or a column is not what it was, or may not be used.
const NAMES: &[u16] =
    &[1051, 1054, 1064, 1109, 1142, 1143, 1146, 1227, 1356, 1364, 1370, 1471, 1932, 1665];

/// Values, constraints and triggers.
const VALUES: &[u16] = &[
    1048, 1153, 1169, 1216, 1217, 1264, 1265, 1292, 1366, 1406, 1411, 1416, 1451, 1452, 1644, 1690,
    3819, 4025,
];

#[cfg(test)]
mod tests {
    use super::{ENTRY, NAMES, TRANSIENT, VALUES};

    #[test]
    fn no_error_means_two_things() {
        let mut all: Vec<_> = [TRANSIENT, ENTRY, NAMES, VALUES].concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
