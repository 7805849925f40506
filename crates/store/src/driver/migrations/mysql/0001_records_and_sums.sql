-- What the site tells. Times are seconds of Unix time; factors are per mille.

CREATE TABLE IF NOT EXISTS skep_groups (
    id int unsigned PRIMARY KEY,
    name varchar(255) NOT NULL DEFAULT '',
    may_leech boolean NOT NULL DEFAULT 1,
    slots int unsigned,
    peers_max int unsigned,
    upload_permille int unsigned NOT NULL DEFAULT 1000,
    download_permille int unsigned NOT NULL DEFAULT 1000
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The passkey is kept as it stands in URLs, because sites show it to its owner; NULL is none. It is
-- bytes of UTF-8, because texts that differ in blanks at the end are the same here.
-- No column refers to another table: records may come in any order.
CREATE TABLE IF NOT EXISTS skep_users (
    id int unsigned PRIMARY KEY,
    passkey varbinary(64) UNIQUE,
    group_id int unsigned NOT NULL DEFAULT 0,
    may_leech boolean NOT NULL DEFAULT 1,
    hidden boolean NOT NULL DEFAULT 0,
    disabled boolean NOT NULL DEFAULT 0,
    slots int unsigned,
    peers_max int unsigned,
    upload_permille int unsigned NOT NULL DEFAULT 1000,
    download_permille int unsigned NOT NULL DEFAULT 1000,
    key_version int unsigned NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS skep_torrents (
    id int unsigned PRIMARY KEY,
    info_hash binary(20) NOT NULL UNIQUE,
    name varchar(255),
    state varchar(16) NOT NULL DEFAULT 'approved'
        CHECK (state IN ('pending', 'approved', 'banned', 'deleted')),
    reason varchar(255),
    owner_id int unsigned,
    group_id int unsigned NOT NULL DEFAULT 0,
    upload_permille int unsigned NOT NULL DEFAULT 1000,
    download_permille int unsigned NOT NULL DEFAULT 1000,
    key_salt int unsigned NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The scope says which of the four columns behind it are read; a token reads user and torrent.
CREATE TABLE IF NOT EXISTS skep_factors (
    id int unsigned PRIMARY KEY,
    scope varchar(16) NOT NULL
        CHECK (scope IN ('site', 'group', 'user', 'torrent_group', 'torrent', 'token')),
    group_id int unsigned,
    user_id int unsigned,
    torrent_group_id int unsigned,
    torrent_id int unsigned,
    upload_permille int unsigned NOT NULL DEFAULT 1000,
    download_permille int unsigned NOT NULL DEFAULT 1000,
    neutral boolean NOT NULL DEFAULT 0,
    starts_at bigint unsigned,
    ends_at bigint unsigned,
    budget_bytes bigint unsigned
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS skep_clients (
    prefix varbinary(64) PRIMARY KEY,
    allowed boolean NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS skep_bans (
    address varchar(45) NOT NULL,
    prefix_len tinyint unsigned NOT NULL,
    reason varchar(1024) NOT NULL DEFAULT '',
    PRIMARY KEY (address, prefix_len)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What the tracker tells. Rows stay when a user or a torrent is removed.

CREATE TABLE IF NOT EXISTS skep_user_totals (
    user_id int unsigned PRIMARY KEY,
    raw_uploaded_bytes bigint unsigned NOT NULL,
    raw_downloaded_bytes bigint unsigned NOT NULL,
    credited_uploaded_bytes bigint unsigned NOT NULL,
    credited_downloaded_bytes bigint unsigned NOT NULL,
    held_uploaded_bytes bigint unsigned NOT NULL,
    held_downloaded_bytes bigint unsigned NOT NULL,
    settled_uploaded_bytes bigint unsigned NOT NULL,
    settled_downloaded_bytes bigint unsigned NOT NULL,
    corrupt_bytes bigint unsigned NOT NULL,
    seeding_secs bigint unsigned NOT NULL,
    leeching_secs bigint unsigned NOT NULL,
    active_secs bigint unsigned NOT NULL,
    completions bigint unsigned NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS skep_torrent_totals (
    torrent_id int unsigned PRIMARY KEY,
    raw_uploaded_bytes bigint unsigned NOT NULL,
    raw_downloaded_bytes bigint unsigned NOT NULL,
    credited_uploaded_bytes bigint unsigned NOT NULL,
    credited_downloaded_bytes bigint unsigned NOT NULL,
    held_uploaded_bytes bigint unsigned NOT NULL,
    held_downloaded_bytes bigint unsigned NOT NULL,
    settled_uploaded_bytes bigint unsigned NOT NULL,
    settled_downloaded_bytes bigint unsigned NOT NULL,
    corrupt_bytes bigint unsigned NOT NULL,
    seeding_secs bigint unsigned NOT NULL,
    leeching_secs bigint unsigned NOT NULL,
    active_secs bigint unsigned NOT NULL,
    completions bigint unsigned NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A user in a torrent.
CREATE TABLE IF NOT EXISTS skep_passages (
    user_id int unsigned NOT NULL,
    torrent_id int unsigned NOT NULL,
    raw_uploaded_bytes bigint unsigned NOT NULL,
    raw_downloaded_bytes bigint unsigned NOT NULL,
    credited_uploaded_bytes bigint unsigned NOT NULL,
    credited_downloaded_bytes bigint unsigned NOT NULL,
    held_uploaded_bytes bigint unsigned NOT NULL,
    held_downloaded_bytes bigint unsigned NOT NULL,
    settled_uploaded_bytes bigint unsigned NOT NULL,
    settled_downloaded_bytes bigint unsigned NOT NULL,
    corrupt_bytes bigint unsigned NOT NULL,
    seeding_secs bigint unsigned NOT NULL,
    leeching_secs bigint unsigned NOT NULL,
    active_secs bigint unsigned NOT NULL,
    completions bigint unsigned NOT NULL,
    left_bytes bigint unsigned,
    first_seen_at bigint unsigned NOT NULL,
    last_seen_at bigint unsigned NOT NULL,
    completed_at bigint unsigned,
    PRIMARY KEY (user_id, torrent_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A client of a user in a torrent, with counters as the client says them.
-- family: 0 IPv4, 1 IPv6, 2 WebRTC.
-- The journal is that of the tracker that heard of it: two trackers have sessions of their own.
CREATE TABLE IF NOT EXISTS skep_sessions (
    user_id int unsigned NOT NULL,
    torrent_id int unsigned NOT NULL,
    peer_id binary(20) NOT NULL,
    journal char(16) NOT NULL,
    peer_key int unsigned NOT NULL,
    uploaded_bytes bigint unsigned NOT NULL,
    downloaded_bytes bigint unsigned NOT NULL,
    corrupt_bytes bigint unsigned NOT NULL,
    family tinyint unsigned NOT NULL,
    seeds boolean NOT NULL,
    open boolean NOT NULL,
    pass_counted boolean NOT NULL,
    address varchar(45),
    port smallint unsigned,
    seen_at bigint unsigned NOT NULL,
    PRIMARY KEY (user_id, torrent_id, peer_id, journal)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- How far each journal is in the sums above; written in the same transaction as they are.
CREATE TABLE IF NOT EXISTS skep_applied (
    journal char(16) PRIMARY KEY,
    position bigint unsigned NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The steps that these tables have taken; the greatest number is their version.
CREATE TABLE IF NOT EXISTS skep_meta (
    version int unsigned PRIMARY KEY,
    step varchar(255) NOT NULL,
    taken_at bigint unsigned NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
