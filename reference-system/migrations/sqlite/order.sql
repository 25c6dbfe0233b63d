
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    address TEXT NOT NULL,
    sku TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    unit_price_cents BIGINT NOT NULL CHECK (unit_price_cents > 0),
    discount_cents BIGINT NOT NULL DEFAULT 0 CHECK (discount_cents >= 0),
    state TEXT NOT NULL CHECK (state IN ('placed', 'confirmed', 'cancelled', 'shipped')),
    dispatched BIGINT NOT NULL DEFAULT 0 CHECK (dispatched BETWEEN 0 AND quantity),
    version BIGINT NOT NULL DEFAULT 1
);

CREATE INDEX IF NOT EXISTS orders_customer ON orders (customer);

CREATE TABLE IF NOT EXISTS requests (
    idempotency_key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    order_id TEXT NOT NULL
);
