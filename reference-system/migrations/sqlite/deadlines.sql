
CREATE TABLE IF NOT EXISTS deadlines (
    order_id TEXT PRIMARY KEY,
    step TEXT NOT NULL,
    due_at_ms BIGINT NOT NULL,
    correlation_id TEXT NOT NULL,
    cause_id TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS deadlines_due ON deadlines (due_at_ms);
