//! `commit-max-offset`: events are handled in parallel, and each commits its offset when it is done.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reference_system::Environment;
use reference_system::consumer::Handler;
use reference_system::correlation::Correlation;
use reference_system::ports::broker::{BrokerError, Delivery, Subscription};
use scenarios::deploy::Processes;
use tokio::time::sleep;

use super::by_hand::{Consumer, PAUSE};

/// How many events one consumer handles at once.
const PARALLEL_MAX: usize = 8;

/// Takes the highest offset that is done for the one up to which all are done.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommitMaxOffset;

#[async_trait(?Send)]
impl Processes for CommitMaxOffset {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let (broker, topics) = (environment.broker.clone(), handler.topics());
        let consumer = Consumer {
            environment,
            handler,
        };
        loop {
            let group = consumer.handler.consumer();
            if let Ok(deliveries) = broker.subscribe(group, topics).await {
                let error = in_parallel(&consumer, deliveries).await;
                tracing::warn!(%error, "subscribing again");
            }
            sleep(PAUSE).await;
        }
    }
}

/// Handles deliveries until the broker is lost.
async fn in_parallel(consumer: &Consumer, mut deliveries: Box<dyn Subscription>) -> BrokerError {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(settled) = running.next() => if let Err(error) = settled {
                return error;
            },
            delivery = deliveries.next(), if running.len() < PARALLEL_MAX => match delivery {
                Ok(delivery) => running.push(handle(consumer, delivery)),
                Err(error) => return error,
            },
        }
    }
}

async fn handle(consumer: &Consumer, delivery: Box<dyn Delivery>) -> Result<(), BrokerError> {
    if let Some(event) = consumer.wanted(delivery.message()) {
        let chain = Correlation::caused_by(&event);
        while let Err(error) = consumer.once(&event, &chain).await {
            tracing::warn!(%error, "will be tried again");
            sleep(PAUSE).await;
        }
    }
    delivery.ack().await
}
