//! Profiles: which broker is modelled, and what such a broker does.
//!
//! A profile is a setting, which a plan's artefact keeps, and a folder here: its settings and capabilities, the state
//! machine of its consumers, and the rules by which its log is judged. [`Profile::model`] is the one place that leads from
//! the one to the other; whoever needs to know more of a broker asks for its [`Capabilities`], never for its name.
//!
//! A model never does what the modelled broker's documented guarantees forbid, so that a broken
//! property is never the model's invention.

mod capabilities;
mod jetstream;
mod kafka;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use capabilities::{Capabilities, Deduplication};
pub use jetstream::JetStreamSettings;
pub use kafka::KafkaSettings;

use super::consumers::Consumers;
use super::rules::Rules;
use crate::plan::FaultKind;

/// The broker that is modelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Apache Kafka: partitioned log, consumer groups, cumulative offset commits.
    Kafka(KafkaSettings),
    /// NATS JetStream: streams, durable pull consumers, one lease a message.
    JetStream(JetStreamSettings),
}

/// What a profile has to say for itself.
pub(crate) trait Model {
    /// The profile in one word.
    fn name(&self) -> &'static str;

    /// What such a broker does, as its documentation promises it.
    fn capabilities(&self) -> Capabilities;

    /// The consumers of one group, which has none yet. What the broker does by itself is seen at `host`.
    fn consumers(&self, group: Arc<str>, host: Arc<str>) -> Box<dyn Consumers>;

    /// The rules of its log, for one history that is read from its beginning.
    fn rules<'h>(&'h self) -> Box<dyn Rules<'h> + 'h>;
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

    /// The model of the broker that the setting names.
    pub(crate) fn model(&self) -> &dyn Model {
        match self {
            Profile::Kafka(settings) => settings,
            Profile::JetStream(settings) => settings,
        }
    }

    /// What the modelled broker does.
    pub fn capabilities(&self) -> Capabilities {
        self.model().capabilities()
    }

    /// Whether the modelled broker can do this to its clients.
    pub fn knows(&self, kind: FaultKind) -> bool {
        kind != FaultKind::Rebalance || self.capabilities().assigns_partitions
    }

    /// `kafka` or `jetstream`.
    pub fn name(&self) -> &'static str {
        self.model().name()
    }
}
