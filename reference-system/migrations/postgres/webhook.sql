
CREATE TABLE IF NOT EXISTS deliveries (
    position BIGSERIAL PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    entity TEXT NOT NULL,
    body TEXT NOT NULL,
    trace TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('due', 'delivered', 'given up')),
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at_ms BIGINT NOT NULL,
    last_error TEXT
);

CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (entity, position) WHERE state = 'due';
