//! The dead letter queue: what a consumer cannot handle is parked there, whole, and remembered as parked.
//!
//! An event is claimed for the queue in the table in which its effect would be claimed, so that it is either applied or
//! parked, even where a consumer that stood still wakes up with a copy that another one has parked meanwhile.
//! Later events of a parked entity are parked behind it, so that none overtakes. A parked event stays there until an
//! operator settles it: it is replayed ([`crate::replay`]) and taken up again, or discarded with a reason.
//!
//! Reading order: `parked` what there is, as operators see it; `discard` how it goes without effect; `audit` who did what,
//! and why.

pub mod audit;
pub mod discard;
pub mod parked;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::clock::now_ms;
use crate::consumer::Failure;
use crate::database::Database;
use crate::ports::Message;
use crate::ports::broker::{self, Broker};

/// What `processed_events` says of an event that is parked.
const PARKED: &str = "parked";

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
#[async_trait]
pub trait GiveUp: Send + Sync {
    /// Gives the message up.
    ///
    /// # Errors
    /// When it could not be made sure of; the message is delivered again.
    async fn give_up(
        &self,
        database: &Database,
        broker: &dyn Broker,
        refused: Refused<'_>,
    ) -> Result<(), Failure>;
}

/// Claims the event, publishes the message to the dead letter topic, waits for the acknowledgement, then notes that.
///
/// A crash before the note parks the message twice under the same event id; it is never lost. An event that was
/// applied meanwhile is not parked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Park;

#[async_trait]
impl GiveUp for Park {
    async fn give_up(
        &self,
        database: &Database,
        broker: &dyn Broker,
        refused: Refused<'_>,
    ) -> Result<(), Failure> {
        if !claim(database, &refused).await? {
            return Ok(());
        }
        broker
            .publish(dead_letter(&refused))
            .await
            .map_err(|error| Failure::Transient(error.to_string()))?;
        note_published(database, &refused).await?;
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

/// Records the event as parked, unless it was applied; tells whether it is parked.
async fn claim(database: &Database, refused: &Refused<'_>) -> sqlx::Result<bool> {
    let message = refused.message;
    let header = |name| message.headers.get(name).map_or("", String::as_str);
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO processed_events \
         (consumer, event_id, event_type, entity, correlation_id, outcome, handled_at_ms) \
         VALUES ($1, $2, $3, $4, $5, 'parked', $6) ON CONFLICT DO NOTHING",
    )
    .bind(refused.consumer)
    .bind(refused.event_id)
    .bind(header(broker::header::EVENT_TYPE))
    .bind(refused.entity)
    .bind(header(broker::header::CORRELATION_ID))
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    let outcome: String = sqlx::query_scalar(
        "SELECT outcome FROM processed_events WHERE consumer = $1 AND event_id = $2",
    )
    .bind(refused.consumer)
    .bind(refused.event_id)
    .fetch_one(&mut *tx)
    .await?;
    if outcome != PARKED {
        tx.rollback().await?;
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO parked (consumer, entity, event_id, event_type, correlation_id, topic, \
         partition_key, headers, payload, attempts, error, parked_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
    )
    .bind(refused.consumer)
    .bind(refused.entity)
    .bind(refused.event_id)
    .bind(header(broker::header::EVENT_TYPE))
    .bind(header(broker::header::CORRELATION_ID))
    .bind(&message.topic)
    .bind(&message.key)
    .bind(serde_json::json!(message.headers).to_string())
    .bind(&message.payload)
    .bind(i64::from(refused.attempts))
    .bind(refused.error)
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

async fn note_published(database: &Database, refused: &Refused<'_>) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    sqlx::query("UPDATE parked SET published = 1 WHERE consumer = $1 AND event_id = $2")
        .bind(refused.consumer)
        .bind(refused.event_id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Whether an event of `entity` is parked at `consumer`, in the transaction of an effect.
///
/// # Errors
/// When the statement fails; the caller rolls back.
pub async fn holds_back(
    tx: &mut AnyConnection,
    consumer: &str,
    entity: &str,
) -> sqlx::Result<bool> {
    let parked: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM parked WHERE consumer = $1 AND entity = $2")
            .bind(consumer)
            .bind(entity)
            .fetch_one(&mut *tx)
            .await?;
    Ok(parked > 0)
}

/// Takes a parked event up again, in the transaction of its effect.
///
/// # Errors
/// When the statement fails; the caller rolls back, and the event stays parked.
pub async fn take_up(tx: &mut AnyConnection, consumer: &str, event_id: &str) -> sqlx::Result<()> {
    for table in [
        "DELETE FROM parked WHERE consumer = $1 AND event_id = $2",
        "DELETE FROM processed_events WHERE consumer = $1 AND event_id = $2 AND outcome = 'parked'",
    ] {
        sqlx::query(table)
            .bind(consumer)
            .bind(event_id)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
