CREATE TABLE IF NOT EXISTS journal (
    position BIGSERIAL PRIMARY KEY,
    entity TEXT NOT NULL,
    effect TEXT NOT NULL,
    cause_id TEXT,
    event_id TEXT,
    event_type TEXT,
    topic TEXT,
    correlation_id TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS outbox (
    position BIGSERIAL PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    payload TEXT NOT NULL,
    sent BIGINT NOT NULL DEFAULT 0,
    sent_at_ms BIGINT,
    replays BIGINT NOT NULL DEFAULT 0,
    due_at_ms BIGINT NOT NULL,
    withheld TEXT
);

CREATE INDEX IF NOT EXISTS outbox_sent ON outbox (sent_at_ms) WHERE sent = 1;

CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (position) WHERE sent = 0;

CREATE INDEX IF NOT EXISTS outbox_withheld ON outbox (partition_key, position) WHERE withheld IS NOT NULL;

CREATE OR REPLACE FUNCTION tell_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY outbox;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER outbox_told AFTER INSERT OR UPDATE OF replays, withheld ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION tell_relay();

-- A capture has to see a row before its change too. To say so takes the table away from everybody for a moment, also from
-- those who only read, so it is said while the table is new.
DO $$
BEGIN
    IF (SELECT relreplident FROM pg_class WHERE oid = 'outbox'::regclass) <> 'f' THEN
        ALTER TABLE outbox REPLICA IDENTITY FULL;
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS relay_leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    fence BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS processed_events (
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    entity TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('applied', 'discarded', 'parked')),
    reason TEXT,
    handled_at_ms BIGINT NOT NULL,
    PRIMARY KEY (consumer, event_id)
);

CREATE INDEX IF NOT EXISTS processed_events_age ON processed_events (handled_at_ms);

CREATE TABLE IF NOT EXISTS attempts (
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    PRIMARY KEY (consumer, event_id)
);

CREATE TABLE IF NOT EXISTS parked (
    position BIGSERIAL PRIMARY KEY,
    consumer TEXT NOT NULL,
    entity TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    payload BYTEA NOT NULL,
    attempts BIGINT NOT NULL,
    error TEXT NOT NULL,
    parked_at_ms BIGINT NOT NULL,
    seen_at_ms BIGINT,
    published BIGINT NOT NULL DEFAULT 0,
    UNIQUE (consumer, event_id)
);

CREATE INDEX IF NOT EXISTS parked_entity ON parked (consumer, entity);

CREATE TABLE IF NOT EXISTS discarded_messages (
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    payload BYTEA NOT NULL,
    error TEXT NOT NULL,
    discarded_at_ms BIGINT NOT NULL,
    PRIMARY KEY (consumer, event_id)
);

CREATE TABLE IF NOT EXISTS operator_actions (
    position BIGSERIAL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('replay', 'discard', 'release')),
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS alerts (
    name TEXT PRIMARY KEY,
    incident BIGINT NOT NULL,
    firing BIGINT NOT NULL,
    told BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    summary TEXT NOT NULL
);
