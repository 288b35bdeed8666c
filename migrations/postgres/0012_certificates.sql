-- Certificates from an ACME server, what is under way to get them, and what edges need to prove control of a name.
-- Keys are sealed by the application: the database never has the key that opens them.

-- One row per name that is to have a certificate; a wildcard begins with `*.`.
CREATE TABLE certificates (
    name VARCHAR(255) COLLATE "C" PRIMARY KEY,
    chain TEXT,
    sealed_key BYTEA,
    not_before TIMESTAMP WITH TIME ZONE,
    not_after TIMESTAMP WITH TIME ZONE,
    issued_at TIMESTAMP WITH TIME ZONE,
    renew_at TIMESTAMP WITH TIME ZONE,
    order_url TEXT,
    order_sealed_key BYTEA,
    failures INTEGER NOT NULL,
    failure TEXT,
    failed_at TIMESTAMP WITH TIME ZONE,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
CREATE INDEX idx_certificates_due ON certificates (due_at);

-- The account at each ACME server, by the address of its directory.
CREATE TABLE acme_accounts (
    directory TEXT COLLATE "C" PRIMARY KEY,
    sealed BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL
);

-- What any edge answers to an ACME server that asks for the token.
CREATE TABLE acme_challenges (
    token VARCHAR(255) COLLATE "C" PRIMARY KEY,
    answer TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL
);

-- Who does a task that one process at a time may do.
CREATE TABLE task_leases (
    task VARCHAR(64) COLLATE "C" PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE NOT NULL
);

-- Keys that all edges make session tickets with, by the period in which they do.
CREATE TABLE ticket_keys (
    period BIGINT PRIMARY KEY,
    sealed BYTEA NOT NULL
);
