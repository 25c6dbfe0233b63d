//! `prefetch-blame`: a crash counts as a failed attempt of every message in flight.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::consumer::{Failure, Handler};
use reference_system::correlation::Correlation;
use reference_system::dead_letter::Refused;
use reference_system::event::Event;
use reference_system::ports::broker::{BrokerError, Delivery, Subscription};
use scenarios::deploy::Processes;
use tokio::time::{sleep, timeout};

use super::by_hand::{Consumer, PAUSE};

/// How many messages are taken at once.
const PREFETCH: usize = 8;
/// How long a batch waits for its next message.
const LINGER: Duration = Duration::from_millis(10);

/// Counts an attempt at each message of a batch before the first of them is handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefetchBlame;

#[async_trait(?Send)]
impl Processes for PrefetchBlame {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let (broker, topics) = (environment.broker.clone(), handler.topics());
        let consumer = Consumer {
            environment,
            handler,
        };
        loop {
            let group = consumer.handler.consumer();
            if let Ok(mut deliveries) = broker.subscribe(group, topics).await {
                while let Ok(batch) = batch(deliveries.as_mut()).await {
                    if handle(&consumer, batch).await.is_err() {
                        break;
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }
}

async fn batch(deliveries: &mut dyn Subscription) -> Result<Vec<Box<dyn Delivery>>, BrokerError> {
    let mut batch = vec![deliveries.next().await?];
    while batch.len() < PREFETCH
        && let Ok(delivery) = timeout(LINGER, deliveries.next()).await
    {
        batch.push(delivery?);
    }
    Ok(batch)
}

async fn handle(consumer: &Consumer, batch: Vec<Box<dyn Delivery>>) -> Result<(), BrokerError> {
    let mut counted = Vec::new();
    for delivery in batch {
        let attempts = match consumer.wanted(delivery.message()) {
            Some(event) => Some((until_it_works(|| count(consumer, &event)).await, event)),
            None => None,
        };
        counted.push((delivery, attempts));
    }
    for (delivery, attempts) in counted {
        if let Some((attempts, event)) = attempts {
            let message = delivery.message();
            let refused = Refused {
                consumer: consumer.handler.consumer(),
                message,
                event_id: &event.id.to_string(),
                entity: &event.entity,
                attempts,
                error: "the consumer died",
            };
            until_it_works(|| apply_or_park(consumer, &event, refused)).await;
        }
        delivery.ack().await?;
    }
    Ok(())
}

async fn apply_or_park(
    consumer: &Consumer,
    event: &Event,
    refused: Refused<'_>,
) -> Result<(), Failure> {
    let Environment {
        database,
        broker,
        give_up,
        settings,
        ..
    } = &consumer.environment;
    if refused.attempts > settings.attempts_max {
        return give_up.give_up(database, broker.as_ref(), refused).await;
    }
    consumer.once(event, &Correlation::caused_by(event)).await
}

/// Counts one more attempt and gives the number of them.
async fn count(consumer: &Consumer, event: &Event) -> Result<u32, Failure> {
    let mut tx = consumer.environment.database.begin().await?;
    let attempts: i64 = sqlx::query_scalar(
        "INSERT INTO attempts (consumer, event_id, attempts, last_error) VALUES ($1, $2, 1, '') \
         ON CONFLICT (consumer, event_id) DO UPDATE SET attempts = attempts.attempts + 1 \
         RETURNING attempts",
    )
    .bind(consumer.handler.consumer())
    .bind(event.id.to_string())
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(u32::try_from(attempts).unwrap_or(u32::MAX))
}

async fn until_it_works<T>(attempt: impl AsyncFn() -> Result<T, Failure>) -> T {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => tracing::warn!(%error, "will be tried again"),
        }
        sleep(PAUSE).await;
    }
}
