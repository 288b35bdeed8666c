-- The domain a click came through, as a dimension; what its visitor called their software, so that a later
-- list of robots can be applied to it; and how far such a revision of stored clicks has come. Clicks stored
-- before have neither domain nor user agent.

ALTER TABLE click_events ADD COLUMN domain VARCHAR(253), ADD COLUMN user_agent TEXT;

ALTER TABLE click_rollups ADD COLUMN domain BYTEA NOT NULL DEFAULT '';
ALTER TABLE click_rollups ALTER COLUMN domain SET STORAGE EXTERNAL;

-- The last run of each kind that applies new knowledge to stored clicks, for as long as it is not through.
-- `basis` names the knowledge; `after_id` is the last click it looked at; `until_day` is null for "all".
CREATE TABLE click_amendments (
    kind VARCHAR(16) PRIMARY KEY,
    run_id UUID NOT NULL,
    basis VARCHAR(100) NOT NULL,
    workspace_id UUID,
    since_day TIMESTAMP WITH TIME ZONE NOT NULL,
    until_day TIMESTAMP WITH TIME ZONE,
    after_id UUID
);
