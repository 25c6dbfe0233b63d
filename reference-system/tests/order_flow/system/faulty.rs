//! Ports and patterns that fail in one chosen way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use reference_system::event::Event;
use reference_system::inbox::Inbox;
use reference_system::ports::broker::{
    Broker, BrokerError, InProcessBroker, Message, PublishError,
};
use reference_system::ports::card_processor::{
    CardProcessor, CardProcessorError, Charge, ChargeOutcome,
};
use reference_system::ports::database::{Database, PooledDatabase, PooledTransaction, Transaction};
use sqlx::{Any, Executor};

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

impl Broker for FaultyBroker {
    type Subscription = <InProcessBroker as Broker>::Subscription;

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
    ) -> Result<Self::Subscription, BrokerError> {
        self.inner.subscribe(group, topics).await
    }
}

/// A card processor that is unavailable at first.
#[derive(Clone)]
pub(crate) struct FailingFirst<C> {
    inner: C,
    failures: Failures,
}

impl<C> FailingFirst<C> {
    pub(crate) fn new(inner: C, failures: u32) -> Self {
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

impl<C: CardProcessor> CardProcessor for FailingFirst<C> {
    async fn charge(&self, key: &str, charge: Charge) -> Result<ChargeOutcome, CardProcessorError> {
        self.fail()?;
        self.inner.charge(key, charge).await
    }

    async fn refund(&self, key: &str, charge: Charge) -> Result<(), CardProcessorError> {
        self.fail()?;
        self.inner.refund(key, charge).await
    }
}

/// A database whose first commits succeed although their answer is lost.
#[derive(Clone)]
pub(crate) struct LosingAnswers {
    inner: PooledDatabase,
    failures: Failures,
}

impl LosingAnswers {
    pub(crate) fn of(inner: &PooledDatabase, count: u32) -> Self {
        Self {
            inner: inner.clone(),
            failures: Failures::new(count),
        }
    }
}

impl Database for LosingAnswers {
    type Transaction = LosingAnswersTransaction;

    async fn begin(&self) -> sqlx::Result<LosingAnswersTransaction> {
        Ok(LosingAnswersTransaction {
            inner: self.inner.begin().await?,
            failures: self.failures.clone(),
        })
    }

    async fn begin_read(&self) -> sqlx::Result<LosingAnswersTransaction> {
        Ok(LosingAnswersTransaction {
            inner: self.inner.begin_read().await?,
            failures: self.failures.clone(),
        })
    }
}

/// See [`LosingAnswers`].
pub(crate) struct LosingAnswersTransaction {
    inner: PooledTransaction,
    failures: Failures,
}

impl Transaction for LosingAnswersTransaction {
    fn executor(&mut self) -> impl Executor<'_, Database = Any> {
        self.inner.executor()
    }

    async fn commit(self) -> sqlx::Result<()> {
        self.inner.commit().await?;
        if self.failures.take() {
            return Err(sqlx::Error::WorkerCrashed);
        }
        Ok(())
    }

    async fn rollback(self) -> sqlx::Result<()> {
        self.inner.rollback().await
    }
}

/// A database that cannot be reached.
#[derive(Clone, Copy)]
pub(crate) struct Unreachable;

impl Database for Unreachable {
    type Transaction = PooledTransaction;

    async fn begin(&self) -> sqlx::Result<PooledTransaction> {
        Err(sqlx::Error::PoolTimedOut)
    }

    async fn begin_read(&self) -> sqlx::Result<PooledTransaction> {
        Err(sqlx::Error::PoolTimedOut)
    }
}

/// An inbox that remembers nothing.
#[derive(Clone, Copy)]
pub(crate) struct AlwaysNew;

impl Inbox for AlwaysNew {
    async fn knows<T: Transaction>(&self, _: &mut T, _: &str, _: &str) -> sqlx::Result<bool> {
        Ok(false)
    }

    async fn first_time<T: Transaction>(
        &self,
        _: &mut T,
        _: &str,
        _: &Event,
    ) -> sqlx::Result<bool> {
        Ok(true)
    }
}
