//! A broker behind a circuit breaker: while it does not answer nobody waits for it, and it is left to recover.
//!
//! Only publishing is guarded. A message that the broker refuses for its own sake says that the broker works.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::breaker::{Breaker, BreakerSettings, Outcome};
use crate::ports::Broker;
use crate::ports::broker::{BrokerError, Message, PublishError, Subscription};

/// A broker behind a circuit breaker.
pub struct Guarded {
    broker: Arc<dyn Broker>,
    breaker: Breaker,
    answer_within: Duration,
}

impl Guarded {
    /// Guards `broker` with a breaker of its own.
    pub fn new(broker: Arc<dyn Broker>, settings: BreakerSettings) -> Self {
        Self {
            broker,
            breaker: Breaker::new(settings),
            answer_within: settings.answer_within,
        }
    }
}

#[async_trait]
impl Broker for Guarded {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let permit = self.breaker.admit().ok_or(PublishError::CircuitOpen)?;
        let answered = timeout(self.answer_within, self.broker.publish(message)).await;
        let published = answered.unwrap_or_else(|_| {
            let late = format!("no answer within {:?}", self.answer_within);
            Err(PublishError::Unknown(late))
        });
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    /// A broker that never answers.
    struct Silent;

    #[async_trait]
    impl Broker for Silent {
        async fn publish(&self, _: Message) -> Result<(), PublishError> {
            pending().await
        }

        async fn subscribe(
            &self,
            _: &str,
            _: &[&str],
        ) -> Result<Box<dyn Subscription>, BrokerError> {
            pending().await
        }

        async fn close(&self) {}
    }

    fn message() -> Message {
        Message {
            topic: "orders".to_owned(),
            key: "order-1".to_owned(),
            headers: BTreeMap::new(),
            payload: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_opens_the_circuit() {
        let settings = BreakerSettings {
            minimum_volume: 2,
            ..BreakerSettings::default()
        };
        let guarded = Guarded::new(Arc::new(Silent), settings);
        let began = Instant::now();
        for _ in 0..2 {
            let published = guarded.publish(message()).await;
            assert!(matches!(published, Err(PublishError::Unknown(_))));
        }
        assert_eq!(began.elapsed(), 2 * settings.answer_within);
        let refused = guarded.publish(message()).await;
        assert!(matches!(refused, Err(PublishError::CircuitOpen)));
    }
}
