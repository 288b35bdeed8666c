-- Who uses an instance: accounts, workspaces, domains and credentials. Ids are made by the application, so
-- that every row is known before it is stored.

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email VARCHAR(255) COLLATE "C" NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    plan VARCHAR(50) NOT NULL DEFAULT 'free',
    is_operator BOOLEAN NOT NULL DEFAULT FALSE,
    disabled_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
    CONSTRAINT users_email_key UNIQUE (email)
);

CREATE TABLE workspaces (
    id UUID PRIMARY KEY,
    name VARCHAR(100) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE memberships (
    workspace_id UUID NOT NULL REFERENCES workspaces (id),
    user_id UUID NOT NULL REFERENCES users (id),
    role VARCHAR(16) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX idx_memberships_user ON memberships (user_id);

CREATE TABLE domains (
    id UUID PRIMARY KEY,
    workspace_id UUID REFERENCES workspaces (id),
    host VARCHAR(253) COLLATE "C" NOT NULL,
    verified_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT domains_host_key UNIQUE (host)
);
CREATE INDEX idx_domains_workspace ON domains (workspace_id);

-- The default domain belongs to nobody and serves every workspace; its host follows the configuration.
INSERT INTO domains (id, workspace_id, host, verified_at, created_at)
VALUES ('00000000-0000-0000-0000-000000000001', NULL, 'localhost', NULL, NOW());

CREATE TABLE api_keys (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL REFERENCES workspaces (id),
    user_id UUID NOT NULL REFERENCES users (id),
    name VARCHAR(100) NOT NULL,
    prefix VARCHAR(32) NOT NULL,
    hash BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT api_keys_hash_key UNIQUE (hash)
);
CREATE INDEX idx_api_keys_workspace ON api_keys (workspace_id, created_at);

CREATE TABLE sessions (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id),
    hash BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE NOT NULL,
    user_agent TEXT NOT NULL,
    ip_address VARCHAR(45) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT sessions_hash_key UNIQUE (hash)
);
CREATE INDEX idx_sessions_user ON sessions (user_id);
CREATE INDEX idx_sessions_expires ON sessions (expires_at);

-- No foreign keys: an entry outlives what it is about.
CREATE TABLE audit_log (
    id UUID PRIMARY KEY,
    workspace_id UUID,
    user_id UUID,
    key_id UUID,
    action VARCHAR(64) NOT NULL,
    subject_id VARCHAR(64) NOT NULL,
    before JSONB,
    after JSONB,
    request_id VARCHAR(128),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
CREATE INDEX idx_audit_log_workspace ON audit_log (workspace_id, created_at DESC, id DESC);
