//! The configuration of a stream: its fields, its defaults, and what of it cannot be.
//!
//! Rules: <https://docs.nats.io/nats-concepts/jetstream/streams#configuration>.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiError, known, nanos};
use crate::subject;

/// When messages leave a stream by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retention {
    /// When a limit is reached.
    #[default]
    Limits,
    /// Also when every consumer that wants them has settled them.
    Interest,
    /// Also when a consumer has settled them.
    WorkQueue,
}

/// What gives way when a limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    /// The oldest messages.
    #[default]
    Old,
    /// The new one, which is refused.
    New,
}

/// Where a stream is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk: it survives the server's process.
    #[default]
    File,
    /// In memory: it is gone with the server's process.
    Memory,
}

/// Limits for consumers that set none themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerLimits {
    /// After how long a consumer that nobody uses is deleted.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub inactive_threshold: Duration,
    /// How many messages may be delivered and not settled.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
}

/// The configuration of a stream. A limit of -1 is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamConfig {
    /// The stream's name.
    pub name: String,
    /// A text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The patterns of the subjects that it stores; the name if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub subjects: Vec<String>,
    /// When messages leave by themselves.
    pub retention: Retention,
    /// How many consumers there may be.
    pub max_consumers: i64,
    /// How many messages there may be.
    pub max_msgs: i64,
    /// How many bytes the messages may take, with what the store needs for each.
    pub max_bytes: i64,
    /// How old a message may become; zero for no limit.
    #[serde(with = "nanos")]
    pub max_age: Duration,
    /// How many messages of one subject there may be.
    pub max_msgs_per_subject: i64,
    /// How large a message may be, headers included.
    pub max_msg_size: i64,
    /// What gives way when a limit is reached.
    pub discard: Discard,
    /// Whether `discard` of new messages also holds for the limit per subject.
    #[serde(skip_serializing_if = "is_false")]
    pub discard_new_per_subject: bool,
    /// Where the stream is kept.
    pub storage: Storage,
    /// How many servers keep it. One does.
    pub num_replicas: i64,
    /// Publishes are not answered.
    #[serde(skip_serializing_if = "is_false")]
    pub no_ack: bool,
    /// For how long the id of a message is remembered.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub duplicate_window: Duration,
    /// The sequence of the first message.
    #[serde(skip_serializing_if = "is_zero_unsigned")]
    pub first_seq: u64,
    /// Messages can be read past the API.
    pub allow_direct: bool,
    /// As `allow_direct`, for mirrors. Without effect.
    pub mirror_direct: bool,
    /// Nothing comes in or goes out any more.
    pub sealed: bool,
    /// Single messages cannot be deleted.
    pub deny_delete: bool,
    /// The stream cannot be purged.
    pub deny_purge: bool,
    /// A message may take the place of all before it.
    pub allow_rollup_hdrs: bool,
    /// A message may say how old it may become.
    pub allow_msg_ttl: bool,
    /// How long a note stands where the last message of a subject left by its age.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub subject_delete_marker_ttl: Duration,
    /// Limits for consumers that set none themselves.
    pub consumer_limits: ConsumerLimits,
    /// How a store packs messages. Without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Texts for people and tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Not supported.
    #[serde(skip_serializing_if = "is_unset")]
    pub mirror: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "is_unset")]
    pub sources: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "is_unset")]
    pub subject_transform: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "is_unset")]
    pub republish: Option<Value>,
    /// Not supported.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_counter: bool,
    /// Not supported.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_schedules: bool,
    /// Not supported.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_atomic: bool,
    /// Where replicas are put. Without effect.
    #[serde(skip_serializing_if = "is_unset")]
    pub placement: Option<Value>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_zero_unsigned(value: &u64) -> bool {
    *value == 0
}

/// Whether a part that is not supported was left out, or sent with nothing in it.
fn is_unset(value: &Option<Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

/// A list that some clients write as null when it is empty.
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

/// How long the id of a message is remembered if the stream does not say.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The shortest age and window.
const SPAN_MIN: Duration = Duration::from_millis(100);

impl StreamConfig {
    /// This configuration with its defaults filled in.
    ///
    /// # Errors
    /// The configuration cannot be, or asks for what this server does not have.
    pub(crate) fn checked(mut self) -> Result<Self, ApiError> {
        let refuse = |reason: &str| Err(ApiError::stream_config(reason));
        if !subject::is_asset_name(&self.name) {
            return refuse("stream name is required and can not contain '.', '*', '>', '\\', '/'");
        }
        self.description.take_if(|text| text.is_empty());
        self.check_supported()?;
        for limit in [
            &mut self.max_msgs,
            &mut self.max_msgs_per_subject,
            &mut self.max_bytes,
            &mut self.max_msg_size,
            &mut self.max_consumers,
        ] {
            if *limit == 0 || *limit < -1 {
                *limit = -1;
            }
        }
        self.num_replicas = self.num_replicas.max(1);
        self.compression.get_or_insert_with(|| "none".to_owned());
        self.check_spans()?;
        if self.deny_purge && self.allow_rollup_hdrs {
            return refuse("roll-ups require the purge permission");
        }
        if self.discard_new_per_subject && self.discard != Discard::New {
            return refuse("discard new per subject requires discard new policy to be set");
        }
        if self.discard_new_per_subject && self.max_msgs_per_subject <= 0 {
            return refuse("discard new per subject requires max msgs per subject > 0");
        }
        if self.subjects.is_empty() {
            self.subjects.push(self.name.clone());
        }
        self.check_subjects()?;
        if self.sealed {
            self.max_age = Duration::ZERO;
            self.discard = Discard::New;
            (self.deny_delete, self.deny_purge, self.allow_rollup_hdrs) = (true, true, false);
        }
        Ok(self)
    }

    fn check_supported(&self) -> Result<(), ApiError> {
        if self.num_replicas > 1 {
            return Err(known::REPLICAS.into());
        }
        for (part, unset) in [
            ("mirror", is_unset(&self.mirror)),
            ("sources", is_unset(&self.sources)),
            ("subject_transform", is_unset(&self.subject_transform)),
            ("republish", is_unset(&self.republish)),
            ("allow_msg_counter", !self.allow_msg_counter),
            ("allow_msg_schedules", !self.allow_msg_schedules),
            ("allow_atomic", !self.allow_atomic),
        ] {
            if !unset {
                return Err(ApiError::stream_config(format!(
                    "{part} is not supported by this server"
                )));
            }
        }
        Ok(())
    }

    fn check_spans(&mut self) -> Result<(), ApiError> {
        let refuse = |reason: &str| Err(ApiError::stream_config(reason));
        if !self.max_age.is_zero() && self.max_age < SPAN_MIN {
            return refuse("max age needs to be >= 100ms");
        }
        if self.duplicate_window.is_zero() {
            self.duplicate_window = match self.max_age.is_zero() {
                true => DUPLICATE_WINDOW,
                false => DUPLICATE_WINDOW.min(self.max_age),
            };
        }
        if !self.max_age.is_zero() && self.duplicate_window > self.max_age {
            return refuse("duplicates window can not be larger then max age");
        }
        if self.duplicate_window < SPAN_MIN {
            return refuse("duplicates window needs to be >= 100ms");
        }
        if !self.subject_delete_marker_ttl.is_zero() {
            if self.subject_delete_marker_ttl < Duration::from_secs(1) {
                return refuse("subject delete marker TTL must be at least 1 second");
            }
            (self.allow_msg_ttl, self.allow_rollup_hdrs, self.deny_purge) = (true, true, false);
        }
        Ok(())
    }

    fn check_subjects(&self) -> Result<(), ApiError> {
        let refuse = |reason: &str| Err(ApiError::stream_config(reason));
        for (at, subject) in self.subjects.iter().enumerate() {
            if !subject::is_valid(subject) {
                return refuse("invalid subject");
            }
            if self.subjects[..at].contains(subject) {
                return refuse("duplicate subjects detected");
            }
            if subject == ">" && !self.no_ack {
                return refuse("capturing all subjects requires no-ack to be true");
            }
            let of_server = |namespace: &&str| subject::overlap(subject, namespace);
            let may_be_stored = ["$JS.EVENT.>", "$SYS.ACCOUNT.>"];
            if !self.no_ack
                && ["$JS.>", "$JSC.>", "$NRG.>", "$SYS.>"]
                    .iter()
                    .any(of_server)
                && !may_be_stored
                    .iter()
                    .any(|namespace| subject::covers(namespace, subject))
            {
                return refuse(
                    "subjects that overlap with jetstream api require no-ack to be true",
                );
            }
            if let Some(other) = self.subjects[at + 1..]
                .iter()
                .find(|other| subject::overlap(other, subject))
            {
                return Err(ApiError::stream_config(format!(
                    "subject {subject:?} overlaps with {other:?}"
                )));
            }
        }
        Ok(())
    }

    /// Whether `new`, which was checked, may take the place of this configuration.
    pub(crate) fn check_update(&self, new: &Self) -> Result<(), ApiError> {
        let work_queue =
            self.retention == Retention::WorkQueue || new.retention == Retention::WorkQueue;
        for (broken, reason) in [
            (
                self.name != new.name,
                "stream configuration name must match original",
            ),
            (
                self.storage != new.storage,
                "stream configuration update can not change storage type",
            ),
            (
                work_queue && self.retention != new.retention,
                "stream configuration update can not change retention policy to/from workqueue",
            ),
            (
                self.sealed && !new.sealed,
                "stream configuration update can not unseal a sealed stream",
            ),
            (
                self.deny_delete && !new.deny_delete,
                "stream configuration update can not cancel deny message deletes",
            ),
            (
                self.deny_purge && !new.deny_purge,
                "stream configuration update can not cancel deny purge",
            ),
            (
                self.allow_msg_ttl && !new.allow_msg_ttl,
                "message TTL status can not be disabled",
            ),
        ] {
            if broken {
                return Err(ApiError::stream_config(reason));
            }
        }
        Ok(())
    }

    /// How old a message may become that says `ttl`. It outlives the note of the message before it, which
    /// would be missed otherwise; where there is one message of each subject, there is no such note.
    pub(crate) fn time_to_live(&self, ttl: Duration) -> Duration {
        match self.max_msgs_per_subject {
            1 => ttl,
            _ => ttl.max(self.subject_delete_marker_ttl),
        }
    }

    /// Whether the stream stores messages with this subject.
    pub(crate) fn stores(&self, subject: &str) -> bool {
        self.subjects
            .iter()
            .any(|pattern| subject::matches(pattern, subject))
    }
}
