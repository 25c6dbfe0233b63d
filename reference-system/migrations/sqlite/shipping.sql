
CREATE TABLE IF NOT EXISTS shipments (
    order_id TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    sku TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    dispatched BIGINT NOT NULL DEFAULT 0 CHECK (dispatched BETWEEN 0 AND quantity),
    parcels BIGINT NOT NULL DEFAULT 0,
    closed BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS addresses (
    order_id TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS parcels (
    order_id TEXT NOT NULL,
    parcel BIGINT NOT NULL,
    pieces BIGINT NOT NULL CHECK (pieces > 0),
    address TEXT NOT NULL,
    PRIMARY KEY (order_id, parcel)
);
