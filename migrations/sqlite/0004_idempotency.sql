-- Requests that carried an idempotency key, and their answers, so that a repeated request is not done twice.
-- `slot` is a SHA-256 of account, workspace, operation and key, `fingerprint` one of the body; `status` is
-- missing while the request runs, `body` also when it was too large to keep.

CREATE TABLE idempotency_keys (
    slot BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    fingerprint BLOB NOT NULL,
    claim_id BLOB NOT NULL,
    held_until INTEGER NOT NULL,
    status INTEGER,
    content_type TEXT,
    etag TEXT,
    location TEXT,
    body BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_idempotency_keys_user ON idempotency_keys (user_id, expires_at);
CREATE INDEX idx_idempotency_keys_expires ON idempotency_keys (expires_at);
