//! The effect of an event within a transaction: the change itself, its journal entry, and the event that announces it.
//!
//! It is the same whether a broker, a caller or the process itself has brought the event. Whether the event is new is not
//! asked here but by [`once`], or by whoever calls [`book`].

use sqlx::AnyConnection;

use crate::correlation::Correlation;
use crate::discarded;
use crate::environment::Environment;
use crate::event::Event;
use crate::journal;
use crate::publishing::PublishPattern;
use crate::telemetry::{self, messaging};

use super::{Effect, Failure, Handler, Prepared};

/// Books what `prepared` makes of `event`, and gives the event that announces it.
///
/// # Errors
/// See [`Failure`]; the caller rolls back.
pub async fn book(
    tx: &mut AnyConnection,
    publishing: &dyn PublishPattern,
    consumer: &str,
    prepared: Box<dyn Prepared>,
    event: &Event,
) -> Result<Option<Event>, Failure> {
    let booked = apply(tx, publishing, consumer, prepared, event);
    telemetry::within(messaging::effect(consumer), booked).await
}

async fn apply(
    tx: &mut AnyConnection,
    publishing: &dyn PublishPattern,
    consumer: &str,
    prepared: Box<dyn Prepared>,
    event: &Event,
) -> Result<Option<Event>, Failure> {
    let (effect, announces) = match prepared.apply(tx, event).await? {
        Effect::Discarded { reason } => {
            discarded::record(tx, consumer, event, &reason).await?;
            return Ok(None);
        }
        Effect::Applied { effect, announces } => (effect, announces),
    };
    let chain = Correlation::caused_by(event);
    let announced = announces.map(|new| chain.event(new));
    let entry = journal::Entry {
        effect,
        entity: &event.entity,
        correlation_id: &event.correlation_id,
        cause_id: Some(event.id),
        announced_by: announced.as_ref(),
    };
    journal::append(tx, entry).await?;
    publishing.record(tx, announced.as_slice()).await?;
    tracing::info!(effect, "applied");
    Ok(announced)
}

/// Applies `event` unless it was handled before, in a transaction of its own, and gives the event that announces the effect.
///
/// # Errors
/// See [`Failure`]; nothing has changed then, unless the commit's answer was lost.
pub async fn once(
    environment: &Environment,
    handler: &dyn Handler,
    event: &Event,
) -> Result<Option<Event>, Failure> {
    let database = &environment.database;
    let prepared = handler.prepare(database, event).await?;
    let mut tx = database.begin().await?;
    let (inbox, consumer) = (&environment.inbox, handler.consumer());
    if !inbox.first_time(&mut tx, consumer, event).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let publishing = environment.publishing.as_ref();
    let announced = book(&mut tx, publishing, consumer, prepared, event).await?;
    tx.commit().await?;
    publishing.after_commit(announced.as_slice()).await;
    Ok(announced)
}
