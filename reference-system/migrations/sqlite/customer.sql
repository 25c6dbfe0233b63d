CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    may_order BIGINT NOT NULL CHECK (may_order IN (0, 1))
);
