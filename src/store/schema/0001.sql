-- SPDX-License-Identifier: Apache-2.0
-- Schema 1. A migration is never edited once a release carried it: what changes comes as the next number.
--
-- Times are milliseconds since 1970. Text keys are lower case. Columns that hold a secret say so: they are
-- never logged, never shown by a tool, and a backup holds them (keep it like a key).

CREATE TABLE schema_version (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at INTEGER NOT NULL
) STRICT;

-- One row that the writer touches to find out whether a store that refused writes takes them again.
CREATE TABLE probe (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
INSERT INTO probe (id, at) VALUES (1, 0);

CREATE TABLE tenants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL,
    state INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    grace_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE domains (
    name TEXT NOT NULL PRIMARY KEY,
    tenant_id INTEGER NOT NULL REFERENCES tenants (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX domains_tenant ON domains (tenant_id);

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: a certificate names it
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    address TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    site TEXT NOT NULL,
    policy TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    licensed INTEGER NOT NULL,
    password_must_change INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    password_changed_at INTEGER NOT NULL,
    disabled_at INTEGER NOT NULL,
    disabled_by TEXT NOT NULL
) STRICT;
CREATE INDEX users_tenant ON users (tenant_id, address);

-- Every name somebody can sign in with, once: an address is nobody else's user name, nor the other way round.
CREATE TABLE login_names (
    name TEXT NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX login_names_user ON login_names (user_id);

CREATE TABLE passwords (
    user_id INTEGER NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    yescrypt TEXT NOT NULL -- secret: crypt(5) hash of the account's password
) STRICT;

CREATE TABLE device_passwords (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    ha1_user TEXT NOT NULL,    -- secret: whoever has it can sign in by Digest
    ha1_address TEXT NOT NULL, -- secret
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX device_passwords_user ON device_passwords (user_id);

CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id TEXT NOT NULL,
    device_name TEXT NOT NULL,
    device_kind TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    revoked_by TEXT NOT NULL,
    revoked_why TEXT NOT NULL
) STRICT;
CREATE INDEX certificates_user ON certificates (user_id);

CREATE TABLE offline_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of delivery; never used twice
    rcpt TEXT NOT NULL,
    sender TEXT NOT NULL,
    sender_display TEXT NOT NULL,
    key BLOB NOT NULL,
    call_id TEXT NOT NULL,
    from_tag TEXT NOT NULL,
    to_uri TEXT NOT NULL,
    cseq INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL, -- what somebody wrote: never logged
    size INTEGER NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (rcpt, key)
) STRICT;
CREATE INDEX offline_messages_rcpt ON offline_messages (rcpt, id, size);

-- Keys of messages that were stored once, so that a repeat is not stored again after its delivery.
CREATE TABLE message_keys (
    rcpt TEXT NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (rcpt, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_keys_at ON message_keys (at);

CREATE TABLE signins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    address TEXT NOT NULL,
    user_id INTEGER NOT NULL, -- no reference: the history outlives the account
    endpoint TEXT NOT NULL,
    client TEXT NOT NULL,
    device TEXT NOT NULL,
    ip TEXT NOT NULL,
    transport TEXT NOT NULL,
    road TEXT NOT NULL,
    ok INTEGER NOT NULL,
    status INTEGER NOT NULL,
    diagnostics INTEGER NOT NULL,
    record TEXT NOT NULL,
    case_code TEXT NOT NULL,
    detail TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    ended INTEGER NOT NULL
) STRICT;
CREATE INDEX signins_address ON signins (address, id);
CREATE INDEX signins_refused ON signins (address, record, ip, at) WHERE ok = 0; -- repeats find their row
CREATE INDEX signins_case ON signins (case_code) WHERE case_code <> '';
CREATE INDEX signins_last_at ON signins (last_at);
CREATE INDEX signins_open ON signins (address, endpoint) WHERE ok = 1 AND ended_at = 0;

CREATE TABLE reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_code TEXT NOT NULL,
    at INTEGER NOT NULL,
    client TEXT NOT NULL,
    ip TEXT NOT NULL
) STRICT;
CREATE INDEX reports_case ON reports (case_code, id);
CREATE INDEX reports_at ON reports (at);

CREATE TABLE presence_notes (
    address TEXT NOT NULL PRIMARY KEY,
    manual TEXT NOT NULL,
    note TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE relations (
    owner TEXT NOT NULL,
    subject TEXT NOT NULL,
    level INTEGER NOT NULL,
    PRIMARY KEY (owner, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE policies (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, name, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL -- secret: keys of the server (nonces, routes, certificate authority)
) STRICT, WITHOUT ROWID;

CREATE TABLE audits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    what TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
