-- Statistics that whoever has a token may read. The token itself is stored nowhere, its hash finds the row.
-- A share goes with its link when that is removed for good.

CREATE TABLE shares (
    id BLOB NOT NULL PRIMARY KEY,
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    link_id BLOB REFERENCES links (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    password_hash TEXT,
    expires_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_shares_workspace ON shares (workspace_id, created_at);
CREATE INDEX idx_shares_link ON shares (link_id);
