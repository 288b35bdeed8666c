-- Requests that carried an idempotency key, and their answers, so that a repeated request is not done twice.
-- `slot` is a SHA-256 of account, workspace, operation and key, `fingerprint` one of the body; `status` is
-- missing while the request runs, `body` also when it was too large to keep.

CREATE TABLE idempotency_keys (
    slot BYTEA PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id),
    fingerprint BYTEA NOT NULL,
    claim_id UUID NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE NOT NULL,
    status SMALLINT,
    content_type TEXT,
    etag TEXT,
    location TEXT,
    body BYTEA,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL
);
CREATE INDEX idx_idempotency_keys_user ON idempotency_keys (user_id, expires_at);
CREATE INDEX idx_idempotency_keys_expires ON idempotency_keys (expires_at);
