
CREATE TABLE IF NOT EXISTS sagas (
    order_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('reserving', 'charging', 'paid', 'cancelling', 'cancelled', 'done'))
);
