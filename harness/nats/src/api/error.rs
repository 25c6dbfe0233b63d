//! Errors of the API, with the codes that clients look at.

use serde::Serialize;

/// Why a request was refused. The codes are those of
/// <https://github.com/nats-io/nats-server/blob/main/server/errors.json>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{description} ({err_code})")]
pub struct ApiError {
    /// The class of the error, as HTTP has them.
    pub code: u16,
    /// The error itself.
    pub err_code: u16,
    /// The error, for people.
    pub description: String,
}

impl ApiError {
    /// An error of these codes.
    pub fn new(code: u16, err_code: u16, description: impl Into<String>) -> Self {
        Self {
            code,
            err_code,
            description: description.into(),
        }
    }

    /// What a server answers that has no room left: 503, 10023.
    pub fn insufficient_resources() -> Self {
        known::INSUFFICIENT_RESOURCES.into()
    }

    /// What a server answers that could not store a message: 503, 10077.
    pub fn store_failed(reason: impl Into<String>) -> Self {
        Self::new(503, 10077, reason)
    }

    /// What a server answers to a message that its stream's `max_msg_size` does not admit: 400, 10054.
    pub fn message_too_large() -> Self {
        Self::new(400, 10054, "message size exceeds maximum allowed")
    }

    /// A configuration of a stream that cannot be.
    pub(crate) fn stream_config(reason: impl Into<String>) -> Self {
        Self::new(500, 10052, reason)
    }

    /// A start of a consumer that cannot be.
    pub(crate) fn deliver_policy(reason: impl Into<String>) -> Self {
        Self::new(400, 10094, reason)
    }

    /// A request that is no JSON of the expected form.
    pub(crate) fn invalid_json(error: &serde_json::Error) -> Self {
        Self::new(400, 10025, format!("invalid JSON: {error}"))
    }
}

/// An error with a fixed text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known(u16, u16, &'static str);

impl From<Known> for ApiError {
    fn from(Known(code, err_code, description): Known) -> Self {
        Self::new(code, err_code, description)
    }
}

/// The errors with a fixed text.
pub(crate) mod known {
    use super::Known;

    pub(crate) const BAD_REQUEST: Known = Known(400, 10003, "bad request");
    pub(crate) const CONSUMER_NAME_EXISTS: Known =
        Known(400, 10013, "consumer name already in use");
    pub(crate) const CONSUMER_NOT_FOUND: Known = Known(404, 10014, "consumer not found");
    pub(crate) const DURABLE_NOT_IN_SUBJECT: Known = Known(
        400,
        10016,
        "consumer expected to be durable but no durable name set in subject",
    );
    pub(crate) const DURABLE_NOT_AS_IN_SUBJECT: Known = Known(
        400,
        10017,
        "consumer name in subject does not match durable name in request",
    );
    pub(crate) const DURABLE_NOT_SET: Known = Known(
        400,
        10018,
        "consumer expected to be durable but a durable name was not set",
    );
    pub(crate) const EPHEMERAL_WITH_DURABLE: Known = Known(
        400,
        10020,
        "consumer expected to be ephemeral but a durable name was set in request",
    );
    pub(crate) const INSUFFICIENT_RESOURCES: Known = Known(503, 10023, "insufficient resources");
    pub(crate) const CONSUMERS_MAX: Known = Known(400, 10026, "maximum consumers limit reached");
    pub(crate) const NO_MESSAGE: Known = Known(404, 10037, "no message found");
    pub(crate) const MESSAGE_TOO_LARGE: Known =
        Known(400, 10054, "message size exceeds maximum allowed");
    pub(crate) const STREAM_NAME_MISMATCH: Known =
        Known(400, 10056, "stream name in subject does not match request");
    pub(crate) const STREAM_NAME_EXISTS: Known = Known(
        400,
        10058,
        "stream name already in use with a different configuration",
    );
    pub(crate) const STREAM_NOT_FOUND: Known = Known(404, 10059, "stream not found");
    pub(crate) const EXPECTED_STREAM: Known = Known(400, 10060, "expected stream does not match");
    pub(crate) const SUBJECTS_OVERLAP: Known =
        Known(400, 10065, "subjects overlap with an existing stream");
    pub(crate) const REPLICAS: Known = Known(
        500,
        10074,
        "replicas > 1 not supported in non-clustered mode",
    );
    pub(crate) const DELIVER_WILDCARDS: Known =
        Known(400, 10079, "consumer deliver subject has wildcards");
    pub(crate) const PUSH_MAX_WAITING: Known =
        Known(400, 10080, "consumer in push mode can not set max waiting");
    pub(crate) const DELIVER_CYCLE: Known =
        Known(400, 10081, "consumer deliver subject forms a cycle");
    pub(crate) const MAX_PENDING_WITHOUT_ACK: Known = Known(
        400,
        10082,
        "consumer requires ack policy for max ack pending",
    );
    pub(crate) const SMALL_HEARTBEAT: Known =
        Known(400, 10083, "consumer idle heartbeat needs to be >= 100ms");
    pub(crate) const PULL_REQUIRES_ACK: Known = Known(
        400,
        10084,
        "consumer in pull mode requires explicit ack policy on workqueue stream",
    );
    pub(crate) const PULL_RATE_LIMIT: Known = Known(
        400,
        10086,
        "consumer in pull mode can not have rate limit set",
    );
    pub(crate) const PULL_HEARTBEAT: Known = Known(
        400,
        10088,
        "consumer idle heartbeat requires a push based consumer",
    );
    pub(crate) const PULL_FLOW_CONTROL: Known = Known(
        400,
        10089,
        "consumer flow control requires a push based consumer",
    );
    pub(crate) const HEADERS_TOO_LARGE: Known =
        Known(400, 10097, "header size exceeds maximum allowed of 64k");
    pub(crate) const WORK_QUEUE_ACK: Known =
        Known(400, 10098, "workqueue stream requires explicit ack");
    pub(crate) const WORK_QUEUE_UNFILTERED: Known = Known(
        400,
        10099,
        "multiple non-filtered consumers not allowed on workqueue stream",
    );
    pub(crate) const WORK_QUEUE_NOT_UNIQUE: Known = Known(
        400,
        10100,
        "filtered consumer not unique on workqueue stream",
    );
    pub(crate) const WORK_QUEUE_DELIVER_ALL: Known = Known(
        400,
        10101,
        "consumer must be deliver all on workqueue stream",
    );
    pub(crate) const FLOW_CONTROL_HEARTBEAT: Known = Known(
        400,
        10108,
        "consumer with flow control also needs heartbeats",
    );
    pub(crate) const SEALED: Known = Known(400, 10109, "invalid operation on sealed stream");
    pub(crate) const DELIVER_SUBJECT: Known =
        Known(400, 10112, "invalid push consumer deliver subject");
    pub(crate) const MAX_EXPIRES_SMALL: Known = Known(
        400,
        10115,
        "consumer max request expires needs to be >= 1ms",
    );
    pub(crate) const MAX_DELIVER_BACKOFF: Known = Known(
        400,
        10116,
        "max deliver is required to be > length of backoff values",
    );
    pub(crate) const CONSUMER_NAME_PATH: Known =
        Known(400, 10127, "Consumer name can not contain path separators");
    pub(crate) const FILTER_NOT_AS_IN_SUBJECT: Known = Known(
        400,
        10131,
        "Consumer create request did not match filtered subject from create subject",
    );
    pub(crate) const DURABLE_AND_NAME: Known = Known(
        400,
        10132,
        "Consumer Durable and Name have to be equal if both are provided",
    );
    pub(crate) const BOTH_FILTERS: Known = Known(
        400,
        10136,
        "consumer cannot have both FilterSubject and FilterSubjects specified",
    );
    pub(crate) const MANY_FILTERS_IN_SUBJECT: Known = Known(
        400,
        10137,
        "consumer with multiple subject filters cannot use subject based API",
    );
    pub(crate) const FILTERS_OVERLAP: Known =
        Known(400, 10138, "consumer subject filters cannot overlap");
    pub(crate) const EMPTY_FILTER: Known = Known(
        400,
        10139,
        "consumer filter in FilterSubjects cannot be empty",
    );
    pub(crate) const CONSUMER_EXISTS: Known = Known(400, 10148, "consumer already exists");
    pub(crate) const CONSUMER_DOES_NOT_EXIST: Known = Known(400, 10149, "consumer does not exist");
    pub(crate) const MESSAGE_TTL_INVALID: Known = Known(400, 10165, "invalid per-message TTL");
    pub(crate) const MESSAGE_TTL_DISABLED: Known = Known(400, 10166, "per-message TTL is disabled");
    pub(crate) const EXPECTED_SUBJECT_WITHOUT_SEQUENCE: Known = Known(
        400,
        10193,
        "missing sequence for expected last sequence per subject",
    );
}
