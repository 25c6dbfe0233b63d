//! The broker that a scenario models, and how long broker and services remember what they had.

use std::time::Duration;

use reference_system::ports::broker::header::MESSAGE_ID;
use reference_system::retention::Retention;
use stormglass::broker::{JetStreamSettings, Profile};
use stormglass::plan::{Budget, Load};

/// A broker that is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Apache Kafka, though the promise is one of any broker.
    Any,
    /// Apache Kafka, whose ways the scenario is about; another one is about JetStream's.
    Kafka,
    /// NATS JetStream.
    JetStream,
}

/// How long broker and services remember what they had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// For days, longer than any run.
    Long,
    /// For seconds; and at some time customers ask for nothing for longer than that.
    Short,
}

impl Model {
    /// `kafka` or `jetstream`.
    pub fn name(self) -> &'static str {
        self.profile(Memory::Long).name()
    }

    pub(super) fn profile(self, memory: Memory) -> Profile {
        match self {
            Model::Any | Model::Kafka => Profile::kafka(),
            Model::JetStream => Profile::JetStream(memory.jetstream()),
        }
    }
}

impl Memory {
    pub(super) fn jetstream(self) -> JetStreamSettings {
        JetStreamSettings {
            // The relay's adapter sends this header's value as the message's id.
            message_id_header: MESSAGE_ID.to_owned(),
            duplicate_window: match self {
                Memory::Long => JetStreamSettings::default().duplicate_window,
                Memory::Short => Duration::from_secs(2),
            },
            ..JetStreamSettings::default()
        }
    }

    pub(super) fn settings(self) -> reference_system::Settings {
        let retention = match self {
            Memory::Long => Retention::default(),
            Memory::Short => Retention {
                sent: Duration::from_secs(4),
                handled: Duration::from_secs(8),
                every: Duration::from_secs(1),
                ..Retention::default()
            },
        };
        reference_system::Settings {
            retention,
            ..reference_system::Settings::default()
        }
    }

    pub(super) fn budget(self) -> Budget {
        Budget {
            faults_max: 12,
            over_ms: 4_000,
            duration_ms_max: match self {
                Memory::Long => 3_000,
                // What stands still for so long has forgotten, or is forgotten.
                Memory::Short => 4_500,
            },
        }
    }

    pub(super) fn load(self) -> Load {
        let load = Load {
            operations_min: 12,
            operations_max: 20,
            over_ms: 3_000,
            ..Load::default()
        };
        match self {
            Memory::Long => load,
            Memory::Short => Load {
                pause_ms_min: 7_000,
                pause_ms_max: 12_000,
                ..load
            },
        }
    }
}
