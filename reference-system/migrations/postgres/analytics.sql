
CREATE TABLE IF NOT EXISTS tracked_orders (
    order_id TEXT PRIMARY KEY,
    sku TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    amount_cents BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS tracked_orders_sku ON tracked_orders (sku);
