//! The simple client of the simulated broker behind the reference system's broker port.
//!
//! It translates words and nothing else: no retry, no buffering, no settlement of its own.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::ports::broker::{
    Broker, BrokerError, Delivery, Message, PublishError, Subscription,
};

/// The broker, as one host reaches it.
#[derive(Clone)]
pub struct SimulatedBroker(stormglass::Broker);

impl SimulatedBroker {
    /// The broker as the current host reaches it.
    pub fn connect() -> Self {
        SimulatedBroker(stormglass::Broker::connect())
    }
}

#[async_trait]
impl Broker for SimulatedBroker {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let Message {
            topic,
            key,
            headers,
            payload,
        } = message;
        let message = stormglass::Message {
            topic,
            key,
            headers,
            payload,
        };
        match self.0.publish(message).await {
            Ok(_position) => Ok(()),
            Err(stormglass::PublishError::Rejected(why)) => Err(PublishError::Rejected(why)),
            Err(stormglass::PublishError::Unknown(why)) => Err(PublishError::Unknown(why)),
        }
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscribed = self.0.subscribe(group, topics).await;
        Ok(Box::new(SimulatedSubscription(
            subscribed.map_err(translated)?,
        )))
    }
}

/// A membership in a consumer group.
struct SimulatedSubscription(stormglass::Subscription);

#[async_trait]
impl Subscription for SimulatedSubscription {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        let delivery = self.0.next().await.map_err(translated)?;
        let stormglass::Message {
            topic,
            key,
            headers,
            payload,
        } = delivery.message().clone();
        let message = Message {
            topic,
            key,
            headers,
            payload,
        };
        Ok(Box::new(SimulatedDelivery { message, delivery }))
    }
}

/// A message in the hands of a consumer.
struct SimulatedDelivery {
    message: Message,
    delivery: stormglass::Delivery,
}

#[async_trait]
impl Delivery for SimulatedDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.delivery.ack().await.map_err(translated)
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BrokerError> {
        self.delivery.retry(after).await.map_err(translated)
    }
}

fn translated(error: stormglass::BrokerError) -> BrokerError {
    match error {
        stormglass::BrokerError::Unavailable(why) => BrokerError::Unavailable(why),
        stormglass::BrokerError::Fenced(why) => BrokerError::Fenced(why),
    }
}
