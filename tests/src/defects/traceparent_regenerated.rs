//! `traceparent-regenerated`: an event that is tried again has left its trace.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::consumer::{self, Handler};
use reference_system::ports::Broker;
use reference_system::ports::broker::{
    BrokerError, Delivery, Message, PublishError, Subscription, header,
};
use scenarios::deploy::Processes;

/// The headers that a queue for later tries keeps: those that its author knew of.
const KNOWN: [&str; 5] = [
    header::EVENT_ID,
    header::EVENT_TYPE,
    header::SCHEMA_VERSION,
    header::CORRELATION_ID,
    header::CAUSATION_ID,
];

/// Consumers that take what they try again without the headers that are not theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct TraceparentRegenerated;

#[async_trait(?Send)]
impl Processes for TraceparentRegenerated {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let broker = Arc::new(KnownHeaders(environment.broker.clone()));
        let environment = Environment {
            broker,
            ..environment
        };
        consumer::run(environment, handler).await
    }
}

struct KnownHeaders(Arc<dyn Broker>);

#[async_trait]
impl Broker for KnownHeaders {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        self.0.publish(message).await
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(Again {
            subscription: self.0.subscribe(group, topics).await?,
            tried: Tried::default(),
        }))
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// The ids of the events that are to be tried again.
type Tried = Arc<Mutex<BTreeSet<String>>>;

struct Again {
    subscription: Box<dyn Subscription>,
    tried: Tried,
}

#[async_trait]
impl Subscription for Again {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        let delivery = self.subscription.next().await?;
        let mut message = delivery.message().clone();
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.contains(&id_of(&message)) {
            message.headers.retain(|name, _| KNOWN.contains(&&**name));
        }
        Ok(Box::new(Known {
            delivery,
            message,
            tried: self.tried.clone(),
        }))
    }
}

struct Known {
    delivery: Box<dyn Delivery>,
    message: Message,
    tried: Tried,
}

#[async_trait]
impl Delivery for Known {
    fn message(&self) -> &Message {
        &self.message
    }

    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.delivery.ack().await
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BrokerError> {
        self.remember();
        self.delivery.retry(after).await
    }
}

impl Known {
    fn remember(&self) {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.insert(id_of(&self.message));
    }
}

fn id_of(message: &Message) -> String {
    let id = message.headers.get(header::EVENT_ID);
    id.cloned().unwrap_or_default()
}
