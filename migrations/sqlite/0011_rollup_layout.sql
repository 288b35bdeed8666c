-- Columns of rollups in the order in which they are needed. SQLite keeps a row in one chain of pages and walks it up
-- to the column that is asked for: what charts read comes first, what is long and seldom read last.

CREATE TABLE click_rollups_in_order (
    subject_id BLOB NOT NULL,
    workspace_id BLOB NOT NULL,
    span TEXT NOT NULL,
    start INTEGER NOT NULL,
    slot INTEGER NOT NULL DEFAULT 0,
    quarters BLOB NOT NULL,
    day_visitors BLOB NOT NULL DEFAULT x'',
    device BLOB NOT NULL,
    browser BLOB NOT NULL,
    os BLOB NOT NULL,
    trigger BLOB NOT NULL,
    domain BLOB NOT NULL DEFAULT x'',
    language BLOB NOT NULL,
    country BLOB NOT NULL,
    utm_source BLOB NOT NULL,
    utm_medium BLOB NOT NULL,
    utm_campaign BLOB NOT NULL,
    utm_term BLOB NOT NULL,
    utm_content BLOB NOT NULL,
    region BLOB NOT NULL,
    referrer BLOB NOT NULL,
    city BLOB NOT NULL,
    link BLOB NOT NULL,
    visitors BLOB NOT NULL,
    PRIMARY KEY (subject_id, span, start, slot)
) STRICT;

INSERT INTO click_rollups_in_order
    (subject_id, workspace_id, span, start, slot, quarters, day_visitors, device, browser, os, trigger, domain, language,
     country, utm_source, utm_medium, utm_campaign, utm_term, utm_content, region, referrer, city, link, visitors)
SELECT
    subject_id, workspace_id, span, start, slot, quarters, day_visitors, device, browser, os, trigger, domain, language,
    country, utm_source, utm_medium, utm_campaign, utm_term, utm_content, region, referrer, city, link, visitors
FROM click_rollups;

DROP TABLE click_rollups;
ALTER TABLE click_rollups_in_order RENAME TO click_rollups;
CREATE INDEX idx_rollups_workspace_day ON click_rollups (workspace_id, span, start);
