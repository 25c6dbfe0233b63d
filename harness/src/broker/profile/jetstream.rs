//! NATS JetStream: its settings, and what it does.

mod lease;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Capabilities, Deduplication, Model};
use crate::broker::consumers::Consumers;
use crate::broker::rules::Rules;
use lease::JetStreamGroup;
use rules::Reading;

/// Settings of the JetStream profile. A topic's partitions are subjects of the deterministic
/// subject mapping, each with a durable consumer of its own for every group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JetStreamSettings {
    /// A delivery that is not settled for so long is delivered again (`ack_wait`).
    pub ack_wait: Duration,
    /// How many deliveries of a partition may be unsettled at once (`max_ack_pending`). One keeps
    /// the order of a partition; more lets a redelivery be overtaken.
    pub max_ack_pending: u32,
    /// How long a message id is remembered (`duplicate_window`).
    pub duplicate_window: Duration,
    /// The header that carries the message id. NATS looks at `Nats-Msg-Id` only, and takes a message
    /// without it whatever it has taken before; name another header here if the producer's adapter
    /// sends that one's value as `Nats-Msg-Id`.
    pub message_id_header: String,
}

impl Default for JetStreamSettings {
    fn default() -> Self {
        JetStreamSettings {
            ack_wait: Duration::from_secs(3),
            max_ack_pending: 1,
            duplicate_window: Duration::from_secs(120),
            message_id_header: "Nats-Msg-Id".to_owned(),
        }
    }
}

impl JetStreamSettings {
    /// How many deliveries of a partition may be unsettled at once; zero is taken for one.
    fn unsettled_max(&self) -> u32 {
        self.max_ack_pending.max(1)
    }
}

impl Model for JetStreamSettings {
    fn name(&self) -> &'static str {
        "jetstream"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settles_cumulatively: false,
            assigns_partitions: false,
            answers_settlements: false,
            session_timeout: None,
            ack_wait: Some(self.ack_wait),
            unsettled_max: Some(self.unsettled_max()),
            // "Message Deduplication" (JetStream model deep dive).
            deduplication: Deduplication::MessageId {
                header: self.message_id_header.clone(),
                window: self.duplicate_window,
            },
        }
    }

    fn consumers(&self, group: Arc<str>, host: Arc<str>) -> Box<dyn Consumers> {
        Box::new(JetStreamGroup::new(group, host, self))
    }

    fn rules<'h>(&'h self) -> Box<dyn Rules<'h> + 'h> {
        Box::new(Reading::new(self))
    }
}
