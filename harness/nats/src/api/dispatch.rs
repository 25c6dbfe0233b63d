//! Which request a subject asks for.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ApiError, known};
use crate::core::{ConsumerKey, Core};
use crate::protocol::Publish;
use crate::witness::{Client, Event};

/// A request to the API.
pub(super) struct Ask<'a> {
    /// Who asks.
    pub(super) client: &'a Arc<Client>,
    /// What comes with the request.
    pub(super) body: &'a [u8],
    /// The tokens of the subject after the name of the request.
    pub(super) names: &'a [&'a str],
}

/// What a request comes to: the fields of its answer.
pub(super) type Reply = Result<Value, ApiError>;

impl Ask<'_> {
    /// Reads the body, which may be left out.
    pub(super) fn read<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        match self.body.trim_ascii() {
            b"" | b"null" => Ok(T::default()),
            _ => self.read_present(),
        }
    }

    /// Reads the body, which may not be left out.
    pub(super) fn read_present<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let body = self.body.trim_ascii();
        if matches!(body, b"" | b"null") {
            return Err(known::BAD_REQUEST.into());
        }
        let mut fields: Value =
            serde_json::from_slice(body).map_err(|error| ApiError::invalid_json(&error))?;
        drop_nulls(&mut fields);
        serde_json::from_value(fields).map_err(|error| ApiError::invalid_json(&error))
    }

    /// The token at this place.
    pub(super) fn name(&self, at: usize) -> &str {
        self.names.get(at).copied().unwrap_or_default()
    }

    /// The consumer that the first two tokens name.
    pub(super) fn key(&self) -> ConsumerKey {
        ConsumerKey {
            stream: self.name(0).into(),
            consumer: self.name(1).into(),
        }
    }
}

/// Takes out the fields that are null, which count as absent.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

impl Core {
    /// Answers a request to the API. Returns whether there is such a request.
    pub(crate) fn request(&mut self, client: &Arc<Client>, message: &Publish) -> bool {
        let tokens: Vec<&str> = message.subject.split('.').skip(2).collect();
        let reply = message.reply.as_deref().unwrap_or_default();
        // These answer by themselves, and nobody is there if their stream or consumer is not.
        match tokens[..] {
            ["CONSUMER", "MSG", "NEXT", stream, consumer] => {
                let key = ConsumerKey {
                    stream: stream.into(),
                    consumer: consumer.into(),
                };
                let known = self.consumer(&key).is_some();
                if known {
                    self.tell_request(client, message);
                    self.pull(&key, reply, &message.payload);
                }
                return known;
            }
            ["DIRECT", "GET", stream, ..] => {
                let direct = self
                    .streams
                    .get(stream)
                    .is_some_and(|stream| stream.config.allow_direct);
                if direct {
                    self.tell_request(client, message);
                    self.get_direct(stream, &tokens[3..].join("."), reply, &message.payload);
                }
                return direct;
            }
            _ => {}
        }
        self.tell_request(client, message);
        let ask = |skip: usize| Ask {
            client,
            body: &message.payload,
            names: &tokens[skip..],
        };
        let (kind, result) = match tokens[..] {
            ["INFO"] => ("account_info", Ok(self.account_info())),
            ["STREAM", "CREATE", _] => ("stream_create", self.stream_create(&ask(2))),
            ["STREAM", "UPDATE", _] => ("stream_update", self.stream_update(&ask(2))),
            ["STREAM", "INFO", _] => ("stream_info", self.stream_info(&ask(2))),
            ["STREAM", "DELETE", _] => ("stream_delete", self.stream_delete(&ask(2))),
            ["STREAM", "PURGE", _] => ("stream_purge", self.stream_purge(&ask(2))),
            ["STREAM", "NAMES"] => ("stream_names", self.stream_names(&ask(2))),
            ["STREAM", "LIST"] => ("stream_list", self.stream_list(&ask(2))),
            ["STREAM", "MSG", "GET", _] => ("stream_msg_get", self.message_get(&ask(3))),
            ["STREAM", "MSG", "DELETE", _] => ("stream_msg_delete", self.message_delete(&ask(3))),
            ["CONSUMER", "DURABLE", "CREATE", ..] => {
                ("consumer_create", self.consumer_durable_create(&ask(3)))
            }
            ["CONSUMER", "CREATE", _, ..] => ("consumer_create", self.consumer_create(&ask(2))),
            ["CONSUMER", "INFO", _, _] => ("consumer_info", self.consumer_info(&ask(2))),
            ["CONSUMER", "DELETE", _, _] => ("consumer_delete", self.consumer_delete(&ask(2))),
            ["CONSUMER", "PAUSE", _, _] => ("consumer_pause", self.consumer_pause(&ask(2))),
            ["CONSUMER", "NAMES", _] => ("consumer_names", self.consumer_names(&ask(2))),
            ["CONSUMER", "LIST", _] => ("consumer_list", self.consumer_list(&ask(2))),
            // The product takes what it does not know, and says nothing.
            _ => return true,
        };
        self.requests.0 += 1;
        self.requests.1 += u64::from(result.is_err());
        self.answer(reply, kind, result);
        true
    }

    fn tell_request(&self, client: &Client, message: &Publish) {
        let event = Event::ApiRequest {
            subject: &message.subject,
        };
        self.witness.happened(Some(client), &event);
    }

    fn answer(&mut self, reply: &str, kind: &str, result: Reply) {
        if reply.is_empty() {
            return;
        }
        let mut fields = result.unwrap_or_else(|error| beside_error(kind, &error));
        fields["type"] = format!("io.nats.jetstream.api.v1.{kind}_response").into();
        self.say(Publish {
            subject: reply.to_owned(),
            payload: Bytes::from(fields.to_string()),
            ..Publish::default()
        });
    }
}

/// The fields of an answer that is an error. Some say beside it that there is nothing.
fn beside_error(kind: &str, error: &ApiError) -> Value {
    match kind {
        "stream_info" => json!({ "error": error, "total": 0, "offset": 0, "limit": 0 }),
        "stream_purge" => json!({ "error": error, "purged": 0 }),
        "consumer_names" | "consumer_list" => {
            json!({ "error": error, "total": 0, "offset": 0, "limit": 0, "consumers": [] })
        }
        _ => json!({ "error": error }),
    }
}

/// One page of a list: the fields of its answer.
pub(super) fn page(kind: &str, all: Vec<Value>, offset: usize, limit: usize) -> Value {
    let total = all.len();
    let offset = offset.min(total);
    let some: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
    json!({ "total": total, "offset": offset, "limit": limit, kind: some })
}
