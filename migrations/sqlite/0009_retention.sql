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
