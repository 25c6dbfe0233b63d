//! `decode-error-at-debug`: what cannot be decoded is logged where nobody looks, and acknowledged.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::event::Event;
use reference_system::ports::Message;
use reference_system::ports::broker::{Broker, BrokerError, Delivery, PublishError, Subscription};
use scenarios::deploy::Processes;

/// Consumers whose deserialiser passes over what it cannot read.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodeErrorAtDebug;

#[async_trait(?Send)]
impl Processes for DecodeErrorAtDebug {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let broker = Arc::new(Skipping(environment.broker.clone()));
        consumer::run(
            Environment {
                broker,
                ..environment
            },
            handler,
        )
        .await
    }
}

/// A broker, or a subscription to it, that gives only what can be decoded.
struct Skipping<T>(T);

#[async_trait]
impl Broker for Skipping<Arc<dyn Broker>> {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        self.0.publish(message).await
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscription = self.0.subscribe(group, topics).await?;
        Ok(Box::new(Skipping(subscription)))
    }
}

#[async_trait]
impl Subscription for Skipping<Box<dyn Subscription>> {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        loop {
            let delivery = self.0.next().await?;
            let Err(error) = Event::decode(delivery.message()) else {
                return Ok(delivery);
            };
            tracing::debug!(%error, "skipped");
            delivery.ack().await?;
        }
    }
}
