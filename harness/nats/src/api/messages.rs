//! Requests about single messages.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::dispatch::{Ask, Reply};
use super::{ApiError, base64, known};
use crate::core::{Core, Stored, Stream};
use crate::moment::{parse_rfc3339, rfc3339};

/// Which message, or messages, are asked for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Selection {
    /// The message with this sequence, or the first of `next_by_subj` from there on.
    pub(super) seq: u64,
    /// The last message of a subject.
    pub(super) last_by_subj: Option<String>,
    /// The next message of a subject.
    pub(super) next_by_subj: Option<String>,
    /// The first message since a time.
    pub(super) start_time: Option<String>,
    /// How many messages, if more than one.
    pub(super) batch: u64,
    /// How many bytes at most.
    pub(super) max_bytes: u64,
    /// The last messages of several subjects.
    pub(super) multi_last: Vec<String>,
    /// No message after this sequence.
    pub(super) up_to_seq: u64,
    /// No message at or after this time.
    pub(super) up_to_time: Option<String>,
    /// Headers are left out.
    pub(super) no_hdr: bool,
}

impl Selection {
    /// Whether it says which message it means, and says it once.
    pub(super) fn is_clear(&self) -> bool {
        let places = [
            self.seq > 0,
            self.last_by_subj.is_some(),
            self.start_time.is_some(),
        ];
        let subjects = [self.last_by_subj.is_some(), self.next_by_subj.is_some()];
        let count = |said: &[bool]| said.iter().filter(|said| **said).count();
        count(&places) + count(&subjects) > 0 && count(&places) <= 1 && count(&subjects) <= 1
    }

    /// The first sequence that is looked at.
    pub(super) fn start(&self, stream: &Stream) -> u64 {
        match self.start_time.as_deref().and_then(parse_rfc3339) {
            Some(time) => stream.log.since(time),
            None => self.seq,
        }
    }

    /// The message that is meant.
    pub(super) fn find<'a>(&self, stream: &'a Stream) -> Option<(u64, &'a Stored)> {
        let start = self.start(stream);
        if let Some(subject) = &self.next_by_subj {
            return stream.log.next_of(std::slice::from_ref(subject), start);
        }
        let sequence = match &self.last_by_subj {
            Some(subject) => stream.log.last_of(subject)?,
            None => start,
        };
        Some((sequence, stream.log.get(sequence)?))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeleteRequest {
    seq: u64,
}

impl Core {
    pub(super) fn message_get(&mut self, ask: &Ask<'_>) -> Reply {
        let selection: Selection = ask.read_present()?;
        if selection.batch > 0 || selection.max_bytes > 0 || !selection.is_clear() {
            return Err(known::BAD_REQUEST.into());
        }
        let stream = self.stream_named(ask.name(0))?;
        let (sequence, stored) = selection.find(stream).ok_or(known::NO_MESSAGE)?;
        let mut message = json!({
            "subject": stored.subject,
            "seq": sequence,
            "time": rfc3339(stored.time.wall),
        });
        if !stored.headers.is_empty() && !selection.no_hdr {
            message["hdrs"] = base64(&stored.headers).into();
        }
        if !stored.payload.is_empty() {
            message["data"] = base64(&stored.payload).into();
        }
        Ok(json!({ "message": message }))
    }

    pub(super) fn message_delete(&mut self, ask: &Ask<'_>) -> Reply {
        let request: DeleteRequest = ask.read_present()?;
        let stream = self
            .streams
            .get_mut(ask.name(0))
            .ok_or(known::STREAM_NOT_FOUND)?;
        if stream.config.sealed {
            return Err(known::SEALED.into());
        }
        if stream.config.deny_delete {
            return Err(ApiError::new(500, 10057, "message delete not permitted"));
        }
        let name = stream.name.clone();
        let mut orphans = Vec::new();
        if stream.remove(request.seq, &mut orphans).is_none() {
            let reason = match request.seq > stream.log.last() {
                true => "stream store EOF",
                false => "no message found",
            };
            return Err(ApiError::new(500, 10057, reason));
        }
        self.report_orphans(&name, &orphans);
        self.arm_stream(&name);
        Ok(json!({ "success": true }))
    }
}

/// A time of day, if it is one.
pub(super) fn time(text: Option<&str>) -> Option<Duration> {
    text.and_then(parse_rfc3339)
}
