CREATE TABLE IF NOT EXISTS settings (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    compatibility TEXT NOT NULL,
    changes BIGINT NOT NULL
);

INSERT INTO settings (one, compatibility, changes) VALUES (1, 'BACKWARD', 0) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS subject_settings (
    subject TEXT PRIMARY KEY,
    compatibility TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS schemas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL,
    text TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS schemas_fingerprint ON schemas (fingerprint);

CREATE TABLE IF NOT EXISTS versions (
    subject TEXT NOT NULL,
    version BIGINT NOT NULL CHECK (version > 0),
    schema_id BIGINT NOT NULL REFERENCES schemas (id),
    deleted BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (subject, version)
);

CREATE TABLE IF NOT EXISTS refusals (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    reason TEXT NOT NULL,
    refused_at_ms BIGINT NOT NULL
);
