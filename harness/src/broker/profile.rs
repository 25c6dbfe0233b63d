//! Profiles: which broker is modelled, and the settings that its documentation names.
//!
//! A profile says what the simulated broker may do. It never does what the modelled broker's
//! documented guarantees forbid, so that a broken property is never the model's invention.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::FaultKind;

/// The broker that is modelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Apache Kafka: partitioned log, consumer groups, cumulative offset commits.
    Kafka(KafkaSettings),
    /// NATS JetStream: streams, durable pull consumers, one lease a message.
    JetStream(JetStreamSettings),
}

impl Profile {
    /// Kafka with its usual settings, timeouts shortened to suit runs of seconds.
    pub fn kafka() -> Self {
        Profile::Kafka(KafkaSettings::default())
    }

    /// JetStream with its usual settings, timeouts shortened to suit runs of seconds.
    pub fn jetstream() -> Self {
        Profile::JetStream(JetStreamSettings::default())
    }

    /// Whether the modelled broker can do this to its clients.
    pub fn knows(&self, kind: FaultKind) -> bool {
        match self {
            Profile::Kafka(_) => true,
            Profile::JetStream(_) => kind != FaultKind::Rebalance,
        }
    }

    /// Whether an acknowledgement settles everything in its partition up to its offset.
    pub fn settles_cumulatively(&self) -> bool {
        match self {
            Profile::Kafka(_) => true,
            Profile::JetStream(_) => false,
        }
    }

    /// `kafka` or `jetstream`.
    pub fn name(&self) -> &'static str {
        match self {
            Profile::Kafka(_) => "kafka",
            Profile::JetStream(_) => "jetstream",
        }
    }
}

/// Settings of the Kafka profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaSettings {
    /// A member that sends no heartbeat for so long is removed from its group
    /// (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// Whether producers are idempotent (`enable.idempotence`): a producer's own resend of a
    /// message is recognised within one producer session.
    pub idempotent_producer: bool,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        KafkaSettings {
            session_timeout: Duration::from_secs(3),
            idempotent_producer: true,
        }
    }
}

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
