//! Changes of what the site tells, as rows.
//!
//! Whether a change makes sense was decided before; here it is written or refused.

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use skep_engine::site::{Ban, Change, Client, Factor, Group, Target, Torrent, TorrentState, User};

use super::{clamped, failed};
use crate::driver::DriverError;

/// Writes changes, all or none.
pub(super) fn change(connection: &mut Connection, changes: &[Change]) -> Result<(), DriverError> {
    let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = begin.map_err(failed)?;
    for change in changes {
        write(&transaction, change).map_err(|error| refused(change, error))?;
    }
    transaction.commit().map_err(failed)
}

/// Forgets sessions of users that were last heard of before a time, and returns how many.
pub(super) fn forget_sessions(
    connection: &mut Connection,
    users: &[u32],
    before_unix_secs: u64,
) -> Result<u64, DriverError> {
    let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = begin.map_err(failed)?;
    let mut gone = 0;
    for user in users {
        let sql = "DELETE FROM skep_sessions WHERE user_id = ?1 AND seen_at < ?2";
        let delete =
            || transaction.prepare_cached(sql)?.execute(params![user, clamped(before_unix_secs)]);
        gone += delete().map_err(failed)? as u64;
    }
    transaction.commit().map_err(failed)?;
    Ok(gone)
}

fn write(to: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::PutUser(user) => put_user(to, user),
        Change::PutGroup(group) => put_group(to, group),
        Change::PutTorrent(torrent) => put_torrent(to, torrent),
        Change::PutFactor(factor) => put_factor(to, factor),
        Change::PutClient(Client { prefix, allowed }) => {
            let sql = "INSERT OR REPLACE INTO skep_clients (prefix, allowed) VALUES (?1, ?2)";
            to.prepare_cached(sql)?.execute(params![prefix, allowed]).map(drop)
        }
        Change::PutBan(Ban { address, prefix_len, reason }) => {
            let sql = "INSERT OR REPLACE INTO skep_bans (address, prefix_len, reason)
                VALUES (?1, ?2, ?3)";
            let row = params![address.to_string(), prefix_len, reason];
            to.prepare_cached(sql)?.execute(row).map(drop)
        }
        Change::RemoveUser(id) => remove(to, "DELETE FROM skep_users WHERE id = ?1", id.0),
        Change::RemoveGroup(id) => {
            remove(to, "DELETE FROM skep_groups WHERE id = ?1", id.0)?;
            remove(to, "UPDATE skep_users SET group_id = 0 WHERE group_id = ?1", id.0)
        }
        Change::RemoveTorrent(id) => remove(to, "DELETE FROM skep_torrents WHERE id = ?1", id.0),
        Change::RemoveFactor(id) => remove(to, "DELETE FROM skep_factors WHERE id = ?1", id.0),
        Change::RemoveClient(prefix) => {
            let sql = "DELETE FROM skep_clients WHERE prefix = ?1";
            to.prepare_cached(sql)?.execute([prefix]).map(drop)
        }
        Change::RemoveBan(address, prefix_len) => {
            let sql = "DELETE FROM skep_bans WHERE address = ?1 AND prefix_len = ?2";
            to.prepare_cached(sql)?.execute(params![address.to_string(), prefix_len]).map(drop)
        }
    }
}

fn remove(from: &Transaction<'_>, sql: &str, id: u32) -> rusqlite::Result<()> {
    from.prepare_cached(sql)?.execute([id]).map(drop)
}

// Replacing on any conflict would remove another user that has the passkey: hence the longer form.

fn put_user(to: &Transaction<'_>, user: &User) -> rusqlite::Result<()> {
    let sql = "INSERT INTO skep_users (id, passkey, group_id, may_leech, hidden, disabled, slots,
            peers_max, upload_permille, download_permille, key_version)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        ON CONFLICT (id) DO UPDATE SET passkey = excluded.passkey, group_id = excluded.group_id,
            may_leech = excluded.may_leech, hidden = excluded.hidden, disabled = excluded.disabled,
            slots = excluded.slots, peers_max = excluded.peers_max,
            upload_permille = excluded.upload_permille,
            download_permille = excluded.download_permille, key_version = excluded.key_version";
    let passkey = Some(&user.passkey).filter(|passkey| !passkey.is_empty());
    let row = params![
        user.id.0,
        passkey,
        user.group.0,
        user.may_leech,
        user.hidden,
        user.disabled,
        user.slots,
        user.peers_max,
        user.upload.0,
        user.download.0,
        user.key_version
    ];
    to.prepare_cached(sql)?.execute(row).map(drop)
}

fn put_group(to: &Transaction<'_>, group: &Group) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO skep_groups (id, name, may_leech, slots, peers_max,
            upload_permille, download_permille)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = params![
        group.id.0,
        group.name,
        group.may_leech,
        group.slots,
        group.peers_max,
        group.upload.0,
        group.download.0
    ];
    to.prepare_cached(sql)?.execute(row).map(drop)
}

fn put_torrent(to: &Transaction<'_>, torrent: &Torrent) -> rusqlite::Result<()> {
    let sql = "INSERT INTO skep_torrents (id, info_hash, name, state, reason, owner_id, group_id,
            upload_permille, download_permille, key_salt)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT (id) DO UPDATE SET info_hash = excluded.info_hash, name = excluded.name,
            state = excluded.state, reason = excluded.reason, owner_id = excluded.owner_id,
            group_id = excluded.group_id, upload_permille = excluded.upload_permille,
            download_permille = excluded.download_permille, key_salt = excluded.key_salt";
    let row = params![
        torrent.id.0,
        torrent.info_hash.0,
        torrent.name,
        state_word(torrent.state),
        torrent.reason,
        torrent.owner.map(|owner| owner.0),
        torrent.group.0,
        torrent.upload.0,
        torrent.download.0,
        torrent.key_salt
    ];
    to.prepare_cached(sql)?.execute(row).map(drop)
}

fn put_factor(to: &Transaction<'_>, factor: &Factor) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO skep_factors (id, scope, group_id, user_id, torrent_group_id,
            torrent_id, upload_permille, download_permille, neutral, starts_at, ends_at,
            budget_bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let id = |number: u32| Value::Integer(number.into());
    let none = || Value::Null;
    let (scope, of) = match factor.target {
        Target::Site => ("site", [none(), none(), none(), none()]),
        Target::Group(group) => ("group", [id(group.0), none(), none(), none()]),
        Target::User(user) => ("user", [none(), id(user.0), none(), none()]),
        Target::TorrentGroup(of) => ("torrent_group", [none(), none(), id(of.0), none()]),
        Target::Torrent(torrent) => ("torrent", [none(), none(), none(), id(torrent.0)]),
        Target::Token(user, torrent) => ("token", [none(), id(user.0), none(), id(torrent.0)]),
    };
    let [group, user, torrent_group, torrent] = of;
    let row = params![
        factor.id.0,
        scope,
        group,
        user,
        torrent_group,
        torrent,
        factor.upload.0,
        factor.download.0,
        factor.neutral,
        factor.starts_unix_secs.map(clamped),
        factor.ends_unix_secs.map(clamped),
        factor.budget_bytes.map(clamped)
    ];
    to.prepare_cached(sql)?.execute(row).map(drop)
}

pub(super) const fn state_word(state: TorrentState) -> &'static str {
    match state {
        TorrentState::Pending => "pending",
        TorrentState::Approved => "approved",
        TorrentState::Banned => "banned",
        TorrentState::Deleted => "deleted",
    }
}

/// Says of a refusal whom it is about; the database names only the column.
fn refused(change: &Change, error: rusqlite::Error) -> DriverError {
    if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
        return failed(error);
    }
    DriverError::Refused(match change {
        Change::PutUser(user) => format!("the passkey of user {} is another user's", user.id.0),
        Change::PutTorrent(torrent) => {
            format!("the info hash of torrent {} is another torrent's", torrent.id.0)
        }
        _ => error.to_string(),
    })
}
