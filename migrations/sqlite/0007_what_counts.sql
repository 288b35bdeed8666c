-- The domain a click came through, as a dimension; what its visitor called their software, so that a later
-- list of robots can be applied to it; and how far such a revision of stored clicks has come. Clicks stored
-- before have neither domain nor user agent.

ALTER TABLE click_events ADD COLUMN domain TEXT;
ALTER TABLE click_events ADD COLUMN user_agent TEXT;

ALTER TABLE click_rollups ADD COLUMN domain BLOB NOT NULL DEFAULT x'';

-- The last run of each kind that applies new knowledge to stored clicks, for as long as it is not through.
-- `basis` names the knowledge; `after_id` is the last click it looked at; `until_day` is null for "all".
CREATE TABLE click_amendments (
    kind TEXT NOT NULL PRIMARY KEY,
    run_id BLOB NOT NULL,
    basis TEXT NOT NULL,
    workspace_id BLOB,
    since_day INTEGER NOT NULL,
    until_day INTEGER,
    after_id BLOB
) STRICT;
