//! The configuration of a consumer: its fields, its defaults, and what of it cannot be.
//!
//! Rules: <https://docs.nats.io/nats-concepts/jetstream/consumers#configuration>.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ApiError, Retention, StreamConfig, known, nanos, nanos_list};
use crate::{moment, subject};

/// Where in its stream a consumer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverPolicy {
    /// At the first message.
    #[default]
    All,
    /// At the last message.
    Last,
    /// At the next message.
    New,
    /// At a sequence.
    ByStartSequence,
    /// At the first message since a time.
    ByStartTime,
    /// At the last message of each subject.
    LastPerSubject,
}

/// How messages are settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckPolicy {
    /// By being delivered.
    #[default]
    None,
    /// Each one settles all before it too.
    All,
    /// Each one by itself.
    Explicit,
}

/// How fast stored messages are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPolicy {
    /// As fast as they are taken.
    #[default]
    Instant,
    /// As they were published. It is accepted, and treated as `Instant`.
    Original,
}

/// The configuration of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerConfig {
    /// The name of a consumer that stays when nobody uses it.
    #[serde(skip_serializing_if = "Option::is_none", rename = "durable_name")]
    pub durable: Option<String>,
    /// The consumer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where in its stream it begins.
    pub deliver_policy: DeliverPolicy,
    /// The sequence to begin at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_seq: Option<u64>,
    /// The time to begin at, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<String>,
    /// How messages are settled.
    pub ack_policy: AckPolicy,
    /// How long a message may be unsettled before it is delivered again.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub ack_wait: Duration,
    /// How often a message is delivered at most, or -1.
    pub max_deliver: i64,
    /// `ack_wait` by the number of the delivery.
    #[serde(with = "nanos_list", skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<Duration>,
    /// The pattern of the subjects that it wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_subject: Option<String>,
    /// The patterns of the subjects that it wants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// How fast stored messages are delivered.
    pub replay_policy: ReplayPolicy,
    /// The most that is pushed, in bits a second. It is accepted, and without effect.
    #[serde(skip_serializing_if = "is_zero_unsigned")]
    pub rate_limit_bps: u64,
    /// How many settlements are reported. It is accepted, and without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_freq: Option<String>,
    /// How many requests may wait.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_waiting: i64,
    /// How many messages may be delivered and not settled, or -1.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    /// The client confirms what it was pushed.
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    /// Payloads are left out.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    /// The most that one request may ask for.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_batch: i64,
    /// The longest that one request may wait.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub max_expires: Duration,
    /// The most bytes that one request may ask for.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_bytes: i64,
    /// Where messages are pushed to. Without it they are pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_subject: Option<String>,
    /// The queue group of which one member gets each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_group: Option<String>,
    /// After how long without a message a sign of life is pushed.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub idle_heartbeat: Duration,
    /// After how long a consumer that nobody uses is deleted; zero for never, or the default if it is not
    /// durable.
    #[serde(with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub inactive_threshold: Duration,
    /// How many servers keep it. Without effect.
    pub num_replicas: i64,
    /// It is kept in memory. Without effect.
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    /// Nothing is delivered before this time, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<String>,
    /// Texts for people and tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Not supported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<String>,
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

/// How long a message may be unsettled if the consumer does not say.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// For how long a consumer that is not durable and does not say stays when nobody uses it.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(5);

/// How many requests may wait if the consumer does not say.
const MAX_WAITING: i64 = 512;

/// How many messages may be unsettled if the consumer does not say.
const MAX_ACK_PENDING: i64 = 1000;

impl ConsumerConfig {
    /// This configuration with its defaults filled in, for a consumer of a stream.
    ///
    /// # Errors
    /// The configuration cannot be, or asks for what this server does not have.
    pub(crate) fn checked(mut self, stream: &StreamConfig) -> Result<Self, ApiError> {
        // Clients write what is not set as an empty text, too.
        for text in [
            &mut self.durable,
            &mut self.name,
            &mut self.description,
            &mut self.filter_subject,
            &mut self.deliver_subject,
            &mut self.deliver_group,
            &mut self.sample_freq,
        ] {
            text.take_if(|text| text.is_empty());
        }
        self.opt_start_seq.take_if(|sequence| *sequence == 0);
        self.set_defaults(stream);
        self.check_names()?;
        if !self.priority_groups.is_empty() {
            return Err(ApiError::stream_config(
                "priority groups are not supported by this server",
            ));
        }
        if self.max_deliver != -1 && self.backoff.len() as i64 > self.max_deliver {
            return Err(known::MAX_DELIVER_BACKOFF.into());
        }
        match self.deliver_subject.clone() {
            Some(subject) => self.check_push(&subject, stream)?,
            None => self.check_pull(stream)?,
        }
        self.check_limits(stream)?;
        self.check_filters()?;
        self.check_start()?;
        if self.flow_control && self.idle_heartbeat.is_zero() {
            return Err(known::FLOW_CONTROL_HEARTBEAT.into());
        }
        if self
            .pause_until
            .as_deref()
            .is_some_and(|until| moment::parse_rfc3339(until).is_none())
        {
            return Err(known::BAD_REQUEST.into());
        }
        Ok(self)
    }

    fn set_defaults(&mut self, stream: &StreamConfig) {
        if self.max_deliver == 0 || self.max_deliver < -1 {
            self.max_deliver = -1;
        }
        for limit in [
            &mut self.max_waiting,
            &mut self.max_batch,
            &mut self.max_bytes,
        ] {
            *limit = (*limit).max(0);
        }
        self.max_ack_pending = self.max_ack_pending.max(-1);
        if self.deliver_subject.is_none() && self.max_waiting == 0 {
            self.max_waiting = MAX_WAITING;
        }
        if self.ack_wait.is_zero() && self.ack_policy != AckPolicy::None {
            self.ack_wait = ACK_WAIT;
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.max_ack_pending == 0 {
            self.max_ack_pending = stream.consumer_limits.max_ack_pending;
        }
        if self.inactive_threshold.is_zero() {
            self.inactive_threshold = stream.consumer_limits.inactive_threshold;
        }
        if self.inactive_threshold.is_zero() && !self.is_durable() {
            self.inactive_threshold = INACTIVE_THRESHOLD;
        }
        if self.max_ack_pending == 0 && self.ack_policy != AckPolicy::None {
            self.max_ack_pending = MAX_ACK_PENDING;
        }
    }

    fn check_names(&self) -> Result<(), ApiError> {
        if self
            .name
            .as_deref()
            .is_some_and(|name| !subject::is_asset_name(name))
        {
            return Err(ApiError::stream_config(
                "consumer name can not contain '.', '*', '>', '\\', '/'",
            ));
        }
        if self
            .durable
            .as_deref()
            .is_some_and(|name| !subject::is_asset_name(name))
        {
            return Err(ApiError::stream_config(
                "consumer durable name can not contain '.', '*', '>', '\\', '/'",
            ));
        }
        if self.durable.is_some() && self.name.is_some() && self.durable != self.name {
            return Err(known::DURABLE_AND_NAME.into());
        }
        Ok(())
    }

    fn check_push(&self, deliver: &str, stream: &StreamConfig) -> Result<(), ApiError> {
        if !subject::is_literal(deliver) {
            return Err(known::DELIVER_WILDCARDS.into());
        }
        if !subject::is_valid(deliver) {
            return Err(known::DELIVER_SUBJECT.into());
        }
        if stream.stores(deliver) {
            return Err(known::DELIVER_CYCLE.into());
        }
        if self.max_waiting != 0 {
            return Err(known::PUSH_MAX_WAITING.into());
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(known::MAX_PENDING_WITHOUT_ACK.into());
        }
        if !self.idle_heartbeat.is_zero() && self.idle_heartbeat < Duration::from_millis(100) {
            return Err(known::SMALL_HEARTBEAT.into());
        }
        Ok(())
    }

    fn check_pull(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if self.ack_policy == AckPolicy::None && stream.retention == Retention::WorkQueue {
            return Err(known::PULL_REQUIRES_ACK.into());
        }
        if self.rate_limit_bps > 0 {
            return Err(known::PULL_RATE_LIMIT.into());
        }
        if !self.idle_heartbeat.is_zero() {
            return Err(known::PULL_HEARTBEAT.into());
        }
        if self.flow_control {
            return Err(known::PULL_FLOW_CONTROL.into());
        }
        if !self.max_expires.is_zero() && self.max_expires < Duration::from_millis(1) {
            return Err(known::MAX_EXPIRES_SMALL.into());
        }
        Ok(())
    }

    fn check_limits(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let limits = &stream.consumer_limits;
        if limits.max_ack_pending > 0 && self.max_ack_pending > limits.max_ack_pending {
            let text = "consumer max ack pending exceeds system limit of";
            return Err(ApiError::new(
                400,
                10121,
                format!("{text} {}", limits.max_ack_pending),
            ));
        }
        let max = limits.inactive_threshold;
        if !max.is_zero() && self.inactive_threshold > max {
            let text = "consumer inactive threshold exceeds system limit of";
            return Err(ApiError::new(
                400,
                10153,
                format!("{text} {}", moment::span(max)),
            ));
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        if self.filter_subject.is_some() && !self.filter_subjects.is_empty() {
            return Err(known::BOTH_FILTERS.into());
        }
        if self.filter_subjects.iter().any(String::is_empty) {
            return Err(known::EMPTY_FILTER.into());
        }
        let filters = self.filters();
        if filters.iter().any(|filter| !subject::is_valid(filter)) {
            return Err(ApiError::stream_config("invalid subject"));
        }
        for (at, filter) in filters.iter().enumerate() {
            let covered =
                |other: &String| subject::covers(other, filter) || subject::covers(filter, other);
            if filters[..at].iter().any(covered) {
                return Err(known::FILTERS_OVERLAP.into());
            }
        }
        Ok(())
    }

    /// Refuses a place to begin that does not go with the policy.
    fn check_start(&self) -> Result<(), ApiError> {
        let (policy, sequence, time) = match self.deliver_policy {
            DeliverPolicy::All => ("all", false, false),
            DeliverPolicy::Last => ("last", false, false),
            DeliverPolicy::LastPerSubject => ("last per subject", false, false),
            DeliverPolicy::New => ("new", false, false),
            DeliverPolicy::ByStartSequence => ("by start sequence", true, false),
            DeliverPolicy::ByStartTime => ("by start time", false, true),
        };
        let also = |what: &str| {
            ApiError::deliver_policy(format!(
                "consumer delivery policy is deliver {policy}, but optional start {what} is also set"
            ))
        };
        let missing = |what: &str| {
            ApiError::deliver_policy(format!(
                "consumer delivery policy is deliver {policy}, but optional {what} is not set"
            ))
        };
        match (&self.opt_start_seq, &self.opt_start_time) {
            (Some(_), _) if !sequence => return Err(also("sequence")),
            (_, Some(_)) if !time => return Err(also("time")),
            (None, _) if sequence => return Err(missing("start sequence")),
            (_, None) if time => return Err(missing("start time")),
            _ => {}
        }
        if let Some(start) = &self.opt_start_time
            && moment::parse_rfc3339(start).is_none()
        {
            return Err(known::BAD_REQUEST.into());
        }
        if self.deliver_policy == DeliverPolicy::LastPerSubject && self.filters().is_empty() {
            return Err(missing("filter subject"));
        }
        Ok(())
    }

    /// Whether `new`, which was checked, may take the place of this configuration.
    pub(crate) fn check_update(&self, new: &Self) -> Result<(), ApiError> {
        for (broken, reason) in [
            (
                self.deliver_policy != new.deliver_policy,
                "deliver policy can not be updated",
            ),
            (
                self.opt_start_seq != new.opt_start_seq,
                "start sequence can not be updated",
            ),
            (
                self.opt_start_time != new.opt_start_time,
                "start time can not be updated",
            ),
            (
                self.ack_policy != new.ack_policy,
                "ack policy can not be updated",
            ),
            (
                self.replay_policy != new.replay_policy,
                "replay policy can not be updated",
            ),
            (
                self.idle_heartbeat != new.idle_heartbeat,
                "heart beats can not be updated",
            ),
            (
                self.flow_control != new.flow_control,
                "flow control can not be updated",
            ),
            (
                self.deliver_subject.is_none() && new.deliver_subject.is_some(),
                "can not update pull consumer to push based",
            ),
            (
                self.deliver_subject.is_some() && new.deliver_subject.is_none(),
                "can not update push consumer to pull based",
            ),
            (
                self.max_waiting != new.max_waiting,
                "max waiting can not be updated",
            ),
        ] {
            if broken {
                return Err(ApiError::new(500, 10012, reason));
            }
        }
        Ok(())
    }

    /// Whether the consumer stays when nobody uses it.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable.is_some()
    }

    /// The patterns of the subjects that it wants; all if there are none.
    pub(crate) fn filters(&self) -> Vec<String> {
        self.filter_subject
            .iter()
            .chain(&self.filter_subjects)
            .cloned()
            .collect()
    }

    /// How long a message may be unsettled that was redelivered so often already.
    pub(crate) fn lease(&self, redeliveries: u64) -> Duration {
        let at = (redeliveries as usize).min(self.backoff.len().saturating_sub(1));
        // A lease that is over at once would be renewed without end.
        self.backoff
            .get(at)
            .copied()
            .unwrap_or(self.ack_wait)
            .max(Duration::from_millis(1))
    }
}
