//! A message that comes to a stream: what the witness makes of it, what may refuse it, and the answer.
//!
//! Rules: <https://docs.nats.io/nats-concepts/jetstream/headers> for the headers that a publisher may set.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Core;
use super::stream::Stored;
use super::timers::Later;
use crate::api::{ApiError, Retention, known};
use crate::headers;
use crate::protocol::Publish;
use crate::witness::{Answer, Client, Fate, Publication, PublishOutcome, Request};

/// The largest block of headers that a stream stores.
const HEADERS_MAX: usize = 65_535;

impl Core {
    /// A message of a client that is not for core subscriptions alone. Returns whether somebody was there for
    /// it.
    pub(crate) fn take_in(&mut self, client: &Arc<Client>, message: Publish) -> bool {
        if !self.settings.jetstream {
            return false;
        }
        if let Some(rest) = message.subject.strip_prefix("$JS.") {
            return match rest.split_once('.') {
                Some(("API", _)) => self.request(client, &message),
                Some(("ACK", _)) => self.offer_settlement(client, &message),
                Some(("FC", _)) => self.confirm_flow(&message),
                _ => false,
            };
        }
        match self.stream_of(&message.subject) {
            Some(stream) => {
                self.offer(client, stream, message);
                true
            }
            None => false,
        }
    }

    /// The stream that stores a subject.
    pub(crate) fn stream_of(&self, subject: &str) -> Option<Arc<str>> {
        let stream = self
            .streams
            .values()
            .find(|stream| stream.config.stores(subject))?;
        Some(stream.name.clone())
    }

    /// Asks the witness what becomes of a message, and does it.
    fn offer(&mut self, client: &Arc<Client>, stream: Arc<str>, message: Publish) {
        let publication = publication(&stream, &message);
        let Fate { request, answer } = self.witness.before_publish(client, &publication);
        match request {
            Request::Proceed => self.store(Some(client), &stream, message, answer),
            Request::Twice => {
                self.store(Some(client), &stream, message.clone(), answer);
                self.store(Some(client), &stream, message, Answer::Never);
            }
            Request::Delay(span) => self.put_off(
                span,
                Later::Publish {
                    client: client.clone(),
                    stream,
                    message,
                    answer,
                },
            ),
            Request::Lose => {}
            Request::Refuse(error) => {
                let outcome = PublishOutcome::Refused(error);
                self.witness.published(client, &publication, &outcome);
                self.answer_publish(&stream, &message, &outcome, answer);
            }
        }
    }

    /// Stores a message if nothing refuses it, and answers.
    pub(crate) fn store(
        &mut self,
        client: Option<&Arc<Client>>,
        stream: &Arc<str>,
        message: Publish,
        answer: Answer,
    ) {
        let Some(outcome) = self.append(stream, &message) else {
            return;
        };
        if let Some(client) = client {
            self.witness
                .published(client, &publication(stream, &message), &outcome);
        }
        self.answer_publish(stream, &message, &outcome, answer);
    }

    fn answer_publish(
        &mut self,
        stream: &str,
        message: &Publish,
        outcome: &PublishOutcome,
        answer: Answer,
    ) {
        let Some(reply) = &message.reply else {
            return;
        };
        if self
            .streams
            .get(stream)
            .is_some_and(|stream| stream.config.no_ack)
        {
            return;
        }
        let text = match outcome {
            PublishOutcome::Stored(sequence) | PublishOutcome::Unwanted(sequence) => {
                format!("{{\"stream\":\"{stream}\",\"seq\":{sequence}}}")
            }
            PublishOutcome::Duplicate(sequence) => {
                format!("{{\"stream\":\"{stream}\",\"seq\":{sequence},\"duplicate\":true}}")
            }
            PublishOutcome::Refused(error) => {
                serde_json::json!({ "error": error, "stream": stream, "seq": 0 }).to_string()
            }
        };
        let message = Publish {
            subject: reply.clone(),
            payload: Bytes::from(text),
            ..Publish::default()
        };
        self.send_answer(message, answer);
    }

    /// Sends an answer as its fate has it.
    pub(crate) fn send_answer(&mut self, message: Publish, answer: Answer) {
        match answer {
            Answer::Send => self.say(message),
            Answer::Delay(span) => self.put_off(span, Later::Say(message)),
            Answer::Never => {}
        }
    }

    /// Adds a message to a stream. Nothing comes of it if the stream is gone.
    fn append(&mut self, name: &Arc<str>, message: &Publish) -> Option<PublishOutcome> {
        let now = self.now;
        let stream = self.streams.get_mut(name)?;
        let admitted = Wish::read(&message.headers).and_then(|wish| {
            let known = stream.admit(&wish, message, now.elapsed)?;
            Ok((wish, known))
        });
        let wish = match admitted {
            Ok((wish, None)) => wish,
            Ok((_, Some(sequence))) => return Some(PublishOutcome::Duplicate(sequence)),
            Err(error) => return Some(PublishOutcome::Refused(error)),
        };
        let stored = Stored {
            subject: message.subject.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
            time: now,
            expires: wish
                .ttl
                .map(|ttl| now.elapsed + stream.config.time_to_live(ttl)),
            ages: wish.ttl.is_some() || !wish.has_ttl,
        };
        if let Some(reason) = stream.log.refuses(&stream.config, &stored) {
            return Some(PublishOutcome::Refused(ApiError::store_failed(reason)));
        }
        let unwanted = stream.config.retention == Retention::Interest
            && !stream.has_interest(&message.subject);
        let sequence = match unwanted {
            true => stream.log.skip(now.wall),
            false => stream.log.append(stored),
        };
        if let Some(id) = wish.id {
            stream.seen.insert(id.to_owned(), sequence, now.elapsed);
        }
        stream.last_id = wish.id.map(str::to_owned);
        if unwanted {
            return Some(PublishOutcome::Unwanted(sequence));
        }
        self.came(name, sequence, &message.subject, wish.rollup);
        Some(PublishOutcome::Stored(sequence))
    }

    /// Does what follows from a message that was stored.
    fn came(&mut self, name: &Arc<str>, sequence: u64, subject: &str, rollup: Option<Rollup>) {
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        let mut wanting = Vec::new();
        for consumer in stream.consumers.values_mut() {
            if consumer.message_came(sequence, subject) {
                wanting.push(consumer.key.clone());
            }
        }
        match rollup {
            Some(Rollup::Subject) => {
                stream.purge(Some(subject), None, 1);
            }
            Some(Rollup::All) => {
                stream.purge(None, None, 1);
            }
            None => {}
        }
        let mut orphans = Vec::new();
        for sequence in stream.log.beyond(&stream.config, subject) {
            stream.remove(sequence, &mut orphans);
        }
        for key in wanting {
            self.wake(key);
        }
        self.report_orphans(name, &orphans);
        self.arm_stream(name);
    }
}

fn publication<'a>(stream: &'a str, message: &'a Publish) -> Publication<'a> {
    Publication {
        stream,
        subject: &message.subject,
        headers: &message.headers,
        payload: &message.payload,
    }
}

/// Whose place a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rollup {
    Subject,
    All,
}

/// What a publisher asks for in the headers of a message.
#[derive(Debug, Default)]
struct Wish<'a> {
    id: Option<&'a str>,
    stream: Option<&'a str>,
    last_id: Option<&'a str>,
    last: Option<u64>,
    last_of_subject: Option<u64>,
    /// Another subject that `last_of_subject` is about.
    subject: Option<&'a str>,
    rollup: Option<Rollup>,
    ttl: Option<Duration>,
    /// Whether `ttl` was there at all, be it "never".
    has_ttl: bool,
}

impl<'a> Wish<'a> {
    fn read(block: &'a [u8]) -> Result<Self, ApiError> {
        if block.is_empty() {
            return Ok(Self::default());
        }
        let get = |name| headers::get(block, name).filter(|value| !value.is_empty());
        // What is no number is none that a sequence could be.
        let number = |name| get(name).map(|value| value.parse().unwrap_or(u64::MAX));
        let rollup = match get("Nats-Rollup") {
            None => None,
            Some("sub") => Some(Rollup::Subject),
            Some("all") => Some(Rollup::All),
            Some(other) => {
                return Err(ApiError::new(
                    500,
                    10111,
                    format!("rollup value invalid: {other:?}"),
                ));
            }
        };
        let ttl = match get("Nats-TTL") {
            None | Some("never") => None,
            Some(text) => Some(seconds(text).ok_or(known::MESSAGE_TTL_INVALID)?),
        };
        Ok(Self {
            id: get("Nats-Msg-Id"),
            stream: get("Nats-Expected-Stream"),
            last_id: get("Nats-Expected-Last-Msg-Id"),
            last: number("Nats-Expected-Last-Sequence"),
            last_of_subject: number("Nats-Expected-Last-Subject-Sequence"),
            subject: get("Nats-Expected-Last-Subject-Sequence-Subject"),
            rollup,
            ttl,
            has_ttl: get("Nats-TTL").is_some(),
        })
    }
}

/// Reads a span of time of at least a second: whole seconds, or parts with units as in `1h30m`.
fn seconds(text: &str) -> Option<Duration> {
    let span = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => units(text)?,
    };
    (span >= Duration::from_secs(1)).then_some(span)
}

/// Reads a span of time made of numbers with units.
pub(super) fn units(text: &str) -> Option<Duration> {
    let mut span = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        span += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()?;
        rest = after;
    }
    (!text.is_empty()).then_some(span)
}

impl super::Stream {
    /// Whether a message is taken: nothing if it is, the sequence that it has if its id is known.
    fn admit(
        &mut self,
        wish: &Wish<'_>,
        message: &Publish,
        now: Duration,
    ) -> Result<Option<u64>, ApiError> {
        if self.config.sealed {
            return Err(known::SEALED.into());
        }
        if wish.stream.is_some_and(|stream| stream != &*self.name) {
            return Err(known::EXPECTED_STREAM.into());
        }
        if wish.has_ttl && !self.config.allow_msg_ttl {
            return Err(known::MESSAGE_TTL_DISABLED.into());
        }
        self.check_expected(wish, message)?;
        if let Some(id) = wish.id
            && let Some(sequence) = self.seen.find(id, self.config.duplicate_window, now)
        {
            return Ok(Some(sequence));
        }
        let last_id = self.last_id.as_deref().unwrap_or_default();
        if wish.last_id.is_some_and(|expected| expected != last_id) {
            return Err(ApiError::new(
                400,
                10070,
                format!("wrong last msg ID: {last_id}"),
            ));
        }
        if wish.rollup.is_some() && (!self.config.allow_rollup_hdrs || self.config.deny_purge) {
            return Err(ApiError::new(500, 10111, "rollup not permitted"));
        }
        let size = (message.headers.len() + message.payload.len()) as i64;
        if self.config.max_msg_size >= 0 && size > self.config.max_msg_size {
            return Err(known::MESSAGE_TOO_LARGE.into());
        }
        if message.headers.len() > HEADERS_MAX {
            return Err(known::HEADERS_TOO_LARGE.into());
        }
        Ok(None)
    }

    /// Refuses a message whose publisher expected something else to be the last.
    fn check_expected(&self, wish: &Wish<'_>, message: &Publish) -> Result<(), ApiError> {
        let wrong = |last: u64| {
            Err(ApiError::new(
                400,
                10071,
                format!("wrong last sequence: {last}"),
            ))
        };
        match (wish.last_of_subject, wish.subject) {
            (Some(expected), subject) => {
                let last = self
                    .log
                    .last_of(subject.unwrap_or(&message.subject))
                    .unwrap_or_default();
                if last != expected {
                    return wrong(last);
                }
            }
            (None, Some(_)) => return Err(known::EXPECTED_SUBJECT_WITHOUT_SEQUENCE.into()),
            (None, None) => {}
        }
        match wish.last {
            Some(expected) if expected != self.log.last() => wrong(self.log.last()),
            _ => Ok(()),
        }
    }
}
