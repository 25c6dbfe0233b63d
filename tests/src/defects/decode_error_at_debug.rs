//! `decode-error-at-debug`: what cannot be decoded is logged where nobody looks, and acknowledged.

use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::event::Event;
use reference_system::ports::Message;
use reference_system::ports::broker::{Broker, BrokerError, Delivery, PublishError, Subscription};
use scenarios::deploy::Processes;

use super::rewired::Rewired;

/// Consumers whose deserialiser passes over what it cannot read.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodeErrorAtDebug;

impl Processes for DecodeErrorAtDebug {
    async fn consume<E: Environment, H: Handler>(&self, environment: E, handler: H) {
        let broker = Skipping(environment.broker().clone());
        consumer::run(Rewired::broker(environment, broker), handler).await
    }
}

/// A broker, or a subscription to it, that gives only what can be decoded.
#[derive(Clone)]
struct Skipping<B>(B);

impl<B: Broker> Broker for Skipping<B> {
    type Subscription = Skipping<B::Subscription>;

    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        self.0.publish(message).await
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Self::Subscription, BrokerError> {
        self.0.subscribe(group, topics).await.map(Skipping)
    }
}

impl<S: Subscription> Subscription for Skipping<S> {
    type Delivery = S::Delivery;

    async fn next(&mut self) -> Result<S::Delivery, BrokerError> {
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
