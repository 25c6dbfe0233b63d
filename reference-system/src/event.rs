//! The envelope of an event, and how it becomes a message and is read back.
//!
//! Reading is strict: a missing header or field, or a header that contradicts the body, is an error, never a default.

pub mod catalogue;
pub mod contract;
pub mod registration;
mod upcast;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ports::broker::{Message, header};
use crate::telemetry::TraceContext;
pub use contract::Contract;

/// Something that happened to an entity, with the chain it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The event's own id; the same on every copy of it.
    pub id: Uuid,
    /// Its type; see [`contract::event_type`].
    pub event_type: String,
    /// The version of the payload's schema.
    pub schema_version: u32,
    /// The topic it is published to.
    pub topic: String,
    /// The entity it is about: here always an order's id.
    pub entity: String,
    /// The id of the whole flow, given at the ingress.
    pub correlation_id: String,
    /// The id of the event that caused it; `None` at the ingress.
    pub causation_id: Option<Uuid>,
    /// The place in a trace at which it was announced, or last published.
    #[serde(default, skip_serializing_if = "TraceContext::is_none")]
    pub trace: TraceContext,
    /// The data of its contract.
    pub payload: Value,
}

/// An event that is yet to get its id and its place in a chain; see [`crate::correlation::Correlation::event`].
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Its type.
    pub event_type: &'static str,
    /// The version of the payload's schema.
    pub schema_version: u32,
    /// The topic to publish it to.
    pub topic: &'static str,
    /// The entity it is about.
    pub entity: String,
    /// The data of its contract.
    pub payload: Value,
}

impl NewEvent {
    /// An event about `entity` with the data of a contract.
    pub fn new<C: Contract>(entity: &str, data: C) -> Self {
        Self {
            event_type: C::EVENT_TYPE,
            schema_version: C::SCHEMA_VERSION,
            topic: C::TOPIC,
            entity: entity.to_owned(),
            payload: data.into_json(),
        }
    }
}

/// Why a message could not be read as the event that it claims to be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A header is missing.
    #[error("header `{0}` is missing")]
    MissingHeader(&'static str),
    /// A header and the body disagree.
    #[error("header `{0}` contradicts the body")]
    ContradictingHeader(&'static str),
    /// The body is not an event's envelope.
    #[error("body cannot be read: {0}")]
    Body(serde_json::Error),
    /// The data does not fulfil the contract of the event's type.
    #[error("data of `{event_type}` breaks its contract: {error}")]
    Data {
        /// The event's type.
        event_type: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// The data is written to a schema that is not known here.
    #[error("schema version {found} of `{event_type}` is not supported")]
    SchemaVersion {
        /// The event's type.
        event_type: String,
        /// The version it carries.
        found: u32,
    },
}

/// The envelope as it is written in a message's body.
#[derive(Serialize, Deserialize)]
struct Body {
    event_id: Uuid,
    event_type: String,
    schema_version: u32,
    entity: String,
    correlation_id: String,
    causation_id: Option<Uuid>,
    data: Value,
}

impl Event {
    /// The message that carries this event under partition key `key`.
    #[must_use]
    pub fn encode(&self, key: String) -> Message {
        Message {
            topic: self.topic.clone(),
            key,
            headers: self.headers(),
            payload: self.body().into_bytes(),
        }
    }

    /// The headers that a message with this event carries.
    #[must_use]
    pub fn headers(&self) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::from([
            (header::EVENT_ID.to_owned(), self.id.to_string()),
            (header::EVENT_TYPE.to_owned(), self.event_type.clone()),
            (
                header::SCHEMA_VERSION.to_owned(),
                self.schema_version.to_string(),
            ),
            (
                header::CORRELATION_ID.to_owned(),
                self.correlation_id.clone(),
            ),
        ]);
        if let Some(causation_id) = self.causation_id {
            headers.insert(header::CAUSATION_ID.to_owned(), causation_id.to_string());
        }
        headers.extend(self.trace.headers().clone());
        headers
    }

    /// The body of a message with this event: its envelope as JSON.
    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!({
            "event_id": self.id,
            "event_type": self.event_type,
            "schema_version": self.schema_version,
            "entity": self.entity,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "data": self.payload,
        })
        .to_string()
    }

    /// Reads the event that a message carries.
    ///
    /// # Errors
    /// When the body is not an envelope, or a header is missing or contradicts it.
    pub fn decode(message: &Message) -> Result<Self, DecodeError> {
        let body: Body = serde_json::from_slice(&message.payload).map_err(DecodeError::Body)?;
        let event = Self {
            id: body.event_id,
            event_type: body.event_type,
            schema_version: body.schema_version,
            topic: message.topic.clone(),
            entity: body.entity,
            correlation_id: body.correlation_id,
            causation_id: body.causation_id,
            trace: TraceContext::carried_by(&message.headers),
            payload: body.data,
        };
        event.check_headers(message)?;
        Ok(event)
    }

    fn check_headers(&self, message: &Message) -> Result<(), DecodeError> {
        let expected = self.headers();
        let names = [
            header::EVENT_ID,
            header::EVENT_TYPE,
            header::SCHEMA_VERSION,
            header::CORRELATION_ID,
            header::CAUSATION_ID,
        ];
        for name in names {
            match (expected.get(name), message.headers.get(name)) {
                (Some(_), None) => return Err(DecodeError::MissingHeader(name)),
                (expected, found) if expected != found => {
                    return Err(DecodeError::ContradictingHeader(name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The event's data, as its contract says; data of an earlier version is brought up to it.
    ///
    /// # Errors
    /// When the schema version is not supported or a field is missing or of another type.
    pub fn data<C: Contract + DeserializeOwned>(&self) -> Result<C, DecodeError> {
        let wrong = |error| DecodeError::Data {
            event_type: self.event_type.clone(),
            error,
        };
        let payload = upcast::upcast(self, C::SCHEMA_VERSION).map_err(wrong)?;
        let payload = payload.ok_or_else(|| DecodeError::SchemaVersion {
            event_type: self.event_type.clone(),
            found: self.schema_version,
        })?;
        C::deserialize(payload.as_ref()).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{StockReleased, StockReserved, event_type};

    fn event() -> Event {
        let data = StockReleased {
            sku: "tea".to_owned(),
            quantity: 2,
        };
        let new = NewEvent::new("order-1", data);
        Event {
            id: Uuid::from_u128(7),
            event_type: new.event_type.to_owned(),
            schema_version: new.schema_version,
            topic: new.topic.to_owned(),
            entity: new.entity,
            correlation_id: "flow".to_owned(),
            causation_id: Some(Uuid::from_u128(6)),
            trace: TraceContext::default(),
            payload: new.payload,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let event = event();
        let message = event.encode("order-1".to_owned());
        assert_eq!(Event::decode(&message).unwrap(), event);
        assert_eq!(event.event_type, event_type::STOCK_RELEASED);
    }

    #[test]
    fn a_missing_or_contradicting_header_is_an_error() {
        for name in event().headers().into_keys() {
            let mut message = event().encode("order-1".to_owned());
            message.headers.insert(name.clone(), "other".to_owned());
            let contradicting = Event::decode(&message);
            assert!(matches!(
                contradicting,
                Err(DecodeError::ContradictingHeader(_))
            ));
            message.headers.remove(&name);
            let missing = Event::decode(&message);
            assert!(matches!(missing, Err(DecodeError::MissingHeader(_))));
        }
    }

    #[test]
    fn a_missing_field_is_an_error_in_the_envelope_and_in_the_data() {
        let message = event().encode("order-1".to_owned());
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        for field in ["event_id", "schema_version", "entity", "correlation_id"] {
            let mut body = body.clone();
            body.as_object_mut().unwrap().remove(field);
            let payload = body.to_string().into_bytes();
            let message = Message {
                payload,
                ..message.clone()
            };
            assert!(matches!(Event::decode(&message), Err(DecodeError::Body(_))));
        }
        let other = event().data::<StockReserved>();
        assert!(matches!(other, Err(DecodeError::Data { .. })));
    }

    #[test]
    fn an_unknown_schema_version_is_an_error() {
        let event = Event {
            schema_version: 2,
            ..event()
        };
        let data = event.data::<StockReleased>();
        assert!(matches!(
            data,
            Err(DecodeError::SchemaVersion { found: 2, .. })
        ));
    }
}
