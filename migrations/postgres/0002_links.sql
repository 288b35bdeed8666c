-- Links, the order of their changes, and the way those changes reach caches.

CREATE TABLE links (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id UUID NOT NULL REFERENCES workspaces (id),
    user_id UUID NOT NULL REFERENCES users (id),
    domain_id UUID NOT NULL REFERENCES domains (id),
    -- Byte order and byte equality, whatever the database's locale is.
    short_code VARCHAR(50) COLLATE "C" NOT NULL,
    target_url TEXT NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    redirect_status SMALLINT NOT NULL DEFAULT 302,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    expires_at TIMESTAMP WITH TIME ZONE,
    archived_at TIMESTAMP WITH TIME ZONE,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    version INTEGER NOT NULL DEFAULT 1,
    revision BIGINT NOT NULL,
    CONSTRAINT links_domain_id_short_code_key UNIQUE (domain_id, short_code)
);
CREATE INDEX idx_links_created ON links (workspace_id, created_at, id);
CREATE INDEX idx_links_updated ON links (workspace_id, updated_at, id);
CREATE INDEX idx_links_code ON links (workspace_id, short_code, id);
CREATE INDEX idx_links_deleted ON links (deleted_at) WHERE deleted_at IS NOT NULL;

-- Taken after a link's row is locked, so that a later change of a link always has the higher number.
CREATE SEQUENCE link_revision;

-- Apart from links, so that counting a click never rewrites a link's row. No index but the primary key and
-- free room in each page let PostgreSQL update a counter in place.
CREATE TABLE link_totals (
    link_id UUID PRIMARY KEY REFERENCES links (id),
    clicks BIGINT NOT NULL,
    last_click_at TIMESTAMP WITH TIME ZONE NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE outbox (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
