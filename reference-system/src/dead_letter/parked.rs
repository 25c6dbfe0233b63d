//! What a consumer has parked, as operators see it: filtered, grouped by error, or one message whole.
//!
//! What was told to an operator is marked as seen, because nothing is discarded that nobody has looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::database::Database;

/// Which parked events are meant; all of them where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The one with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Those whose error contains this text, in capitals or small letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Those of this type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Those that were parked at least so many seconds ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_seconds: Option<u64>,
}

impl Filter {
    /// Whether it leaves nothing out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// The pattern of `LIKE` that an error in small letters has to match.
    fn error_pattern(&self) -> String {
        let text = self.error.as_deref().unwrap_or_default().to_lowercase();
        let escaped = text.replace('\\', "\\\\");
        let escaped = escaped.replace('%', "\\%").replace('_', "\\_");
        format!("%{escaped}%")
    }

    /// The latest moment at which what is meant was parked, in milliseconds since 1970.
    fn parked_until_ms(&self) -> i64 {
        let Some(seconds) = self.older_than_seconds else {
            return i64::MAX;
        };
        let age_ms = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        now_ms().saturating_sub(age_ms)
    }
}

/// A parked event without what it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Parked {
    /// Its place among what the consumer has parked.
    #[serde(skip)]
    pub position: i64,
    /// The consumer that parked it.
    pub consumer: String,
    /// The event's id.
    pub event_id: String,
    /// The event's type; empty if the message says none.
    pub event_type: String,
    /// The entity, or the partition key of a message that cannot be read.
    pub entity: String,
    /// The flow that it belongs to; empty if the message says none.
    pub correlation_id: String,
    /// The topic that it came from.
    pub topic: String,
    /// Attempts made; 0 if it was parked behind another event of its entity.
    pub attempts: i64,
    /// Why it could not be handled.
    pub error: String,
    /// When it was parked, in milliseconds since 1970.
    pub parked_at_ms: i64,
    /// When an operator first saw it, in milliseconds since 1970.
    pub seen_at_ms: Option<i64>,
}

/// A parked message, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whole {
    /// What is known of it.
    #[serde(flatten)]
    pub parked: Parked,
    /// The key that it was published under.
    pub partition_key: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body as text; what is no text is shown as `\u{fffd}`.
    pub payload: String,
}

/// Parked events that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Group {
    /// The consumer that parked them.
    pub consumer: String,
    /// Their error.
    pub error: String,
    /// Their type.
    pub event_type: String,
    /// How many there are.
    pub events: i64,
    /// When the first of them was parked, in milliseconds since 1970.
    pub first_parked_at_ms: i64,
    /// When the last of them was parked, in milliseconds since 1970.
    pub last_parked_at_ms: i64,
}

/// What a [`Filter`] means, with `$1` the consumer and `$2` to `$5` as [`bound`] binds them.
macro_rules! selected {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM parked WHERE consumer = $1 AND ($2 = '' OR event_id = $2) \
             AND ($3 = '' OR event_type = $3) AND LOWER(error) LIKE $4 ESCAPE '\\' \
             AND parked_at_ms <= $5 ",
            $after
        )
    };
}

/// Binds what `selected!` asks for.
macro_rules! bound {
    ($query:expr, $consumer:expr, $filter:expr) => {
        $query
            .bind($consumer)
            .bind($filter.event_id.as_deref().unwrap_or_default())
            .bind($filter.event_type.as_deref().unwrap_or_default())
            .bind($filter.error_pattern())
            .bind($filter.parked_until_ms())
    };
}

/// What `consumer` has parked and the filter means, the first `limit` of it in the order in which it was parked.
///
/// # Errors
/// When the database fails.
pub async fn select(
    database: &Database,
    consumer: &str,
    filter: &Filter,
    limit: u32,
) -> sqlx::Result<Vec<Parked>> {
    let select = sqlx::query_as(selected!(
        "SELECT position, consumer, event_id, event_type, entity, correlation_id, topic, attempts, error, \
         parked_at_ms, seen_at_ms",
        "ORDER BY position LIMIT $6"
    ));
    bound!(select, consumer, filter)
        .bind(i64::from(limit))
        .fetch_all(database.reads())
        .await
}

/// How much `consumer` has parked that the filter means.
///
/// # Errors
/// When the database fails.
pub async fn count(database: &Database, consumer: &str, filter: &Filter) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar(selected!("SELECT COUNT(*)", ""));
    bound!(count, consumer, filter)
        .fetch_one(database.reads())
        .await
}

/// The same as [`select`], grouped by error and type, the largest group first.
///
/// # Errors
/// When the database fails.
pub async fn groups(
    database: &Database,
    consumer: &str,
    filter: &Filter,
) -> sqlx::Result<Vec<Group>> {
    let groups = sqlx::query_as(selected!(
        "SELECT consumer, error, event_type, COUNT(*) AS events, \
         MIN(parked_at_ms) AS first_parked_at_ms, MAX(parked_at_ms) AS last_parked_at_ms",
        "GROUP BY consumer, error, event_type ORDER BY COUNT(*) DESC, error, event_type"
    ));
    bound!(groups, consumer, filter)
        .fetch_all(database.reads())
        .await
}

/// One parked message, whole.
///
/// # Errors
/// When the database fails.
pub async fn whole(
    database: &Database,
    consumer: &str,
    event_id: &str,
) -> sqlx::Result<Option<Whole>> {
    let only = Filter {
        event_id: Some(event_id.to_owned()),
        ..Filter::default()
    };
    let Some(parked) = select(database, consumer, &only, 1).await?.pop() else {
        return Ok(None);
    };
    let Some(message) = message(database, consumer, event_id).await? else {
        return Ok(None);
    };
    Ok(Some(Whole {
        parked,
        partition_key: message.partition_key,
        headers: serde_json::from_str(&message.headers).unwrap_or_default(),
        payload: String::from_utf8_lossy(&message.payload).into_owned(),
    }))
}

/// What a parked message carries, as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Carried {
    /// The topic that it came from.
    pub(crate) topic: String,
    /// The key that it was published under.
    pub(crate) partition_key: String,
    /// Its headers, as a JSON object.
    pub(crate) headers: String,
    /// Its body.
    pub(crate) payload: Vec<u8>,
}

/// What a parked message carries; `None` if it is no longer parked.
pub(crate) async fn message(
    database: &Database,
    consumer: &str,
    event_id: &str,
) -> sqlx::Result<Option<Carried>> {
    sqlx::query_as(
        "SELECT topic, partition_key, headers, payload FROM parked \
         WHERE consumer = $1 AND event_id = $2",
    )
    .bind(consumer)
    .bind(event_id)
    .fetch_optional(database.reads())
    .await
}

/// Marks what an operator was told as seen.
///
/// # Errors
/// When the database fails; all of it is marked, or nothing.
pub async fn mark_seen(database: &Database, told: &[Parked]) -> sqlx::Result<()> {
    if told.iter().all(|parked| parked.seen_at_ms.is_some()) {
        return Ok(());
    }
    let now = now_ms();
    let mut tx = database.begin().await?;
    for parked in told {
        sqlx::query(
            "UPDATE parked SET seen_at_ms = $1 \
             WHERE consumer = $2 AND event_id = $3 AND seen_at_ms IS NULL",
        )
        .bind(now)
        .bind(&parked.consumer)
        .bind(&parked.event_id)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_searched_for_as_it_is_written() {
        let filter = Filter {
            error: Some("50% of C:\\A_B".to_owned()),
            ..Filter::default()
        };
        assert_eq!(filter.error_pattern(), "%50\\% of c:\\\\a\\_b%");
        assert_eq!(Filter::default().error_pattern(), "%%");
    }

    #[test]
    fn only_what_names_nothing_is_everything() {
        assert!(Filter::default().is_everything());
        let old = Filter {
            older_than_seconds: Some(0),
            ..Filter::default()
        };
        assert!(!old.is_everything());
    }
}
