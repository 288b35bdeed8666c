-- Who uses an instance: accounts, workspaces, domains and credentials. Ids are made by the application, so
-- that every row is known before it is stored. Ids are the 16 bytes of a UUID, instants are microseconds
-- since 1970 in UTC, JSON is text; STRICT keeps every column to its type.

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    plan TEXT NOT NULL DEFAULT 'free',
    is_operator INTEGER NOT NULL DEFAULT 0,
    disabled_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE workspaces (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    user_id BLOB NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_memberships_user ON memberships (user_id);

CREATE TABLE domains (
    id BLOB NOT NULL PRIMARY KEY,
    workspace_id BLOB REFERENCES workspaces (id),
    host TEXT NOT NULL UNIQUE,
    verified_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_domains_workspace ON domains (workspace_id);

-- The default domain belongs to nobody and serves every workspace; its host follows the configuration.
INSERT INTO domains (id, workspace_id, host, verified_at, created_at)
VALUES (x'00000000000000000000000000000001', NULL, 'localhost', NULL, unixepoch() * 1000000);

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    user_id BLOB NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_api_keys_workspace ON api_keys (workspace_id, created_at);

CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    hash BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    user_agent TEXT NOT NULL,
    ip_address TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_sessions_user ON sessions (user_id);
CREATE INDEX idx_sessions_expires ON sessions (expires_at);

-- No foreign keys: an entry outlives what it is about.
CREATE TABLE audit_log (
    id BLOB NOT NULL PRIMARY KEY,
    workspace_id BLOB,
    user_id BLOB,
    key_id BLOB,
    action TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    before TEXT,
    after TEXT,
    request_id TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_audit_log_workspace ON audit_log (workspace_id, id);
