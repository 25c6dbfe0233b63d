//! Messages that are read past the API: the answer is the message itself, with where it is from in its
//! headers.
//!
//! Rules: <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md>.

use bytes::Bytes;

use super::messages::{Selection, time};
use crate::core::{Core, Stored, Stream};
use crate::headers::Builder;
use crate::moment::rfc3339;
use crate::protocol::Publish;

/// The most messages that are found by their subjects at once.
const MATCHES_MAX: usize = 1024;

/// The most bytes of an answer that does not say.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An answer: headers and payload.
type Part = (Bytes, Bytes);

impl Core {
    /// Answers a request to read messages of a stream that allows it. `key` is the subject whose last message
    /// is asked for, or nothing if the body says what is.
    pub(super) fn get_direct(&mut self, stream: &str, key: &str, reply: &str, body: &[u8]) {
        let Some(stream) = self.streams.get(stream) else {
            return;
        };
        if reply.is_empty() {
            return;
        }
        let parts = match read(key, body) {
            Ok(selection) => select(stream, &selection),
            Err(reason) => vec![status(408, reason)],
        };
        for (headers, payload) in parts {
            self.say(Publish {
                subject: reply.to_owned(),
                reply: None,
                headers,
                payload,
            });
        }
    }
}

fn status(code: u16, text: &str) -> Part {
    (Builder::status(code, text).finish(), Bytes::new())
}

fn read(key: &str, body: &[u8]) -> Result<Selection, &'static str> {
    if !key.is_empty() {
        return Ok(Selection {
            last_by_subj: Some(key.to_owned()),
            ..Selection::default()
        });
    }
    if body.is_empty() {
        return Err("Empty Request");
    }
    let selection: Selection = serde_json::from_slice(body).map_err(|_| "Malformed Request")?;
    let multi = !selection.multi_last.is_empty();
    let last = selection.last_by_subj.is_some();
    let none = selection.seq == 0
        && !last
        && selection.next_by_subj.is_none()
        && selection.start_time.is_none();
    if none && !multi {
        return Err("Empty Request");
    }
    let contradicts = last && (selection.batch > 0 || multi)
        || multi && selection.next_by_subj.is_some()
        || selection.up_to_seq > 0 && selection.up_to_time.is_some();
    match (selection.is_clear() || multi && none) && !contradicts {
        true => Ok(selection),
        false => Err("Bad Request"),
    }
}

fn select(stream: &Stream, selection: &Selection) -> Vec<Part> {
    if !selection.multi_last.is_empty() {
        return select_last_ones(stream, selection);
    }
    if selection.batch > 0 {
        return select_batch(stream, selection);
    }
    match selection.find(stream) {
        Some((sequence, stored)) => vec![part(stream, sequence, stored, None)],
        None => vec![status(404, "Message Not Found")],
    }
}

fn select_batch(stream: &Stream, selection: &Selection) -> Vec<Part> {
    let patterns: Vec<String> = selection.next_by_subj.iter().cloned().collect();
    let start = selection.start(stream);
    let mut left = stream.log.count_of(&patterns, start);
    let mut parts = Vec::new();
    let (mut next, mut last, mut bytes) = (start, 0, 0);
    while let Some((sequence, stored)) = stream.log.next_of(&patterns, next) {
        left -= 1;
        parts.push(part(stream, sequence, stored, Some((left, last))));
        (next, last) = (sequence + 1, sequence);
        bytes += size(stored);
        if parts.len() as u64 >= selection.batch || bytes >= limit(selection) {
            break;
        }
    }
    if parts.is_empty() {
        return vec![status(404, "Message Not Found")];
    }
    parts.push(end(left, last, None));
    parts
}

fn select_last_ones(stream: &Stream, selection: &Selection) -> Vec<Part> {
    let mut up_to = match selection.up_to_seq {
        0 => stream.log.last(),
        sequence => sequence,
    };
    if let Some(time) = time(selection.up_to_time.as_deref()) {
        up_to = stream.log.since(time) - 1;
    }
    let mut sequences = std::collections::BTreeSet::new();
    for pattern in &selection.multi_last {
        for (_, of_subject) in stream.log.subjects(pattern) {
            sequences.extend(of_subject.range(..=up_to).next_back());
        }
    }
    sequences.retain(|sequence| *sequence >= selection.seq);
    if sequences.len() > MATCHES_MAX {
        return vec![status(413, "Too Many Results")];
    }
    if sequences.is_empty() {
        return vec![status(404, "No Results")];
    }
    let mut left = sequences.len() as u64;
    let mut parts = Vec::new();
    let (mut last, mut bytes) = (0, 0);
    for sequence in sequences {
        let Some(stored) = stream.log.get(sequence) else {
            continue;
        };
        left -= 1;
        parts.push(part(stream, sequence, stored, Some((left, last))));
        last = sequence;
        bytes += size(stored);
        let enough = selection.batch > 0 && parts.len() as u64 >= selection.batch;
        if enough || bytes >= limit(selection) {
            break;
        }
    }
    parts.push(end(left, last, Some(up_to)));
    parts
}

fn limit(selection: &Selection) -> u64 {
    match selection.max_bytes {
        0 => BYTES_MAX,
        bytes => bytes,
    }
}

fn size(stored: &Stored) -> u64 {
    (stored.subject.len() + stored.headers.len() + stored.payload.len()) as u64
}

/// One message. `place` is how many follow, and which came before, in an answer of several.
fn part(stream: &Stream, sequence: u64, stored: &Stored, place: Option<(u64, u64)>) -> Part {
    let mut builder = Builder::over(&stored.headers)
        .field("Nats-Stream", &stream.name)
        .field("Nats-Subject", &stored.subject)
        .field("Nats-Sequence", sequence)
        .field("Nats-Time-Stamp", rfc3339(stored.time.wall));
    if let Some((left, last)) = place {
        builder = builder
            .field("Nats-Num-Pending", left)
            .field("Nats-Last-Sequence", last);
    }
    (builder.finish(), stored.payload.clone())
}

/// The end of an answer of several messages.
fn end(left: u64, last: u64, up_to: Option<u64>) -> Part {
    let mut builder = Builder::status(204, "EOB")
        .field("Nats-Num-Pending", left)
        .field("Nats-Last-Sequence", last);
    if let Some(up_to) = up_to {
        builder = builder.field("Nats-UpTo-Sequence", up_to);
    }
    (builder.finish(), Bytes::new())
}
