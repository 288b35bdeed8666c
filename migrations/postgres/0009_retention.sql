-- What was removed by age. Rollups outlive their clicks, so it has to be known which of them cannot be counted
-- again, and which months must not be made again.

-- The first UTC day of which a workspace still has clicks. Never moves back.
CREATE TABLE click_horizons (
    workspace_id UUID PRIMARY KEY,
    day DATE NOT NULL
);

-- Months that were removed for every workspace, by their first day. Up to the newest of them no month is made
-- and no click is stored. One that is not noted yet is being removed.
CREATE TABLE removed_months (
    month DATE PRIMARY KEY,
    is_noted BOOLEAN NOT NULL
);

-- Clicks that somebody asked to have removed. Remembered for a while, since some arrive late.
CREATE TABLE click_purges (
    id UUID PRIMARY KEY,
    link_id UUID,
    from_at TIMESTAMP WITH TIME ZONE,
    to_at TIMESTAMP WITH TIME ZONE,
    network VARCHAR(45),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    forget_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state VARCHAR(16) NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    clicks BIGINT NOT NULL
);

-- Clicks that were noted as removed, so that one that comes again is noted once. They go with their purge.
CREATE TABLE purged_clicks (
    click_id UUID PRIMARY KEY,
    purge_id UUID NOT NULL
);
CREATE INDEX idx_purged_clicks_purge ON purged_clicks (purge_id);
