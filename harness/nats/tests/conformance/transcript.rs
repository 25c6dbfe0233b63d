//! What a program observes, as text that two servers can be compared by: without times, random names, or
//! anything else that differs between two runs of the same server.

use std::fmt::Debug;
use std::panic::Location;

use async_nats::Message;
use async_nats::jetstream;
use serde_json::Value;

use super::differences::DIFFERENCES;

/// One thing that was observed.
pub(crate) struct Observation {
    /// The line of the program.
    pub(crate) place: &'static Location<'static>,
    /// What was seen.
    pub(crate) saw: String,
    /// What the documentation promises, unless the line only compares.
    pub(crate) promised: Option<String>,
}

/// A difference that is found, for the person who runs the suite.
pub(crate) type Complaint = String;

/// Where `seen` breaks a promise, apart from what is meant for `program`.
pub(crate) fn broken(program: &str, who: &str, seen: &[Observation]) -> Vec<Complaint> {
    let broken = |one: &&Observation| {
        let promised = one.promised.as_ref();
        promised
            .is_some_and(|promised| *promised != one.saw && !is_meant(program, promised, &one.saw))
    };
    let complaint = |one: &Observation| {
        let promised = one.promised.as_ref().unwrap();
        let (place, saw) = (one.place, &one.saw);
        format!("{place}: {who} breaks a promise\n  promised: {promised}\n       saw: {saw}")
    };
    seen.iter().filter(broken).map(complaint).collect()
}

/// Where what `ours` shows is not what the `real` server shows, apart from what is meant for `program`.
pub(crate) fn differing(
    program: &str,
    ours: &[Observation],
    real: &[Observation],
) -> Vec<Complaint> {
    let mut complaints: Vec<Complaint> = Vec::new();
    for (ours, real) in ours.iter().zip(real) {
        if ours.saw != real.saw && !is_meant(program, &real.saw, &ours.saw) {
            complaints.push(format!(
                "{}: servers differ\n  real: {}\n  ours: {}",
                ours.place, real.saw, ours.saw
            ));
        }
    }
    if ours.len() != real.len() {
        let (ours, real) = (ours.len(), real.len());
        complaints.push(format!("the real server shows {real} things, ours {ours}"));
    }
    for difference in DIFFERENCES.iter().filter(|one| one.program == program) {
        if !ours.iter().any(|one| one.saw == difference.ours) {
            let (ours, because) = (difference.ours, difference.because);
            complaints.push(format!(
                "no longer seen: {ours}, which was meant: {because}"
            ));
        }
    }
    complaints
}

fn is_meant(program: &str, real: &str, ours: &str) -> bool {
    let meant = DIFFERENCES.iter();
    let mut meant = meant.filter(|one| one.program == program);
    meant.any(|one| one.real == real && one.ours == ours)
}

/// A message as it came: status line or payload, without the subject it came on.
pub(crate) fn said(message: &Message) -> String {
    let text = text(&message.payload);
    match (message.status, &message.description) {
        (Some(status), Some(description)) => format!("{} {description}", status.as_u16()),
        (Some(status), None) => format!("{}", status.as_u16()),
        (None, _) => text,
    }
}

/// A message with its subject.
pub(crate) fn addressed(message: &Message) -> String {
    format!("{}: {}", message.subject, said(message))
}

/// A delivery: payload, sequence in the stream, attempt.
pub(crate) fn delivery(message: &jetstream::Message) -> String {
    let info = message.info().unwrap();
    let (sequence, attempt) = (info.stream_sequence, info.delivered);
    format!("{} #{sequence} attempt {attempt}", text(&message.payload))
}

/// The payloads of `messages`, in order.
pub(crate) fn payloads(messages: &[jetstream::Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| text(&message.payload))
        .collect()
}

/// The deliveries of `messages`, in order.
pub(crate) fn deliveries(messages: &[jetstream::Message]) -> Vec<String> {
    messages.iter().map(delivery).collect()
}

/// Bytes as text.
pub(crate) fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

/// The error of `result`, as it prints, or what it is.
pub(crate) fn outcome<T: Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    }
}

/// `value` without what differs from run to run.
pub(crate) fn plain(mut value: Value) -> Value {
    redact(&mut value);
    value
}

/// What is a time, a name of a server or its size, wherever it stands.
const OF_THE_RUN: [&str; 10] = [
    "created",
    "ts",
    "first_ts",
    "last_ts",
    "time",
    "last_active",
    "cluster",
    "ack_wait_remaining",
    "server_id",
    "pause_remaining",
];

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !OF_THE_RUN.contains(&name.as_str()));
            // The server's own version and level, which async-nats does not ask for.
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.retain(|name, _| !name.starts_with("_nats."));
            }
            fields.values_mut().for_each(redact);
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// The error of an API answer as `code err_code description`, or `ok`.
pub(crate) fn error_of(answer: &Value) -> String {
    match answer.get("error") {
        None => "ok".to_owned(),
        Some(error) => {
            let description = error["description"].as_str().unwrap_or_default();
            format!("{} {} {description}", error["code"], error["err_code"])
        }
    }
}
