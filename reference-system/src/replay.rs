//! Replay: what a consumer has parked is published again, by the service that published it first.
//!
//! The event is still in its origin's outbox, whole and in its place, and its relay publishes it again under its own id,
//! in the order of its entity. Where retention has taken it from there, the parked copy goes into the outbox instead. The
//! consumer takes the parked events of an entity up again one after the other, and until the last of them is handled the
//! entity's other events stay behind. So an event is only replayed together with what is parked ahead of it.
//! Asking twice changes nothing; what was parked meanwhile needs another replay.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::clock::now_ms;
use crate::database::Database;
use crate::dead_letter::audit::{self, Deed, Mandate};
use crate::dead_letter::parked::{self, Carried, Filter, Parked};

/// What became of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Events that are published again.
    pub events: u64,
    /// Parked events that cannot be published again, or are about to be anyway.
    pub left: u64,
    /// Events that were asked for, and have to wait for one of their entity that was not.
    pub behind: u64,
}

/// A topic and the database of the service that publishes to it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The topic.
    pub topic: &'static str,
    /// The database whose outbox its events come from.
    pub database: Database,
}

/// Replays what `consumer` has parked in `database` and the filter means.
///
/// # Errors
/// When a database fails; some of the events may be published again.
pub async fn replay(
    consumer: &str,
    database: &Database,
    origins: &[Origin],
    filter: &Filter,
    mandate: &Mandate,
) -> sqlx::Result<Replayed> {
    let wanted = parked::select(database, consumer, filter, u32::MAX).await?;
    let asked_for = wanted.len() as u64;
    let ready = match filter.is_everything() {
        true => wanted,
        false => {
            let all = parked::select(database, consumer, &Filter::default(), u32::MAX).await?;
            without_overtaking(&all, wanted)
        }
    };
    note(consumer, database, &ready, mandate).await?;
    let mut replayed = Replayed {
        behind: asked_for.saturating_sub(ready.len() as u64),
        ..Replayed::default()
    };
    for origin in origins {
        let own = ready.iter().filter(|parked| parked.topic == origin.topic);
        let own: Vec<&Parked> = own.collect();
        if !own.is_empty() {
            let gone = send_again(&origin.database, &own, &mut replayed.events).await?;
            for parked in gone {
                if let Some(copy) = parked::message(database, consumer, &parked.event_id).await?
                    && restore(&origin.database, parked, copy).await?
                {
                    replayed.events += 1;
                }
            }
        }
    }
    replayed.left = (ready.len() as u64).saturating_sub(replayed.events);
    let Replayed {
        events,
        left,
        behind,
    } = replayed;
    tracing::warn!(
        consumer,
        events,
        left,
        behind,
        who = mandate.who,
        "replayed"
    );
    Ok(replayed)
}

/// Those of `wanted` ahead of which nothing of their entity is parked that is not wanted too. Both are in the order in
/// which they were parked.
fn without_overtaking(all: &[Parked], wanted: Vec<Parked>) -> Vec<Parked> {
    let chosen: BTreeSet<i64> = wanted.iter().map(|parked| parked.position).collect();
    let mut blocked = BTreeSet::new();
    let mut ready = BTreeSet::new();
    for parked in all {
        if !chosen.contains(&parked.position) {
            blocked.insert(&parked.entity);
        } else if !blocked.contains(&parked.entity) {
            ready.insert(parked.position);
        }
    }
    let is_ready = |parked: &Parked| ready.contains(&parked.position);
    wanted.into_iter().filter(is_ready).collect()
}

/// Notes the deed before it is done: several databases have a part in it.
async fn note(
    consumer: &str,
    database: &Database,
    ready: &[Parked],
    mandate: &Mandate,
) -> sqlx::Result<()> {
    if ready.is_empty() {
        return Ok(());
    }
    let mut tx = database.begin().await?;
    for parked in ready {
        audit::note(&mut tx, mandate, Deed::Replay, consumer, &parked.event_id).await?;
    }
    tx.commit().await
}

/// Makes sent rows unsent again, all or none, and counts them; gives the events that the outbox does not hold any more.
async fn send_again<'p>(
    origin: &Database,
    parked: &[&'p Parked],
    sent: &mut u64,
) -> sqlx::Result<Vec<&'p Parked>> {
    let mut tx = origin.begin().await?;
    let (mut rows, mut gone) = (0, Vec::new());
    for &parked in parked {
        let again = sqlx::query(
            "UPDATE outbox SET sent = 0, replays = replays + 1, due_at_ms = $2 \
             WHERE event_id = $1 AND sent = 1",
        )
        .bind(&parked.event_id)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        rows += again.rows_affected();
        if again.rows_affected() == 0 {
            let held: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE event_id = $1")
                .bind(&parked.event_id)
                .fetch_one(&mut *tx)
                .await?;
            if held == 0 {
                gone.push(parked);
            }
        }
    }
    tx.commit().await?;
    *sent += rows;
    Ok(gone)
}

/// Puts a parked copy into the outbox that it came from long ago; tells whether it is there now. What is no text never
/// came from an outbox, and does not get into one.
async fn restore(origin: &Database, parked: &Parked, copy: Carried) -> sqlx::Result<bool> {
    let Ok(payload) = String::from_utf8(copy.payload) else {
        return Ok(false);
    };
    let mut tx = origin.begin().await?;
    let restored = sqlx::query(
        "INSERT INTO outbox (event_id, topic, partition_key, headers, payload, sent, replays, due_at_ms) \
         VALUES ($1, $2, $3, $4, $5, 0, 1, $6) ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(&parked.event_id)
    .bind(&copy.topic)
    .bind(&copy.partition_key)
    .bind(&copy.headers)
    .bind(payload)
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(restored.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parked(position: i64, entity: &str) -> Parked {
        Parked {
            position,
            consumer: "inventory".to_owned(),
            event_id: position.to_string(),
            event_type: String::new(),
            entity: entity.to_owned(),
            correlation_id: String::new(),
            topic: "orders".to_owned(),
            attempts: 0,
            error: String::new(),
            parked_at_ms: 0,
            seen_at_ms: None,
        }
    }

    #[test]
    fn nothing_overtakes_what_stays_parked_of_its_entity() {
        let all = [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "b")];
        let all = all.map(|(position, entity)| parked(position, entity));
        let ready = |wanted: &[usize]| -> Vec<i64> {
            let wanted = wanted.iter().map(|&own| all[own - 1].clone());
            let ready = without_overtaking(&all, wanted.collect());
            ready.iter().map(|parked| parked.position).collect()
        };
        assert_eq!(ready(&[1, 2]), [1, 2]);
        assert_eq!(ready(&[2, 3, 4]), [3]);
        assert_eq!(ready(&[1, 4, 5]), [1]);
        assert!(ready(&[5]).is_empty());
    }
}
