//! The dead letter queue: what a consumer cannot handle is parked there, whole, and remembered as parked.
//!
//! Later events of a parked entity are parked behind it, so that none overtakes. A parked event stays there until it
//! is replayed ([`crate::replay`]) and taken up again.

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
        "INSERT INTO parked (consumer, entity, event_id, topic, attempts, error) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(refused.consumer)
    .bind(refused.entity)
    .bind(refused.event_id)
    .bind(&refused.message.topic)
    .bind(i64::from(refused.attempts))
    .bind(refused.error)
    .execute(tx.executor())
    .await?;
    tx.commit().await
}

/// Takes a parked event up again, in the transaction of its effect.
///
/// # Errors
/// When the statement fails; the caller rolls back, and the event stays parked.
pub async fn take_up<T: Transaction>(
    tx: &mut T,
    consumer: &str,
    event_id: &str,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM parked WHERE consumer = $1 AND event_id = $2")
        .bind(consumer)
        .bind(event_id)
        .execute(tx.executor())
        .await?;
    Ok(())
}
