//! The dead letter queue: what a consumer cannot handle is parked there, whole, and remembered as parked.
//!
//! Later events of a parked entity are parked behind it, so that none overtakes. Nothing here replays parked events.

use std::future::Future;

use crate::consumer::Failure;
use crate::ports::{Broker, Database, Message, Transaction};

/// Names of the headers that a parked message carries beside its own.
pub mod header {
    /// Why it was parked.
    pub const ERROR: &str = "dlq-error";
    /// How many attempts were made at it; 0 for one that was parked behind another.
    pub const ATTEMPTS: &str = "dlq-attempts";
    /// The topic it came from.
    pub const ORIGINAL_TOPIC: &str = "dlq-original-topic";
    /// The consumer group that parked it.
    pub const GROUP: &str = "dlq-group";
}

/// The dead letter topic of a consumer group.
#[must_use]
pub fn topic(group: &str) -> String {
    format!("{group}.dlq")
}

/// A message that a consumer gives up.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The consumer, which is also the name of its group.
    pub consumer: &'a str,
    /// The message as it was delivered.
    pub message: &'a Message,
    /// The event's id; made from the message itself where it carries none.
    pub event_id: &'a str,
    /// The entity; the partition key where the message cannot be read.
    pub entity: &'a str,
    /// Attempts made.
    pub attempts: u32,
    /// Why it cannot be handled.
    pub error: &'a str,
}

/// What becomes of a message that cannot be handled. The delivery is acknowledged once this has succeeded.
pub trait GiveUp: Clone + Send + Sync + 'static {
    /// Gives the message up.
    ///
    /// # Errors
    /// When it could not be made sure of; the message is delivered again.
    fn give_up<D: Database, B: Broker>(
        &self,
        database: &D,
        broker: &B,
        refused: Refused<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Publishes the message to the dead letter topic, waits for the acknowledgement, then records it as parked.
///
/// A crash between the two parks the message twice under the same event id; it is never lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Park;

impl GiveUp for Park {
    async fn give_up<D: Database, B: Broker>(
        &self,
        database: &D,
        broker: &B,
        refused: Refused<'_>,
    ) -> Result<(), Failure> {
        broker
            .publish(dead_letter(&refused))
            .await
            .map_err(|error| Failure::Transient(error.to_string()))?;
        record(database, &refused).await?;
        tracing::error!(
            event_id = refused.event_id,
            error = refused.error,
            "event parked"
        );
        Ok(())
    }
}

/// The message with its original key, headers and payload, and why it is here.
fn dead_letter(refused: &Refused<'_>) -> Message {
    let mut message = refused.message.clone();
    let original_topic = std::mem::replace(&mut message.topic, topic(refused.consumer));
    message.headers.extend([
        (header::ERROR.to_owned(), refused.error.to_owned()),
        (header::ATTEMPTS.to_owned(), refused.attempts.to_string()),
        (header::ORIGINAL_TOPIC.to_owned(), original_topic),
        (header::GROUP.to_owned(), refused.consumer.to_owned()),
    ]);
    message
}

async fn record<D: Database>(database: &D, refused: &Refused<'_>) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO parked (consumer, entity, event_id, attempts, error) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(refused.consumer)
    .bind(refused.entity)
    .bind(refused.event_id)
    .bind(i64::from(refused.attempts))
    .bind(refused.error)
    .execute(tx.executor())
    .await?;
    tx.commit().await
}
