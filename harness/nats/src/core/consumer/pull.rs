//! Requests that wait for messages of a pull consumer.
//!
//! Rules: <https://docs.nats.io/reference/reference-protocols/nats_api_reference#fetching-from-a-pull-based-consumer>.

use std::time::Duration;

use serde::Deserialize;

use super::Consumer;
use crate::api::nanos;
use crate::moment;

/// What a client asks for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct PullRequest {
    /// How many messages.
    pub(crate) batch: u64,
    /// For how long it waits; zero for as long as somebody listens.
    #[serde(with = "nanos")]
    pub(crate) expires: Duration,
    /// Not at all if there is nothing.
    pub(crate) no_wait: bool,
    /// How many bytes at most; zero for any number.
    pub(crate) max_bytes: u64,
    /// After how long without a message it wants a sign of life.
    #[serde(with = "nanos", rename = "idle_heartbeat")]
    pub(crate) heartbeat: Duration,
}

impl PullRequest {
    /// Reads the body of a request: nothing, a number, or JSON.
    ///
    /// # Errors
    /// It is JSON, but not of the form of a request; or it contradicts itself. The text is for the answer.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let body = body.trim_ascii();
        let mut request = if body.first() == Some(&b'{') {
            serde_json::from_slice(body).map_err(|error| error.to_string())?
        } else {
            let batch = std::str::from_utf8(body)
                .ok()
                .and_then(|text| text.parse().ok());
            Self {
                batch: batch.unwrap_or(1),
                ..Self::default()
            }
        };
        if !request.heartbeat.is_zero() && request.heartbeat * 2 > request.expires {
            return Err("heartbeat value too large".to_owned());
        }
        request.batch = request.batch.max(1);
        Ok(request)
    }
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Where its messages go.
    pub(crate) reply: String,
    /// How many messages it still wants.
    pub(crate) left: u64,
    /// How many messages it got.
    pub(crate) got: u64,
    /// How many bytes it still takes, if it said so.
    pub(crate) bytes: Option<u64>,
    /// When it has waited long enough.
    pub(crate) expires: Option<Duration>,
    /// Whether it ends where the stream ends.
    pub(crate) no_wait: bool,
    /// After how long without a message it wants a sign of life.
    heartbeat: Duration,
    /// When the next sign of life is due.
    pub(crate) heartbeat_due: Option<Duration>,
}

impl Waiting {
    /// `request`, whose messages go to `reply`, as it waits from `now` on.
    pub(crate) fn new(request: &PullRequest, reply: String, now: Duration) -> Self {
        let mut waiting = Self {
            reply,
            left: request.batch,
            got: 0,
            bytes: Some(request.max_bytes).filter(|bytes| *bytes > 0),
            expires: Some(request.expires)
                .filter(|span| !span.is_zero())
                .map(|span| now + span),
            no_wait: request.no_wait,
            heartbeat: request.heartbeat,
            heartbeat_due: None,
        };
        waiting.show_life(now);
        waiting
    }

    /// Counts a message or another sign of life.
    pub(crate) fn show_life(&mut self, now: Duration) {
        if !self.heartbeat.is_zero() {
            self.heartbeat_due = Some(now + self.heartbeat);
        }
    }

    /// When something is due for it.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.expires.into_iter().chain(self.heartbeat_due).min()
    }

    /// Whether it wants signs of life.
    pub(crate) fn wants_heartbeats(&self) -> bool {
        !self.heartbeat.is_zero()
    }
}

impl Consumer {
    /// Why a request is not taken, as status and text. Nothing if it is.
    pub(crate) fn refuses(&self, request: &PullRequest) -> Option<(u16, String)> {
        let config = &self.config;
        if self.is_push() {
            return Some((409, "Consumer is push based".to_owned()));
        }
        if config.max_batch > 0 && request.batch as i64 > config.max_batch {
            return Some((
                409,
                format!("Exceeded MaxRequestBatch of {}", config.max_batch),
            ));
        }
        if !config.max_expires.is_zero() && request.expires > config.max_expires {
            let max = moment::span(config.max_expires);
            return Some((409, format!("Exceeded MaxRequestExpires of {max}")));
        }
        if config.max_bytes > 0 && request.max_bytes as i64 > config.max_bytes {
            return Some((
                409,
                format!("Exceeded MaxRequestMaxBytes of {}", config.max_bytes),
            ));
        }
        if request.no_wait {
            let there = self.unseen + self.ledger.again_len() as u64;
            if there == 0 && request.expires.is_zero() {
                return Some((404, "No Messages".to_owned()));
            }
            let asked_for: u64 = self.waiting.iter().map(|waiting| waiting.left).sum();
            if there > 0 && there < asked_for {
                return Some((408, "Requests Pending".to_owned()));
            }
        }
        if self.waiting.len() as i64 >= config.max_waiting {
            return Some((409, "Exceeded MaxWaiting".to_owned()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_in_each_of_its_forms() {
        assert_eq!(PullRequest::read(b"").unwrap().batch, 1);
        assert_eq!(PullRequest::read(b" 17 ").unwrap().batch, 17);
        assert_eq!(PullRequest::read(b"{}").unwrap().batch, 1);
        let request =
            PullRequest::read(br#"{"batch":3,"expires":5000000000,"no_wait":true}"#).unwrap();
        assert_eq!((request.batch, request.no_wait), (3, true));
        assert_eq!(request.expires, Duration::from_secs(5));
        assert!(PullRequest::read(br#"{"batch":"#).is_err());
        assert!(PullRequest::read(br#"{"expires":10,"idle_heartbeat":6}"#).is_err());
    }
}
