//! The client protocol: what clients say, read from bytes as they come, and what the server says, as bytes.
//!
//! The rules are those of <https://docs.nats.io/reference/reference-protocols/nats-protocol>. TLS, accounts
//! and permissions are absent.

mod read;
mod write;

use bytes::Bytes;
use serde::Deserialize;

pub use read::{Reader, WrongInput};
pub(crate) use write::{Shown, info, put_error, put_message};

/// One thing that a client said.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `CONNECT`: what the client is and wants.
    Connect(Box<ConnectOptions>),
    /// `PUB` or `HPUB`.
    Publish(Publish),
    /// `SUB`.
    Subscribe {
        /// The pattern of subjects.
        subject: String,
        /// The group of which only one member gets each message.
        queue: Option<String>,
        /// The client's own name of the subscription.
        sid: String,
    },
    /// `UNSUB`.
    Unsubscribe {
        /// The client's own name of the subscription.
        sid: String,
        /// The subscription ends after this many messages altogether, or at once.
        max: Option<u64>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// What servers say to clients, and is ignored when a client says it.
    Ignored,
}

/// A message on its way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish {
    /// Where it goes.
    pub subject: String,
    /// Where an answer is expected.
    pub reply: Option<String>,
    /// The whole block of headers, or nothing.
    pub headers: Bytes,
    /// The payload.
    pub payload: Bytes,
}

/// What a client is and wants, as far as this server looks at it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct ConnectOptions {
    /// Every operation is confirmed by `+OK`.
    pub verbose: bool,
    /// Subjects of publishes are checked too.
    pub pedantic: bool,
    /// The client gets what it publishes itself.
    pub echo: bool,
    /// The client understands headers.
    pub headers: bool,
    /// A request without a responder is answered by a status.
    pub no_responders: bool,
    /// The connection's name.
    pub name: Option<String>,
    /// Credentials, compared with those of the settings.
    pub user: Option<String>,
    /// The password of `user`.
    pub pass: Option<String>,
    /// A token instead of user and password.
    pub auth_token: Option<String>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            name: None,
            user: None,
            pass: None,
            auth_token: None,
        }
    }
}
