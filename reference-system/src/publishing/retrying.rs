//! A broker that is asked again: a publish that failed for a passing reason is tried a few times more.
//!
//! What may have been written is published again under its own id, so that consumers know it. What can never be published
//! is not tried again, and neither is what a circuit breaker keeps back: it would be in vain.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::ports::Broker;
use crate::ports::broker::{BrokerError, Message, PublishError, Subscription};
use crate::retry::Backoff;

/// A broker that is asked again.
pub struct Retrying {
    broker: Arc<dyn Broker>,
    attempts_max: u32,
    backoff: Backoff,
}

impl Retrying {
    /// Asks `broker` up to `attempts_max` times in all, at least once.
    pub fn new(broker: Arc<dyn Broker>, attempts_max: u32, backoff: Backoff) -> Self {
        Self {
            broker,
            attempts_max,
            backoff,
        }
    }
}

#[async_trait]
impl Broker for Retrying {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let mut attempts = 1;
        loop {
            match self.broker.publish(message.clone()).await {
                Err(PublishError::Rejected(_) | PublishError::Unknown(_))
                    if attempts < self.attempts_max =>
                {
                    sleep(self.backoff.delay(attempts)).await;
                    attempts += 1;
                }
                settled => return settled,
            }
        }
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
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::publishing::breaker::BreakerSettings;
    use crate::publishing::guarded::Guarded;

    /// A broker that gives these answers, the last first, and then takes everything.
    struct Scripted(Mutex<Vec<PublishError>>);

    impl Scripted {
        fn answering(answers: impl IntoIterator<Item = PublishError>) -> Arc<Self> {
            Arc::new(Self(Mutex::new(answers.into_iter().collect())))
        }

        fn left(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    #[async_trait]
    impl Broker for Scripted {
        async fn publish(&self, _: Message) -> Result<(), PublishError> {
            self.0.lock().unwrap().pop().map_or(Ok(()), Err)
        }

        async fn subscribe(
            &self,
            _: &str,
            _: &[&str],
        ) -> Result<Box<dyn Subscription>, BrokerError> {
            Err(BrokerError::Unavailable("nobody subscribes".to_owned()))
        }
    }

    fn message() -> Message {
        Message {
            topic: "orders".to_owned(),
            key: "order-1".to_owned(),
            headers: Default::default(),
            payload: Vec::new(),
        }
    }

    fn rejected() -> PublishError {
        PublishError::Rejected("no room".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn asks_again_until_it_is_taken_or_enough() {
        let broker = Retrying::new(
            Scripted::answering([rejected(), PublishError::Unknown("late".to_owned())]),
            3,
            Backoff::default(),
        );
        assert!(broker.publish(message()).await.is_ok());
        let full = Scripted::answering([rejected(), rejected(), rejected()]);
        let broker = Retrying::new(full.clone(), 2, Backoff::default());
        assert!(broker.publish(message()).await.is_err());
        assert_eq!(full.left(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn asks_once_for_what_can_never_be_published() {
        let never = || PublishError::Unpublishable("too large".to_owned());
        let small = Scripted::answering([never(), never()]);
        let broker = Retrying::new(small.clone(), 5, Backoff::default());
        assert!(broker.publish(message()).await.is_err());
        assert_eq!(small.left(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_circuit_answers_at_once_and_asks_nobody() {
        let settings = BreakerSettings {
            minimum_volume: 2,
            ..BreakerSettings::default()
        };
        let answers = std::iter::repeat_with(rejected).take(9);
        let guarded = Guarded::new(Scripted::answering(answers), settings);
        let broker = Retrying::new(Arc::new(guarded), 9, Backoff::default());
        let began = tokio::time::Instant::now();
        let refused = broker.publish(message()).await;
        assert!(
            matches!(refused, Err(PublishError::CircuitOpen)),
            "{refused:?}"
        );
        assert_eq!(began.elapsed(), Duration::from_millis(50 + 100));
    }
}
