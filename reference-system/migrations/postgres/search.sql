
CREATE TABLE IF NOT EXISTS found_orders (
    order_id TEXT PRIMARY KEY,
    customer TEXT,
    sku TEXT,
    quantity BIGINT,
    address TEXT,
    address_version BIGINT NOT NULL DEFAULT 0,
    stage BIGINT NOT NULL,
    state TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS found_orders_customer ON found_orders (customer);
