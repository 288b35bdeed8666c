-- What the edge counted by itself, so that what was stored can be compared with what was accepted. Figures
-- are of one start of the edge and one UTC day and only grow. Nothing refers to these rows, and they hold
-- nothing about visitors. Days are counted from 1970.

CREATE TABLE edge_boots (
    edge TEXT PRIMARY KEY NOT NULL,
    is_over INTEGER NOT NULL,
    heard_at INTEGER NOT NULL
) STRICT;

CREATE TABLE edge_clicks (
    day INTEGER NOT NULL,
    edge TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    shipped INTEGER NOT NULL,
    ring_full INTEGER NOT NULL,
    shutdown INTEGER NOT NULL,
    disk INTEGER NOT NULL,
    PRIMARY KEY (day, edge)
) STRICT;

-- Clicks that were removed on purpose after they were stored or put aside.
CREATE TABLE click_removals (
    day INTEGER NOT NULL,
    reason TEXT NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (day, reason)
) STRICT;
