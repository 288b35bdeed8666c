-- Statistics that whoever has a token may read. The token itself is stored nowhere, its hash finds the row.
-- A share goes with its link when that is removed for good.

CREATE TABLE shares (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL REFERENCES workspaces (id),
    link_id UUID REFERENCES links (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id),
    name VARCHAR(100) NOT NULL,
    prefix VARCHAR(32) NOT NULL,
    hash BYTEA NOT NULL,
    password_hash VARCHAR(255),
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT shares_hash_key UNIQUE (hash)
);
CREATE INDEX idx_shares_workspace ON shares (workspace_id, created_at);
CREATE INDEX idx_shares_link ON shares (link_id);
