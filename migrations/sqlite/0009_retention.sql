-- What was removed by age. Rollups outlive their clicks, so it has to be known which of them cannot be counted
-- again, and which months must not be stored again. Days are counted from 1970.

-- The first UTC day of which a workspace still has clicks. Never moves back.
CREATE TABLE click_horizons (
    workspace_id BLOB PRIMARY KEY NOT NULL,
    day INTEGER NOT NULL
) STRICT;

-- Months that were removed for every workspace, by their first day. Up to the newest of them no click is stored.
CREATE TABLE removed_months (
    month INTEGER PRIMARY KEY NOT NULL,
    is_noted INTEGER NOT NULL
) STRICT;

-- Clicks that somebody asked to have removed. Remembered for a while, since some arrive late.
CREATE TABLE click_purges (
    id BLOB PRIMARY KEY NOT NULL,
    link_id BLOB,
    from_at INTEGER,
    to_at INTEGER,
    network TEXT,
    created_at INTEGER NOT NULL,
    forget_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    done_at INTEGER,
    clicks INTEGER NOT NULL
) STRICT;

-- Clicks that were noted as removed, so that one that comes again is noted once. They go with their purge.
CREATE TABLE purged_clicks (
    click_id BLOB PRIMARY KEY NOT NULL,
    purge_id BLOB NOT NULL
) STRICT;
CREATE INDEX idx_purged_clicks_purge ON purged_clicks (purge_id);
