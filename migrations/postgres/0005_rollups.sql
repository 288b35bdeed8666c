-- What the clicks of a link or a workspace add up to per UTC day, and of a workspace also per UTC hour. Kept
-- by the transaction that stores the clicks, so that no chart has to read them. The byte columns are
-- described in `vayro-core/src/rollup`; an empty one holds nothing. A writer has a slot
-- to itself until it commits; readers add slots up.

CREATE TABLE click_rollups (
    subject_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    span VARCHAR(8) NOT NULL,
    start TIMESTAMP WITH TIME ZONE NOT NULL,
    slot SMALLINT NOT NULL DEFAULT 0,
    quarters BYTEA NOT NULL,
    visitors BYTEA NOT NULL,
    country BYTEA NOT NULL,
    region BYTEA NOT NULL,
    city BYTEA NOT NULL,
    device BYTEA NOT NULL,
    browser BYTEA NOT NULL,
    os BYTEA NOT NULL,
    language BYTEA NOT NULL,
    referrer BYTEA NOT NULL,
    link BYTEA NOT NULL,
    trigger BYTEA NOT NULL,
    utm_source BYTEA NOT NULL,
    utm_medium BYTEA NOT NULL,
    utm_campaign BYTEA NOT NULL,
    utm_term BYTEA NOT NULL,
    utm_content BYTEA NOT NULL,
    PRIMARY KEY (subject_id, span, start, slot)
) WITH (fillfactor = 70);
-- Compressing what is rewritten with each batch costs more than it saves.
ALTER TABLE click_rollups
    ALTER COLUMN quarters SET STORAGE EXTERNAL,
    ALTER COLUMN visitors SET STORAGE EXTERNAL,
    ALTER COLUMN country SET STORAGE EXTERNAL,
    ALTER COLUMN region SET STORAGE EXTERNAL,
    ALTER COLUMN city SET STORAGE EXTERNAL,
    ALTER COLUMN device SET STORAGE EXTERNAL,
    ALTER COLUMN browser SET STORAGE EXTERNAL,
    ALTER COLUMN os SET STORAGE EXTERNAL,
    ALTER COLUMN language SET STORAGE EXTERNAL,
    ALTER COLUMN referrer SET STORAGE EXTERNAL,
    ALTER COLUMN link SET STORAGE EXTERNAL,
    ALTER COLUMN trigger SET STORAGE EXTERNAL,
    ALTER COLUMN utm_source SET STORAGE EXTERNAL,
    ALTER COLUMN utm_medium SET STORAGE EXTERNAL,
    ALTER COLUMN utm_campaign SET STORAGE EXTERNAL,
    ALTER COLUMN utm_term SET STORAGE EXTERNAL,
    ALTER COLUMN utm_content SET STORAGE EXTERNAL;
CREATE INDEX idx_rollups_workspace_day ON click_rollups (workspace_id, span, start);

-- Workspaces and UTC days whose rollups are to be counted again, because clicks were removed.
CREATE TABLE rollup_recounts (
    workspace_id UUID NOT NULL,
    day TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (workspace_id, day)
);
