-- What the site tells. Times are seconds of Unix time; factors are per mille.

CREATE TABLE skep_groups (
    id bigint PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    may_leech boolean NOT NULL DEFAULT true,
    slots bigint,
    peers_max bigint,
    upload_permille bigint NOT NULL DEFAULT 1000,
    download_permille bigint NOT NULL DEFAULT 1000
);

-- The passkey is kept as it stands in URLs, because sites show it to its owner; NULL is none.
-- No column refers to another table: records may come in any order.
CREATE TABLE skep_users (
    id bigint PRIMARY KEY,
    passkey text UNIQUE,
    group_id bigint NOT NULL DEFAULT 0,
    may_leech boolean NOT NULL DEFAULT true,
    hidden boolean NOT NULL DEFAULT false,
    disabled boolean NOT NULL DEFAULT false,
    slots bigint,
    peers_max bigint,
    upload_permille bigint NOT NULL DEFAULT 1000,
    download_permille bigint NOT NULL DEFAULT 1000,
    key_version bigint NOT NULL DEFAULT 0
);

CREATE TABLE skep_torrents (
    id bigint PRIMARY KEY,
    info_hash bytea NOT NULL UNIQUE CHECK (length(info_hash) = 20),
    name text,
    state text NOT NULL DEFAULT 'approved'
        CHECK (state IN ('pending', 'approved', 'banned', 'deleted')),
    reason text,
    owner_id bigint,
    group_id bigint NOT NULL DEFAULT 0,
    upload_permille bigint NOT NULL DEFAULT 1000,
    download_permille bigint NOT NULL DEFAULT 1000,
    key_salt bigint NOT NULL DEFAULT 0
);

-- The scope says which of the four columns behind it are read; a token reads user and torrent.
CREATE TABLE skep_factors (
    id bigint PRIMARY KEY,
    scope text NOT NULL
        CHECK (scope IN ('site', 'group', 'user', 'torrent_group', 'torrent', 'token')),
    group_id bigint,
    user_id bigint,
    torrent_group_id bigint,
    torrent_id bigint,
    upload_permille bigint NOT NULL DEFAULT 1000,
    download_permille bigint NOT NULL DEFAULT 1000,
    neutral boolean NOT NULL DEFAULT false,
    starts_at bigint,
    ends_at bigint,
    budget_bytes bigint
);

CREATE TABLE skep_clients (
    prefix text PRIMARY KEY,
    allowed boolean NOT NULL
);

CREATE TABLE skep_bans (
    address text NOT NULL,
    prefix_len smallint NOT NULL,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (address, prefix_len)
);

-- What the tracker tells. Rows stay when a user or a torrent is removed. They change all the time
-- in columns that no index holds: with room on its page a changed row needs no new entry in the index.

CREATE TABLE skep_user_totals (
    user_id bigint PRIMARY KEY,
    raw_uploaded_bytes bigint NOT NULL,
    raw_downloaded_bytes bigint NOT NULL,
    credited_uploaded_bytes bigint NOT NULL,
    credited_downloaded_bytes bigint NOT NULL,
    held_uploaded_bytes bigint NOT NULL,
    held_downloaded_bytes bigint NOT NULL,
    settled_uploaded_bytes bigint NOT NULL,
    settled_downloaded_bytes bigint NOT NULL,
    corrupt_bytes bigint NOT NULL,
    seeding_secs bigint NOT NULL,
    leeching_secs bigint NOT NULL,
    active_secs bigint NOT NULL,
    completions bigint NOT NULL
) WITH (fillfactor = 60);

CREATE TABLE skep_torrent_totals (
    torrent_id bigint PRIMARY KEY,
    raw_uploaded_bytes bigint NOT NULL,
    raw_downloaded_bytes bigint NOT NULL,
    credited_uploaded_bytes bigint NOT NULL,
    credited_downloaded_bytes bigint NOT NULL,
    held_uploaded_bytes bigint NOT NULL,
    held_downloaded_bytes bigint NOT NULL,
    settled_uploaded_bytes bigint NOT NULL,
    settled_downloaded_bytes bigint NOT NULL,
    corrupt_bytes bigint NOT NULL,
    seeding_secs bigint NOT NULL,
    leeching_secs bigint NOT NULL,
    active_secs bigint NOT NULL,
    completions bigint NOT NULL
) WITH (fillfactor = 60);

-- A user in a torrent.
CREATE TABLE skep_passages (
    user_id bigint NOT NULL,
    torrent_id bigint NOT NULL,
    raw_uploaded_bytes bigint NOT NULL,
    raw_downloaded_bytes bigint NOT NULL,
    credited_uploaded_bytes bigint NOT NULL,
    credited_downloaded_bytes bigint NOT NULL,
    held_uploaded_bytes bigint NOT NULL,
    held_downloaded_bytes bigint NOT NULL,
    settled_uploaded_bytes bigint NOT NULL,
    settled_downloaded_bytes bigint NOT NULL,
    corrupt_bytes bigint NOT NULL,
    seeding_secs bigint NOT NULL,
    leeching_secs bigint NOT NULL,
    active_secs bigint NOT NULL,
    completions bigint NOT NULL,
    left_bytes bigint,
    first_seen_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    completed_at bigint,
    PRIMARY KEY (user_id, torrent_id)
) WITH (fillfactor = 60);

-- A client of a user in a torrent. Its counters are 64 bits as the client says them, so that one
-- above 9223372036854775807 shows as a negative number. family: 0 IPv4, 1 IPv6, 2 WebRTC.
-- The journal is that of the tracker that heard of it: two trackers have sessions of their own.
CREATE TABLE skep_sessions (
    user_id bigint NOT NULL,
    torrent_id bigint NOT NULL,
    peer_id bytea NOT NULL CHECK (length(peer_id) = 20),
    journal text NOT NULL,
    peer_key bigint NOT NULL,
    uploaded_bytes bigint NOT NULL,
    downloaded_bytes bigint NOT NULL,
    corrupt_bytes bigint NOT NULL,
    family smallint NOT NULL,
    seeds boolean NOT NULL,
    open boolean NOT NULL,
    pass_counted boolean NOT NULL,
    address text,
    port integer,
    seen_at bigint NOT NULL,
    PRIMARY KEY (user_id, torrent_id, peer_id, journal)
) WITH (fillfactor = 60);

-- How far each journal is in the sums above; written in the same transaction as they are.
CREATE TABLE skep_applied (
    journal text PRIMARY KEY,
    position bigint NOT NULL
);

-- The steps that these tables have taken; the greatest number is their version.
CREATE TABLE skep_meta (
    version integer PRIMARY KEY,
    step text NOT NULL,
    taken_at bigint NOT NULL
);
