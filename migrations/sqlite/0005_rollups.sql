-- What the clicks of a link or a workspace add up to per UTC day, and of a workspace also per UTC hour. Kept
-- by the transaction that stores the clicks, so that no chart has to read them. The byte columns are
-- described in `vayro-core/src/rollup`; an empty one holds nothing. Writers with different slots never wait
-- for each other; readers add slots up.

CREATE TABLE click_rollups (
    subject_id BLOB NOT NULL,
    workspace_id BLOB NOT NULL,
    span TEXT NOT NULL,
    start INTEGER NOT NULL,
    slot INTEGER NOT NULL DEFAULT 0,
    quarters BLOB NOT NULL,
    visitors BLOB NOT NULL,
    country BLOB NOT NULL,
    region BLOB NOT NULL,
    city BLOB NOT NULL,
    device BLOB NOT NULL,
    browser BLOB NOT NULL,
    os BLOB NOT NULL,
    language BLOB NOT NULL,
    referrer BLOB NOT NULL,
    link BLOB NOT NULL,
    trigger BLOB NOT NULL,
    utm_source BLOB NOT NULL,
    utm_medium BLOB NOT NULL,
    utm_campaign BLOB NOT NULL,
    utm_term BLOB NOT NULL,
    utm_content BLOB NOT NULL,
    PRIMARY KEY (subject_id, span, start, slot)
) STRICT;
CREATE INDEX idx_rollups_workspace_day ON click_rollups (workspace_id, span, start);

-- Workspaces and UTC days whose rollups are to be counted again, because clicks were removed.
CREATE TABLE rollup_recounts (
    workspace_id BLOB NOT NULL,
    day INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, day)
) STRICT;
