-- Certificates from an ACME server, what is under way to get them, and what edges need to prove control of a name.
-- Keys are sealed by the application: the database never has the key that opens them.

-- One row per name that is to have a certificate; a wildcard begins with `*.`.
CREATE TABLE certificates (
    name TEXT NOT NULL PRIMARY KEY,
    chain TEXT,
    sealed_key BLOB,
    not_before INTEGER,
    not_after INTEGER,
    issued_at INTEGER,
    renew_at INTEGER,
    order_url TEXT,
    order_sealed_key BLOB,
    failures INTEGER NOT NULL,
    failure TEXT,
    failed_at INTEGER,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_certificates_due ON certificates (due_at);

-- The account at each ACME server, by the address of its directory.
CREATE TABLE acme_accounts (
    directory TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- What any edge answers to an ACME server that asks for the token.
CREATE TABLE acme_challenges (
    token TEXT NOT NULL PRIMARY KEY,
    answer TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- Who does a task that one process at a time may do.
CREATE TABLE task_leases (
    task TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until INTEGER NOT NULL
) STRICT;

-- Keys that all edges make session tickets with, by the period in which they do.
CREATE TABLE ticket_keys (
    period INTEGER NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
