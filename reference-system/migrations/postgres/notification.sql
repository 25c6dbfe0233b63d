
CREATE TABLE IF NOT EXISTS notifications (
    position BIGSERIAL PRIMARY KEY,
    order_id TEXT NOT NULL,
    stage BIGINT NOT NULL,
    subject TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS notifications_order ON notifications (order_id);
