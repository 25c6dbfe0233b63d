//! The timer: looks again and again for deadlines that have passed, and has the saga act on each of them once.
//!
//! Whoever takes the row in the transaction of what is done about it has done it; a second timer finds nothing to take. So any number of
//! them may run, and one that dies leaves all it knew behind.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::AnyConnection;
use tokio::time::sleep;
use tracing::Instrument;

use crate::consumer::Effect;
use crate::environment::Environment;
use crate::event::Event;
use crate::journal;

use super::deadlines::{self, Deadline};

/// How often it looks where nothing else is said.
const EVERY: Duration = Duration::from_millis(250);

/// What a saga does about a step that was not answered in time.
#[async_trait]
pub trait Expiry: Send + Sync {
    /// Changes the state within `tx`. The state's row is locked before the deadline's, as everywhere else.
    ///
    /// # Errors
    /// When a statement fails; the transaction is rolled back, and it is tried again.
    async fn expire(&self, tx: &mut AnyConnection, deadline: &Deadline) -> sqlx::Result<Effect>;
}

/// A process that watches the clock for a saga.
pub struct Timer {
    /// The service with the deadlines.
    pub environment: Environment,
    /// What is done about one that has passed.
    pub saga: Box<dyn Expiry>,
    /// How often it looks.
    pub every: Duration,
}

impl Timer {
    /// One that looks four times a second.
    #[must_use]
    pub fn new(environment: Environment, saga: impl Expiry + 'static) -> Self {
        let saga = Box::new(saga);
        Self {
            environment,
            saga,
            every: EVERY,
        }
    }

    /// Watches until the environment has to stop.
    pub async fn run(self) {
        while !self.environment.shutdown.has_come() {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "deadlines will be looked at again");
            }
            let wait = sleep(self.every);
            self.environment.shutdown.unless_it_comes(wait).await;
        }
    }

    async fn look(&self) -> sqlx::Result<()> {
        for deadline in deadlines::passed(&self.environment.database).await? {
            self.act_on(&deadline).await?;
        }
        Ok(())
    }

    /// Does what is to be done about a deadline that has passed, unless somebody else has.
    ///
    /// # Errors
    /// When the database fails; nothing has changed then, unless the commit's answer was lost.
    pub async fn act_on(&self, deadline: &Deadline) -> sqlx::Result<()> {
        let span = tracing::info_span!(
            "expire",
            correlation_id = deadline.chain.correlation_id,
            entity = deadline.order_id,
            step = deadline.step.name(),
        );
        self.expire(deadline).instrument(span).await
    }

    async fn expire(&self, deadline: &Deadline) -> sqlx::Result<()> {
        let mut tx = self.environment.database.begin().await?;
        let effect = self.saga.expire(&mut tx, deadline).await?;
        if !deadlines::take(&mut tx, deadline).await? {
            return tx.rollback().await;
        }
        let announced = self.book(&mut tx, deadline, effect).await?;
        tx.commit().await?;
        let publishing = &self.environment.publishing;
        publishing.after_commit(announced.as_slice()).await;
        Ok(())
    }

    async fn book(
        &self,
        tx: &mut AnyConnection,
        deadline: &Deadline,
        effect: Effect,
    ) -> sqlx::Result<Option<Event>> {
        let (effect, announces) = match effect {
            Effect::Applied { effect, announces } => (effect, announces),
            Effect::Discarded { reason } => {
                tracing::info!(reason, "answered after all");
                return Ok(None);
            }
        };
        let announced = announces.map(|new| deadline.chain.event(new));
        let entry = journal::Entry {
            effect,
            entity: &deadline.order_id,
            correlation_id: &deadline.chain.correlation_id,
            cause_id: deadline.chain.causation_id,
            announced_by: announced.as_ref(),
        };
        journal::append(tx, entry).await?;
        let publishing = &self.environment.publishing;
        publishing.record(tx, announced.as_slice()).await?;
        tracing::warn!(effect, "not answered in time");
        Ok(announced)
    }
}
