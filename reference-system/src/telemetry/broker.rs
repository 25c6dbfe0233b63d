//! A broker whose publishes are spans: whatever another one takes, the message says from which span it comes.

use std::sync::Arc;

use async_trait::async_trait;
use opentelemetry::trace::FutureExt;

use crate::ports::Broker;
use crate::ports::broker::{BrokerError, Message, PublishError, Subscription};

use super::{Context, Telemetry, failed, propagation};

/// A broker whose publishes are spans below the current one.
pub struct Traced {
    broker: Arc<dyn Broker>,
    telemetry: Telemetry,
}

impl Traced {
    /// The same as `broker`.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, telemetry: Telemetry) -> Self {
        Self { broker, telemetry }
    }
}

#[async_trait]
impl Broker for Traced {
    async fn publish(&self, mut message: Message) -> Result<(), PublishError> {
        let span = self.telemetry.send(&message);
        let context = self.telemetry.span(&Context::current(), span);
        propagation::write(&context, &mut message.headers);
        let published = self.broker.publish(message);
        let published = published.with_context(context.clone()).await;
        if let Err(error) = &published {
            failed(&context, error);
        }
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
