//! The step that hands an outbox row to the broker: its order decides whether a crash repeats an event or loses it.

use std::collections::BTreeMap;

use crate::database::Database;
use crate::ports::broker::{Broker, Message, PublishError, header};
use crate::telemetry::{Context, propagation};
use async_trait::async_trait;

use super::mark::mark_sent;

/// An unsent row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in the outbox.
    pub position: i64,
    /// The event's id.
    pub event_id: String,
    /// The topic to publish to.
    pub topic: String,
    /// The key to publish under.
    pub partition_key: String,
    /// The message's headers, as a JSON object.
    pub headers: String,
    /// The message's body.
    pub payload: String,
    /// How often it was sent again because an operator asked for it.
    pub replays: i64,
    /// The fence under which it was read; whatever a relay writes about the row, it writes under it.
    pub fence: i64,
}

/// The fence of a row that is read beside any lease, as a capture does: nothing is written under it.
pub const UNFENCED: i64 = 0;

/// The columns of an [`OutboxRow`], in the order of its fields.
pub type Columns = (i64, String, String, String, String, String, i64);

impl OutboxRow {
    /// A row that was read under a fence.
    #[must_use]
    pub fn read(columns: Columns, fence: i64) -> Self {
        let (position, event_id, topic, partition_key, headers, payload, replays) = columns;
        Self {
            position,
            event_id,
            topic,
            partition_key,
            headers,
            payload,
            replays,
            fence,
        }
    }

    /// The id of the flow that the row belongs to; empty if its headers cannot be read.
    #[must_use]
    pub fn correlation_id(&self) -> String {
        let headers: Option<BTreeMap<String, String>> = serde_json::from_str(&self.headers).ok();
        let id = headers.and_then(|mut headers| headers.remove(header::CORRELATION_ID));
        id.unwrap_or_default()
    }

    /// The place in a trace at which the row was written.
    #[must_use]
    pub fn context(&self) -> Context {
        let headers: Option<BTreeMap<String, String>> = serde_json::from_str(&self.headers).ok();
        propagation::read(&headers.unwrap_or_default())
    }

    /// The message to publish.
    ///
    /// # Errors
    /// When the headers are not a JSON object of strings.
    pub fn message(&self) -> Result<Message, serde_json::Error> {
        let mut headers: BTreeMap<String, String> = serde_json::from_str(&self.headers)?;
        let mut message_id = self.event_id.clone();
        if self.replays > 0 {
            message_id += &format!("/{}", self.replays);
            headers.insert(header::REPLAY.to_owned(), self.replays.to_string());
        }
        headers.insert(header::MESSAGE_ID.to_owned(), message_id);
        Ok(Message {
            topic: self.topic.clone(),
            key: self.partition_key.clone(),
            headers,
            payload: self.payload.clone().into_bytes(),
        })
    }
}

/// Why a row is not known to be handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandOffError {
    /// The row does not hold a message.
    #[error("row cannot be read: {0}")]
    Row(#[from] serde_json::Error),
    /// The broker did not acknowledge.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The row could not be marked.
    #[error("row cannot be marked as sent: {0}")]
    Mark(#[from] sqlx::Error),
    /// The row is not this relay's any more.
    #[error("another relay has taken the outbox over")]
    Fenced,
}

impl HandOffError {
    /// Whether the row cannot be published as it is, however often it is tried.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Row(_) | Self::Publish(PublishError::Unpublishable(_)) => true,
            Self::Publish(_) | Self::Mark(_) | Self::Fenced => false,
        }
    }
}

/// Hands one row over to the broker.
#[async_trait]
pub trait HandOff: Send + Sync {
    /// Publishes the row and marks it as sent.
    ///
    /// # Errors
    /// See [`HandOffError`]; the row will be handed over again unless it is marked.
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError>;
}

/// Publishes, waits for the acknowledgement, then marks: a crash in between repeats the event and loses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarkAfterAck;

#[async_trait]
impl HandOff for MarkAfterAck {
    async fn hand_off(
        &self,
        database: &Database,
        broker: &dyn Broker,
        row: &OutboxRow,
    ) -> Result<(), HandOffError> {
        broker.publish(row.message()?).await?;
        mark_sent(database, row).await?;
        Ok(())
    }
}
