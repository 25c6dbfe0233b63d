CREATE TABLE orders (
    id uuid PRIMARY KEY,
    details jsonb NOT NULL,
    placed_at timestamptz NOT NULL
);
CREATE TABLE outbox (
    position bigserial PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    subject text NOT NULL,
    payload jsonb NOT NULL,
    published_at timestamptz
);
CREATE TABLE inbox (
    event_id uuid PRIMARY KEY
);
CREATE TABLE invoices (
    number bigserial PRIMARY KEY,
    order_id uuid NOT NULL,
    cents bigint NOT NULL
);
