//! Apache Kafka: its settings, and what it does.

mod group;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Capabilities, Deduplication, Model};
use crate::broker::consumers::Consumers;
use crate::broker::rules::Rules;
use group::KafkaGroup;
use rules::Reading;

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

impl Model for KafkaSettings {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settles_cumulatively: true,
            assigns_partitions: true,
            answers_settlements: true,
            session_timeout: Some(self.session_timeout),
            ack_wait: None,
            unsettled_max: None,
            // "KIP-98 Exactly Once Delivery", section "Idempotent Producer Guarantees".
            deduplication: match self.idempotent_producer {
                true => Deduplication::ProducerSequence,
                false => Deduplication::Nothing,
            },
        }
    }

    fn consumers(&self, group: Arc<str>, host: Arc<str>) -> Box<dyn Consumers> {
        Box::new(KafkaGroup::new(group, host, self.session_timeout))
    }

    fn rules<'h>(&'h self) -> Box<dyn Rules<'h> + 'h> {
        Box::new(Reading::default())
    }
}
