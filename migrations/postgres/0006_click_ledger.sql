-- What edges counted by themselves, so that what was stored can be compared with what was accepted. Figures
-- are of one start of an edge and one UTC day and only grow. Nothing refers to these rows, and they hold
-- nothing about visitors.

CREATE TABLE edge_boots (
    edge VARCHAR(128) PRIMARY KEY,
    is_over BOOLEAN NOT NULL,
    heard_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE TABLE edge_clicks (
    day DATE NOT NULL,
    edge VARCHAR(128) NOT NULL,
    accepted BIGINT NOT NULL,
    shipped BIGINT NOT NULL,
    ring_full BIGINT NOT NULL,
    shutdown BIGINT NOT NULL,
    disk BIGINT NOT NULL,
    PRIMARY KEY (day, edge)
);

-- Clicks that were removed on purpose after they were stored or put aside.
CREATE TABLE click_removals (
    day DATE NOT NULL,
    reason VARCHAR(16) NOT NULL,
    clicks BIGINT NOT NULL,
    PRIMARY KEY (day, reason)
);
