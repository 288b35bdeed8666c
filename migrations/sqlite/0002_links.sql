-- Links, the order of their changes, and the way those changes reach caches.

CREATE TABLE links (
    id BLOB NOT NULL PRIMARY KEY,
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    user_id BLOB NOT NULL REFERENCES users (id),
    domain_id BLOB NOT NULL REFERENCES domains (id),
    short_code TEXT NOT NULL,
    target_url TEXT NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    redirect_status INTEGER NOT NULL DEFAULT 302,
    is_active INTEGER NOT NULL DEFAULT 1,
    expires_at INTEGER,
    archived_at INTEGER,
    deleted_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    revision INTEGER NOT NULL,
    UNIQUE (domain_id, short_code)
) STRICT;
CREATE INDEX idx_links_created ON links (workspace_id, created_at, id);
CREATE INDEX idx_links_updated ON links (workspace_id, updated_at, id);
CREATE INDEX idx_links_code ON links (workspace_id, short_code, id);
CREATE INDEX idx_links_deleted ON links (deleted_at) WHERE deleted_at IS NOT NULL;

-- The highest revision given out. One row, raised under the writer's lock, so that a later change always
-- has the higher number.
CREATE TABLE link_revision (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO link_revision (id, value) VALUES (1, 0);

-- Apart from links, so that counting a click never rewrites a link's row.
CREATE TABLE link_totals (
    link_id BLOB NOT NULL PRIMARY KEY REFERENCES links (id),
    clicks INTEGER NOT NULL,
    last_click_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT never gives a number out again: two processes drain the outbox, and the slower one must not
-- remove a new event in place of the one it has handled.
CREATE TABLE outbox (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
