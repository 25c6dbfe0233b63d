
CREATE TABLE IF NOT EXISTS phones (
    customer TEXT PRIMARY KEY,
    phone TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS texts (
    order_id TEXT PRIMARY KEY,
    phone TEXT NOT NULL
);
