//! A message as a consumer sees it: readable or not, it has an id, an entity and a place in a chain.

use tracing::Span;

use crate::event::{DecodeError, Event};
use crate::fingerprint::fingerprint;
use crate::ports::Message;
use crate::ports::broker::header;

/// A delivered message and what could be read of it.
pub(super) struct Received {
    /// The message as delivered.
    pub(super) message: Message,
    /// The event, or why it cannot be read.
    pub(super) event: Result<Event, DecodeError>,
    /// The event's id; of an unreadable message its header, or else a hash of the message.
    pub(super) event_id: String,
    /// The entity; of an unreadable message its partition key.
    pub(super) entity: String,
}

impl Received {
    pub(super) fn read(message: Message) -> Self {
        let event = Event::decode(&message);
        let (event_id, entity) = match &event {
            Ok(event) => (event.id.to_string(), event.entity.clone()),
            Err(_) => (id_of_unreadable(&message), message.key.clone()),
        };
        Self {
            message,
            event,
            event_id,
            entity,
        }
    }

    /// Whether a consumer of the given types has nothing to do with this message.
    ///
    /// A message without a type is nobody's to ignore.
    pub(super) fn is_ignored_by(&self, handles: &[&str]) -> bool {
        let event_type = self.message.headers.get(header::EVENT_TYPE);
        event_type.is_some_and(|event_type| !handles.contains(&event_type.as_str()))
    }

    /// Whether an operator asked for this copy.
    pub(super) fn is_replay(&self) -> bool {
        self.message.headers.contains_key(header::REPLAY)
    }

    /// The span within which the message is handled.
    pub(super) fn span(&self, consumer: &'static str) -> Span {
        let header = |name| self.message.headers.get(name).map_or("", String::as_str);
        tracing::info_span!(
            "consume",
            consumer,
            correlation_id = header(header::CORRELATION_ID),
            event_id = self.event_id,
            event_type = header(header::EVENT_TYPE),
            entity = self.entity,
        )
    }
}

fn id_of_unreadable(message: &Message) -> String {
    let from_header = message.headers.get(header::EVENT_ID).cloned();
    from_header.unwrap_or_else(|| {
        let parts = [
            message.topic.as_bytes(),
            message.key.as_bytes(),
            message.payload.as_slice(),
        ];
        format!("unidentified-{:016x}", fingerprint(parts))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn garbage(headers: BTreeMap<String, String>) -> Received {
        Received::read(Message {
            topic: "orders".to_owned(),
            key: "order-1".to_owned(),
            headers,
            payload: b"\xff".to_vec(),
        })
    }

    #[test]
    fn an_unreadable_message_keeps_the_id_of_its_header_and_the_entity_of_its_key() {
        let headers = BTreeMap::from([(header::EVENT_ID.to_owned(), "id".to_owned())]);
        let received = garbage(headers);
        assert!(received.event.is_err());
        assert_eq!(received.event_id, "id");
        assert_eq!(received.entity, "order-1");
    }

    #[test]
    fn without_any_header_the_id_is_stable_and_the_message_is_not_ignored() {
        let received = garbage(BTreeMap::new());
        assert!(received.event_id.starts_with("unidentified-"));
        assert_eq!(received.event_id, garbage(BTreeMap::new()).event_id);
        assert!(!received.is_ignored_by(&["order.placed"]));
    }
}
