//! What a server can be told before it starts.

use std::time::Duration;

/// The version of the product whose rules this server follows, which clients look at to know what they may
/// ask for.
pub(crate) const VERSION: &str = "2.15.1";

/// What a server can be told before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server's unique name, told to clients.
    pub server_id: String,
    /// The server's name for people, told to clients.
    pub server_name: String,
    /// The port that clients are told. It does not open one.
    pub port: u16,
    /// The largest message in bytes, headers included.
    pub payload_max: usize,
    /// Whether JetStream is there. Without it a request to it has no responder.
    pub jetstream: bool,
    /// How long a connection may be silent before the server asks whether it is still there; the second
    /// question without an answer ends it.
    pub ping_interval: Duration,
    /// How many bytes may wait for a client that does not read before its connection is ended.
    pub pending_max: usize,
    /// What clients must show, if anything.
    pub credentials: Option<Credentials>,
}

/// What clients must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    User(String, String),
    /// A token.
    Token(String),
}

impl Default for Settings {
    /// The defaults of nats-server: <https://docs.nats.io/running-a-nats-service/configuration>.
    fn default() -> Self {
        Self {
            server_id: "NSTORMGLASS".to_owned(),
            server_name: "stormglass".to_owned(),
            port: 4222,
            payload_max: 1024 * 1024,
            jetstream: true,
            ping_interval: Duration::from_secs(120),
            pending_max: 64 * 1024 * 1024,
            credentials: None,
        }
    }
}
