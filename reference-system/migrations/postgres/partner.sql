
CREATE TABLE IF NOT EXISTS received (
    position BIGSERIAL PRIMARY KEY,
    message_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    entity TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    body TEXT NOT NULL
);
