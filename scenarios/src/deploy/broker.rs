//! The simple client of the simulated broker behind the reference system's broker port.
//!
//! It translates words and nothing else: no retry, no buffering, no settlement of its own.

use std::time::Duration;

use async_trait::async_trait;
use reference_system::ports::broker::{
    self, Broker, Delivery, Message, PublishError, Standing, Standings, Subscription,
};

/// The environment variable that says which broker the scenarios run on.
pub const BROKER_VARIABLE: &str = "STORMGLASS_BROKER";

/// Which broker the shop runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShopBroker {
    /// The harness' own, through its simple client, with the profile that a scenario names.
    #[default]
    Simulated,
    /// A NATS server, through the shop's own client.
    Nats,
}

/// The environment variable names no broker.
#[derive(Debug, thiserror::Error)]
#[error("{BROKER_VARIABLE} is `{0}`: expected `simulated` or `nats`")]
pub struct BrokerError(String);

impl ShopBroker {
    /// The broker that `STORMGLASS_BROKER` asks for, `simulated` or `nats`; the simulated one where it is not set or empty.
    ///
    /// # Errors
    ///
    /// If the variable holds something else.
    pub fn from_environment() -> Result<Self, BrokerError> {
        match std::env::var(BROKER_VARIABLE).as_deref() {
            Ok("nats") => Ok(ShopBroker::Nats),
            Ok("" | "simulated") | Err(_) => Ok(ShopBroker::Simulated),
            Ok(other) => Err(BrokerError(other.to_owned())),
        }
    }
}

/// The broker, as one host reaches it.
#[derive(Clone)]
pub(super) struct SimulatedBroker(stormglass::Broker);

impl SimulatedBroker {
    /// The broker as the current host reaches it.
    pub(super) fn connect() -> Self {
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
            Err(stormglass::PublishError::Unpublishable(why)) => {
                Err(PublishError::Unpublishable(why))
            }
            Err(stormglass::PublishError::Unknown(why)) => Err(PublishError::Unknown(why)),
        }
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, broker::BrokerError> {
        let subscribed = self.0.subscribe(group, topics).await;
        Ok(Box::new(SimulatedSubscription(
            subscribed.map_err(translated)?,
        )))
    }
}

#[async_trait]
impl Standings for SimulatedBroker {
    async fn standing(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Vec<Standing>, broker::BrokerError> {
        let standing = self.0.standing(group, topics).await.map_err(translated)?;
        let standing = standing.into_iter().map(|own| Standing {
            topic: own.topic.to_string(),
            partition: own.partition,
            settled: own.settled,
            unread: own.unread,
            waiting: own.waiting,
            // It does not say.
            is_in_hand: false,
        });
        Ok(standing.collect())
    }
}

/// A membership in a consumer group.
struct SimulatedSubscription(stormglass::Subscription);

#[async_trait]
impl Subscription for SimulatedSubscription {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, broker::BrokerError> {
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

    async fn ack(self: Box<Self>) -> Result<(), broker::BrokerError> {
        self.delivery.ack().await.map_err(translated)
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<(), broker::BrokerError> {
        self.delivery.retry(after).await.map_err(translated)
    }
}

fn translated(error: stormglass::BrokerError) -> broker::BrokerError {
    match error {
        stormglass::BrokerError::Unavailable(why) => broker::BrokerError::Unavailable(why),
        stormglass::BrokerError::Fenced(why) => broker::BrokerError::Fenced(why),
    }
}
