-- Clicks, in one partition per UTC month. The primary key holds the partition key, and both come from the
-- click's id, so that a click delivered twice always meets its own row. There is no default partition:
-- it would keep old months from being detached while clicks are written.

CREATE TABLE click_events (
    id UUID NOT NULL,
    link_id UUID NOT NULL REFERENCES links (id),
    workspace_id UUID NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    class VARCHAR(16) NOT NULL,
    bot VARCHAR(100),
    country_code CHAR(2),
    region VARCHAR(100),
    city VARCHAR(100),
    device_type VARCHAR(50),
    browser VARCHAR(50),
    os VARCHAR(50),
    language VARCHAR(16),
    referer TEXT,
    referer_host VARCHAR(253),
    ip_address VARCHAR(45),
    trigger VARCHAR(8),
    utm_source VARCHAR(100),
    utm_medium VARCHAR(100),
    utm_campaign VARCHAR(100),
    utm_term VARCHAR(100),
    utm_content VARCHAR(100),
    visitor_id BIGINT,
    PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);
CREATE INDEX idx_clicks_link_time ON click_events (link_id, timestamp DESC);
CREATE INDEX idx_clicks_workspace_time ON click_events (workspace_id, timestamp);

-- One secret per UTC day for the visitor hash; deleting it makes that day's visitors unknowable for good.
CREATE TABLE visitor_salts (
    day DATE PRIMARY KEY,
    salt BYTEA NOT NULL
);
