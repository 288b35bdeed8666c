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
