-- Rollups on SQLite get another order of columns. PostgreSQL stores long columns apart from their rows and reads those
-- alone that are asked for; only its statistics are brought up to date, which plans of charts depend on.

ANALYZE click_rollups;
