
CREATE TABLE IF NOT EXISTS stock (
    sku TEXT PRIMARY KEY,
    free BIGINT NOT NULL CHECK (free >= 0),
    reserved BIGINT NOT NULL CHECK (reserved >= 0),
    shipped BIGINT NOT NULL CHECK (shipped >= 0)
);

CREATE TABLE IF NOT EXISTS reservations (
    order_id TEXT NOT NULL,
    sku TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    dispatched BIGINT NOT NULL DEFAULT 0 CHECK (dispatched BETWEEN 0 AND quantity),
    state TEXT NOT NULL CHECK (state IN ('held', 'released', 'shipped')),
    PRIMARY KEY (order_id, sku)
);
