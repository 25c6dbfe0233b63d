//! Ports and patterns that fail in one chosen way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use reference_system::event::Event;
use reference_system::inbox::Inbox;
use reference_system::ports::broker::{
    Broker, BrokerError, InProcessBroker, Message, PublishError, Subscription,
};
use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome, SandboxCardProcessor,
};
use sqlx::AnyConnection;

/// A number of failures to come, shared by all clones.
#[derive(Clone, Default)]
struct Failures(Arc<AtomicU32>);

impl Failures {
    fn new(count: u32) -> Self {
        Self(Arc::new(AtomicU32::new(count)))
    }

    fn take(&self) -> bool {
        let left = |left: u32| left.checked_sub(1);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        taken.is_ok()
    }
}

/// A broker whose first publishes to one topic fail.
#[derive(Clone, Default)]
pub(crate) struct FaultyBroker {
    pub(crate) inner: InProcessBroker,
    topic: String,
    rejections: Failures,
    lost_acks: Failures,
}

impl FaultyBroker {
    pub(crate) fn rejecting(topic: &str, count: u32) -> Self {
        Self {
            topic: topic.to_owned(),
            rejections: Failures::new(count),
            ..Self::default()
        }
    }

    pub(crate) fn losing_acks(topic: &str, count: u32) -> Self {
        Self {
            topic: topic.to_owned(),
            lost_acks: Failures::new(count),
            ..Self::default()
        }
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let hit = message.topic == self.topic;
        if hit && self.rejections.take() {
            return Err(PublishError::Rejected("no capacity".to_owned()));
        }
        self.inner.publish(message).await?;
        if hit && self.lost_acks.take() {
            return Err(PublishError::Unknown("no answer".to_owned()));
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.inner.subscribe(group, topics).await
    }
}

/// A card processor that is unavailable at first.
pub(crate) struct FailingFirst {
    inner: SandboxCardProcessor,
    failures: Failures,
}

impl FailingFirst {
    pub(crate) fn new(inner: SandboxCardProcessor, failures: u32) -> Self {
        Self {
            inner,
            failures: Failures::new(failures),
        }
    }

    fn fail(&self) -> Result<(), CardProcessorError> {
        let error = || CardProcessorError::Unavailable("no answer".to_owned());
        if self.failures.take() {
            Err(error())
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl CardProcessor for FailingFirst {
    async fn charge(&self, key: &str, charge: Charge) -> Result<ChargeOutcome, CardProcessorError> {
        self.fail()?;
        self.inner.charge(key, charge).await
    }

    async fn refund(&self, key: &str, charge: Charge) -> Result<(), CardProcessorError> {
        self.fail()?;
        self.inner.refund(key, charge).await
    }
}

/// An inbox that remembers nothing.
#[derive(Clone, Copy)]
pub(crate) struct AlwaysNew;

#[async_trait]
impl Inbox for AlwaysNew {
    async fn knows(&self, _: &mut AnyConnection, _: &str, _: &str) -> sqlx::Result<bool> {
        Ok(false)
    }

    async fn first_time(&self, _: &mut AnyConnection, _: &str, _: &Event) -> sqlx::Result<bool> {
        Ok(true)
    }
}
