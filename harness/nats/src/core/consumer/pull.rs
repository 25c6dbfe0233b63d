//! Requests that wait for messages of a pull consumer.
//!
//! Rules:
//! <https://docs.nats.io/reference/reference-protocols/nats_api_reference#fetching-from-a-pull-based-consumer>.

use std::time::Duration;

use serde::Deserialize;

use super::Consumer;
use crate::moment;

/// What a client asks for. Numbers below zero are taken as they are: such a request gets one message at most.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct PullRequest {
    /// How many messages.
    pub(crate) batch: i64,
    /// For how many nanoseconds it waits; zero for as long as somebody listens.
    pub(crate) expires: i64,
    /// Not at all if there is nothing.
    pub(crate) no_wait: bool,
    /// How many bytes at most; any number if it is not above zero.
    pub(crate) max_bytes: i64,
    /// After how many nanoseconds without a message it wants a sign of life.
    #[serde(rename = "idle_heartbeat")]
    pub(crate) heartbeat: i64,
}

impl PullRequest {
    /// Reads the body of a request: nothing, a number, or JSON.
    ///
    /// # Errors
    /// It is JSON, but not of the form of a request; or it contradicts itself. The text is for the answer.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let body = body.trim_ascii();
        if body.first() != Some(&b'{') {
            let batch = std::str::from_utf8(body)
                .ok()
                .and_then(|text| text.parse().ok());
            return Ok(Self {
                batch: batch.unwrap_or(1),
                ..Self::default()
            });
        }
        let request: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if request.heartbeat > 0 && request.heartbeat.saturating_mul(2) > request.expires {
            return Err("heartbeat value too large".to_owned());
        }
        Ok(request)
    }
}

/// A number of nanoseconds, none of which is below zero.
fn nanos(number: i64) -> Duration {
    Duration::from_nanos(u64::try_from(number).unwrap_or_default())
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Where its messages go.
    pub(crate) reply: String,
    /// How many messages it still wants.
    pub(crate) left: i64,
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
            bytes: u64::try_from(request.max_bytes)
                .ok()
                .filter(|bytes| *bytes > 0),
            expires: (request.expires != 0).then(|| now + nanos(request.expires)),
            no_wait: request.no_wait,
            heartbeat: nanos(request.heartbeat),
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
        if config.max_batch > 0 && request.batch > config.max_batch {
            return Some((
                409,
                format!("Exceeded MaxRequestBatch of {}", config.max_batch),
            ));
        }
        if !config.max_expires.is_zero() && nanos(request.expires) > config.max_expires {
            let max = moment::span(config.max_expires);
            return Some((409, format!("Exceeded MaxRequestExpires of {max}")));
        }
        if config.max_bytes > 0 && request.max_bytes > config.max_bytes {
            return Some((
                409,
                format!("Exceeded MaxRequestMaxBytes of {}", config.max_bytes),
            ));
        }
        if request.no_wait {
            let there = (self.unseen + self.ledger.again_len() as u64) as i64;
            if there == 0 && request.expires == 0 {
                return Some((404, "No Messages".to_owned()));
            }
            let asked_for: i64 = self.waiting.iter().map(|waiting| waiting.left).sum();
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
        assert_eq!(PullRequest::read(b"{}").unwrap().batch, 0);
        let request =
            PullRequest::read(br#"{"batch":3,"expires":5000000000,"no_wait":true}"#).unwrap();
        assert_eq!((request.batch, request.no_wait), (3, true));
        assert_eq!(nanos(request.expires), Duration::from_secs(5));
        assert!(PullRequest::read(br#"{"batch":"#).is_err());
        assert!(PullRequest::read(br#"{"expires":10,"idle_heartbeat":6}"#).is_err());
    }
}
