//! How a message looks to NATS: its subject, its headers, and the names of consumers.
//!
//! It is pure text: nothing here talks to a server.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, HeaderValue, NATS_MESSAGE_ID};
use async_nats::jetstream::message::PublishMessage;

use crate::ports::broker::{Message, header, partition_of};

/// The stream of all topics.
pub(super) const STREAM: &str = "SHOP";
/// The subjects of all topics.
pub(super) const SUBJECTS: &str = "shop.>";
/// What the subject of every message begins with.
const PREFIX: &str = "shop";
/// The header with the message's key.
const KEY: &str = "Shop-Key";
/// What the names of the server's own headers begin with.
const OF_SERVER: &str = "Nats-";

/// The subject of a topic's partition.
pub(super) fn subject(topic: &str, partition: u8) -> String {
    format!("{PREFIX}.{}.{partition}", token(topic))
}

/// The name of a group's consumer of a topic's partition.
pub(super) fn consumer(group: &str, topic: &str, partition: u8) -> String {
    format!("{}={}={partition}", token(group), token(topic))
}

/// Where a message goes, and as what.
///
/// # Errors
/// When a header cannot be carried; the text says which one.
pub(super) fn seal(message: Message) -> Result<(String, PublishMessage), String> {
    let subject = subject(&message.topic, partition_of(&message.key));
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        let is_taken = name.eq_ignore_ascii_case(KEY) || is_of_server(name);
        let is_carried = !name.is_empty() && !is_taken;
        let usable = name.parse::<HeaderName>().ok().filter(|_| is_carried);
        let usable = usable.ok_or_else(|| format!("no header may be called {name:?}"))?;
        headers.insert(usable, HeaderValue::from(escape(value, must_be_escaped)));
    }
    headers.insert(
        KEY,
        HeaderValue::from(escape(&message.key, must_be_escaped)),
    );
    if let Some(id) = message.headers.get(header::MESSAGE_ID) {
        // One stream has all topics, and a parked message has the id of the one that it was.
        let id = format!("{}/{id}", message.topic);
        headers.insert(
            NATS_MESSAGE_ID,
            HeaderValue::from(escape(&id, must_be_escaped)),
        );
    }
    let sealed = PublishMessage::build().headers(headers);
    Ok((subject, sealed.payload(message.payload.into())))
}

/// The topic and the partition that a subject stands for; nothing where it is not one of these.
pub fn place(subject: &str) -> Option<(String, u8)> {
    let (topic, partition) = subject
        .strip_prefix(PREFIX)?
        .strip_prefix('.')?
        .split_once('.')?;
    Some((unescape(topic), partition.parse().ok()?))
}

/// The group that a consumer serves; nothing where it is not one of the shop's.
pub fn group(consumer: &str) -> Option<String> {
    let (group, partition) = consumer.split_once('=')?;
    partition.contains('=').then(|| unescape(group))
}

/// The key and the headers of a message, out of those that it has on the server.
pub fn unpack<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> (String, BTreeMap<String, String>) {
    let (mut key, mut own) = (String::new(), BTreeMap::new());
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(KEY) {
            key = unescape(value);
        } else if !is_of_server(name) {
            own.insert(name.to_owned(), unescape(value));
        }
    }
    (key, own)
}

/// The message that was delivered. One that somebody else published is given as far as it can be read.
pub(super) fn open(delivered: &async_nats::Message) -> Message {
    let headers = delivered.headers.iter().flat_map(HeaderMap::iter);
    let (key, headers) = unpack(headers.map(|(name, values)| {
        let value = values.last().map_or("", HeaderValue::as_str);
        (name.as_ref(), value)
    }));
    Message {
        topic: place(&delivered.subject).unwrap_or_default().0,
        key,
        headers,
        payload: delivered.payload.to_vec(),
    }
}

fn is_of_server(name: &str) -> bool {
    let start = name.get(..OF_SERVER.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OF_SERVER))
}

/// A word of a subject, or of a consumer's name: neither may have dots in it, or what is a wildcard or a path.
fn token(text: &str) -> String {
    escape(text, |c, _| {
        !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

/// Whether a header's value would be cut short by this character, or read differently with it.
fn must_be_escaped(c: char, is_at_end: bool) -> bool {
    c == '%' || c.is_control() || c.is_whitespace() && (c != ' ' || is_at_end)
}

/// The text with each character that `must` be escaped as `%` and two digits for each of its bytes. `must` is told whether
/// the character is the first or the last one.
fn escape(text: &str, must: impl Fn(char, bool) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if must(c, at == 0 || end == text.len()) {
            let bytes = text[at..end].bytes();
            escaped.extend(bytes.map(|byte| format!("%{byte:02X}")));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// What was escaped; the text itself where nothing like that was done to it.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let digits = part.get(..2);
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return text.to_owned();
        };
        bytes.push(byte);
        bytes.extend(part.bytes().skip(2));
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)]) -> Message {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Message {
            topic: "payment.dlq".to_owned(),
            key: " a\nkey ".to_owned(),
            headers: headers.iter().map(owned).collect(),
            payload: b"{}".to_vec(),
        }
    }

    #[test]
    fn what_was_sealed_is_opened_unchanged() {
        let message = message(&[
            (header::MESSAGE_ID, "id/1"),
            ("dlq-error", " 100% wrong:\r\n\u{2028}Zürich\u{7f} "),
            ("empty", ""),
        ]);
        let (subject, sealed) = seal(message.clone()).unwrap();
        let sent = sealed.outbound_message(subject);
        assert!(sent.subject.starts_with("shop.payment%2Edlq."));
        let headers = sent.headers.unwrap();
        let id = headers.get(NATS_MESSAGE_ID).map(HeaderValue::as_str);
        assert_eq!(id, Some("payment.dlq/id/1"));
        let value = headers.get("dlq-error").unwrap().as_str();
        assert_eq!(value.trim(), value);
        assert!(!value.contains(['\r', '\n']));
        let delivered = async_nats::Message {
            subject: sent.subject,
            reply: None,
            payload: sent.payload,
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        };
        assert_eq!(open(&delivered), message);
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        for name in ["nats-msg-id", "shop-key", "two words", ""] {
            assert!(seal(message(&[(name, "value")])).is_err(), "{name}");
        }
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        assert_eq!(consumer("payment", "orders", 7), "payment=orders=7");
        assert_ne!(subject("a.b", 1), subject("a%2Eb", 1));
        assert_ne!(consumer("a=b", "c", 1), consumer("a", "b=c", 1));
        assert_eq!(unescape("50% of %2E"), "50% of %2E");
    }
}
