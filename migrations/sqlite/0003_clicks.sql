-- Clicks, in one table: a file has no partitions, and any time can be stored. The primary key holds the time
-- as the other engine's does; both come from the click's id, so that a click delivered twice always meets
-- its own row.

CREATE TABLE click_events (
    id BLOB NOT NULL,
    link_id BLOB NOT NULL REFERENCES links (id),
    workspace_id BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    class TEXT NOT NULL,
    bot TEXT,
    country_code TEXT,
    region TEXT,
    city TEXT,
    device_type TEXT,
    browser TEXT,
    os TEXT,
    language TEXT,
    referer TEXT,
    referer_host TEXT,
    ip_address TEXT,
    trigger TEXT,
    utm_source TEXT,
    utm_medium TEXT,
    utm_campaign TEXT,
    utm_term TEXT,
    utm_content TEXT,
    visitor_id INTEGER,
    PRIMARY KEY (id, timestamp)
) STRICT;
-- Class and visitor are in the indexes, so that totals and series never touch the rows.
CREATE INDEX idx_clicks_link_time ON click_events (link_id, timestamp DESC, class, visitor_id);
CREATE INDEX idx_clicks_workspace_time ON click_events (workspace_id, timestamp, class, visitor_id);

-- One secret per UTC day, counted from 1970, for the visitor hash; deleting it makes that day's visitors
-- unknowable for good.
CREATE TABLE visitor_salts (
    day INTEGER NOT NULL PRIMARY KEY,
    salt BLOB NOT NULL
) STRICT;
