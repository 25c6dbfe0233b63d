//! A broker behind a circuit breaker: while it does not answer nobody waits for it, and it is left to recover.
//!
//! Only publishing is guarded. A message that the broker refuses for its own sake says that the broker works.

use std::sync::Arc;

use async_trait::async_trait;

use super::breaker::{Breaker, BreakerSettings, Outcome};
use crate::ports::Broker;
use crate::ports::broker::{BrokerError, Message, PublishError, Subscription};

/// A broker behind a circuit breaker.
pub struct Guarded {
    broker: Arc<dyn Broker>,
    breaker: Breaker,
}

impl Guarded {
    /// Guards `broker` with a breaker of its own.
    pub fn new(broker: Arc<dyn Broker>, settings: BreakerSettings) -> Self {
        let breaker = Breaker::new(settings);
        Self { broker, breaker }
    }
}

#[async_trait]
impl Broker for Guarded {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let permit = self.breaker.admit().ok_or(PublishError::CircuitOpen)?;
        let published = self.broker.publish(message).await;
        permit.ended(match &published {
            Ok(()) | Err(PublishError::Unpublishable(_)) => Outcome::Success,
            Err(_) => Outcome::Failure,
        });
        published
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.broker.subscribe(group, topics).await
    }

    async fn close(&self) {
        self.broker.close().await;
    }
}
