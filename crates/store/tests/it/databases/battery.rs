//! The battery of every storage, on each kind of server.
//!
//! What only servers can do is tested elsewhere.

use skep_store::driver::battery::Subject;

use super::open;
use crate::servers::{Kind, shared};

/// Makes writes fail at tables that come after others.
fn break_off(kind: Kind, database: &str, on: bool) {
    let mut sql = String::new();
    for (table, event) in [
        ("skep_torrent_totals", "INSERT"),
        ("skep_torrent_totals", "UPDATE"),
        ("skep_torrents", "INSERT"),
    ] {
        let name = format!("broken_{table}_{event}");
        sql += &match (kind, on) {
            (Kind::Postgres, true) => format!(
                "CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql \
                 AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$; \
                 CREATE TRIGGER {name} BEFORE {event} ON {table} EXECUTE FUNCTION broken();"
            ),
            (Kind::Mariadb, true) => format!(
                "CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW \
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'broken';"
            ),
            (Kind::Postgres, false) => format!("DROP TRIGGER {name} ON {table};"),
            (Kind::Mariadb, false) => format!("DROP TRIGGER {name};"),
        };
    }
    shared(kind).sql(database, &sql);
}

fn subject(kind: Kind) -> Subject {
    let database = shared(kind).create_database();
    let again = database.clone();
    Subject::new(move || open(&shared(kind), &database))
        .breaking(move |on| break_off(kind, &again, on))
}

mod postgres {
    skep_store::battery!(breaking: super::subject(crate::servers::Kind::Postgres));
}

mod mariadb {
    skep_store::battery!(breaking: super::subject(crate::servers::Kind::Mariadb));
}
