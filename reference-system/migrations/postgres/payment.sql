
CREATE TABLE IF NOT EXISTS payments (
    order_id TEXT PRIMARY KEY,
    card TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    state TEXT NOT NULL CHECK (state IN ('captured', 'declined', 'refunded'))
);
