-- The visitors of a rollup's hours put together, where they are many: a chart over a year would otherwise read
-- and put together every hour of it. Rollups written before have none until they are next written.

ALTER TABLE click_rollups ADD COLUMN day_visitors BYTEA NOT NULL DEFAULT '';
ALTER TABLE click_rollups ALTER COLUMN day_visitors SET STORAGE EXTERNAL;
