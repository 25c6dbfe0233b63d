//! The NATS server under the shop, and how the harness reads what the shop's own client does with it.
//!
//! Subjects, consumers and headers are the adapter's words, so the adapter translates them back. What is judged is what
//! the server stored, delivered and heard.

use reference_system::ports::broker::nats;
use stormglass::{Message, Nats};

/// The host of the server.
const HOST: &str = "nats";
/// Where the services find it.
pub(super) const URL: &str = "nats://nats";

/// The server, with topics, groups, keys and headers as the shop means them.
pub(super) fn server() -> Nats {
    Nats::new(HOST)
        .topics(|subject| {
            let (topic, partition) = nats::place(subject)?;
            Some((topic, partition.into()))
        })
        .groups(nats::group)
        .label(|message: &mut Message| {
            let headers = std::mem::take(&mut message.headers);
            let headers = headers.iter().map(|(name, value)| (&**name, &**value));
            (message.key, message.headers) = nats::unpack(headers);
        })
}
