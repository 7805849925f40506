-- What the site tells. Times are seconds of Unix time; factors are per mille.

CREATE TABLE skep_groups (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '',
    may_leech INTEGER NOT NULL DEFAULT 1,
    slots INTEGER,
    peers_max INTEGER,
    upload_permille INTEGER NOT NULL DEFAULT 1000,
    download_permille INTEGER NOT NULL DEFAULT 1000
) STRICT;

-- The passkey is kept as it stands in URLs, because sites show it to its owner; NULL is none.
-- No column refers to another table: records may come in any order.
CREATE TABLE skep_users (
    id INTEGER PRIMARY KEY,
    passkey TEXT UNIQUE,
    group_id INTEGER NOT NULL DEFAULT 0,
    may_leech INTEGER NOT NULL DEFAULT 1,
    hidden INTEGER NOT NULL DEFAULT 0,
    disabled INTEGER NOT NULL DEFAULT 0,
    slots INTEGER,
    peers_max INTEGER,
    upload_permille INTEGER NOT NULL DEFAULT 1000,
    download_permille INTEGER NOT NULL DEFAULT 1000,
    key_version INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE skep_torrents (
    id INTEGER PRIMARY KEY,
    info_hash BLOB NOT NULL UNIQUE CHECK (length(info_hash) = 20),
    name TEXT,
    state TEXT NOT NULL DEFAULT 'approved'
        CHECK (state IN ('pending', 'approved', 'banned', 'deleted')),
    reason TEXT,
    owner_id INTEGER,
    group_id INTEGER NOT NULL DEFAULT 0,
    upload_permille INTEGER NOT NULL DEFAULT 1000,
    download_permille INTEGER NOT NULL DEFAULT 1000,
    key_salt INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The scope says which of the four columns behind it are read; a token reads user and torrent.
CREATE TABLE skep_factors (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL
        CHECK (scope IN ('site', 'group', 'user', 'torrent_group', 'torrent', 'token')),
    group_id INTEGER,
    user_id INTEGER,
    torrent_group_id INTEGER,
    torrent_id INTEGER,
    upload_permille INTEGER NOT NULL DEFAULT 1000,
    download_permille INTEGER NOT NULL DEFAULT 1000,
    neutral INTEGER NOT NULL DEFAULT 0,
    starts_at INTEGER,
    ends_at INTEGER,
    budget_bytes INTEGER
) STRICT;

CREATE TABLE skep_clients (
    prefix TEXT PRIMARY KEY,
    allowed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE skep_bans (
    address TEXT NOT NULL,
    prefix_len INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (address, prefix_len)
) STRICT, WITHOUT ROWID;

-- What the tracker tells. Rows stay when a user or a torrent is removed.

CREATE TABLE skep_user_totals (
    user_id INTEGER PRIMARY KEY,
    raw_uploaded_bytes INTEGER NOT NULL,
    raw_downloaded_bytes INTEGER NOT NULL,
    credited_uploaded_bytes INTEGER NOT NULL,
    credited_downloaded_bytes INTEGER NOT NULL,
    held_uploaded_bytes INTEGER NOT NULL,
    held_downloaded_bytes INTEGER NOT NULL,
    settled_uploaded_bytes INTEGER NOT NULL,
    settled_downloaded_bytes INTEGER NOT NULL,
    corrupt_bytes INTEGER NOT NULL,
    seeding_secs INTEGER NOT NULL,
    leeching_secs INTEGER NOT NULL,
    active_secs INTEGER NOT NULL,
    completions INTEGER NOT NULL
) STRICT;

CREATE TABLE skep_torrent_totals (
    torrent_id INTEGER PRIMARY KEY,
    raw_uploaded_bytes INTEGER NOT NULL,
    raw_downloaded_bytes INTEGER NOT NULL,
    credited_uploaded_bytes INTEGER NOT NULL,
    credited_downloaded_bytes INTEGER NOT NULL,
    held_uploaded_bytes INTEGER NOT NULL,
    held_downloaded_bytes INTEGER NOT NULL,
    settled_uploaded_bytes INTEGER NOT NULL,
    settled_downloaded_bytes INTEGER NOT NULL,
    corrupt_bytes INTEGER NOT NULL,
    seeding_secs INTEGER NOT NULL,
    leeching_secs INTEGER NOT NULL,
    active_secs INTEGER NOT NULL,
    completions INTEGER NOT NULL
) STRICT;

-- A user in a torrent.
CREATE TABLE skep_passages (
    user_id INTEGER NOT NULL,
    torrent_id INTEGER NOT NULL,
    raw_uploaded_bytes INTEGER NOT NULL,
    raw_downloaded_bytes INTEGER NOT NULL,
    credited_uploaded_bytes INTEGER NOT NULL,
    credited_downloaded_bytes INTEGER NOT NULL,
    held_uploaded_bytes INTEGER NOT NULL,
    held_downloaded_bytes INTEGER NOT NULL,
    settled_uploaded_bytes INTEGER NOT NULL,
    settled_downloaded_bytes INTEGER NOT NULL,
    corrupt_bytes INTEGER NOT NULL,
    seeding_secs INTEGER NOT NULL,
    leeching_secs INTEGER NOT NULL,
    active_secs INTEGER NOT NULL,
    completions INTEGER NOT NULL,
    left_bytes INTEGER,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    completed_at INTEGER,
    PRIMARY KEY (user_id, torrent_id)
) STRICT, WITHOUT ROWID;

-- A client of a user in a torrent. Its counters are 64 bits as the client says them, so that one
-- above 9223372036854775807 shows as a negative number. family: 0 IPv4, 1 IPv6, 2 WebRTC.
-- The journal is that of the tracker that heard of it: two trackers have sessions of their own.
CREATE TABLE skep_sessions (
    user_id INTEGER NOT NULL,
    torrent_id INTEGER NOT NULL,
    peer_id BLOB NOT NULL CHECK (length(peer_id) = 20),
    journal TEXT NOT NULL,
    peer_key INTEGER NOT NULL,
    uploaded_bytes INTEGER NOT NULL,
    downloaded_bytes INTEGER NOT NULL,
    corrupt_bytes INTEGER NOT NULL,
    family INTEGER NOT NULL,
    seeds INTEGER NOT NULL,
    open INTEGER NOT NULL,
    pass_counted INTEGER NOT NULL,
    address TEXT,
    port INTEGER,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, torrent_id, peer_id, journal)
) STRICT, WITHOUT ROWID;

-- How far each journal is in the sums above; written in the same transaction as they are.
CREATE TABLE skep_applied (
    journal TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The steps that these tables have taken; the greatest number is their version.
CREATE TABLE skep_meta (
    version INTEGER PRIMARY KEY,
    step TEXT NOT NULL,
    taken_at INTEGER NOT NULL
) STRICT;
