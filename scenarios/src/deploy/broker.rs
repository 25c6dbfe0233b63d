//! The simple client of the simulated broker behind the reference system's broker port.
//!
//! It translates words and nothing else: no retry, no buffering, no settlement of its own.

use std::time::Duration;

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

impl Broker for SimulatedBroker {
    type Subscription = SimulatedSubscription;

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
    ) -> Result<SimulatedSubscription, BrokerError> {
        self.0
            .subscribe(group, topics)
            .await
            .map(SimulatedSubscription)
            .map_err(translated)
    }
}

/// A membership in a consumer group.
pub struct SimulatedSubscription(stormglass::Subscription);

impl Subscription for SimulatedSubscription {
    type Delivery = SimulatedDelivery;

    async fn next(&mut self) -> Result<SimulatedDelivery, BrokerError> {
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
        Ok(SimulatedDelivery { message, delivery })
    }
}

/// A message in the hands of a consumer.
pub struct SimulatedDelivery {
    message: Message,
    delivery: stormglass::Delivery,
}

impl Delivery for SimulatedDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    async fn ack(self) -> Result<(), BrokerError> {
        self.delivery.ack().await.map_err(translated)
    }

    async fn retry(self, after: Duration) -> Result<(), BrokerError> {
        self.delivery.retry(after).await.map_err(translated)
    }
}

fn translated(error: stormglass::BrokerError) -> BrokerError {
    match error {
        stormglass::BrokerError::Unavailable(why) => BrokerError::Unavailable(why),
        stormglass::BrokerError::Fenced(why) => BrokerError::Fenced(why),
    }
}
