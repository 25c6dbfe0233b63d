//! The monitor: looks again and again at what every consumer has parked, what its service has not published, and how far it
//! is behind, and has people told when any of it is too much.
//!
//! A few parked events a day are normal, hundreds an hour are not; an alert for each of them would soon be ignored. So it
//! is one alert of a kind for each consumer group, which fires once and is over once. Several monitors may run.
//!
//! Reading order: `depth` of a dead letter queue, `backlog` of an outbox, `lag` of a group, `course` of a group in one
//! partition.

mod backlog;
mod course;
mod depth;
mod lag;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::alert::AlertError;
use crate::database::Database;
use crate::ports::Pager;
use crate::ports::broker::{BrokerError, Standings};
use crate::relay::Backlog;
use crate::shutdown::Shutdown;

pub use backlog::{BacklogThreshold, UNPUBLISHED_EVENTS};
pub use course::{Course, Status};
pub use depth::{Depth, DepthThreshold, PARKED_EVENTS};
use lag::Lags;
pub use lag::{BATCH, CONSUMER_LAG, Lag, LagThreshold, REAL_TIME};

/// A process that watches consumers.
pub struct Monitor {
    /// Consumers, each with its database.
    pub consumers: Vec<(&'static str, Database)>,
    /// Who is told.
    pub pager: Arc<dyn Pager>,
    /// How much may be parked.
    pub depth: DepthThreshold,
    /// How long events may wait to be published; `None` where somebody else watches that.
    pub backlog: Option<BacklogThreshold>,
    /// Who tells how far groups have come.
    pub standings: Arc<dyn Standings>,
    /// How far they may be behind; a group's alert is kept in the database of the consumer of its name.
    pub lag: Vec<LagThreshold>,
    /// How often it looks.
    pub every: Duration,
    /// When it has to stop.
    pub shutdown: Shutdown,
}

impl Monitor {
    /// The usual one: it looks every ten seconds at what is parked and not published, and nobody stops it.
    pub fn new(
        consumers: Vec<(&'static str, Database)>,
        pager: Arc<dyn Pager>,
        standings: Arc<dyn Standings>,
    ) -> Self {
        Self {
            consumers,
            pager,
            depth: DepthThreshold::default(),
            backlog: Some(BacklogThreshold::default()),
            standings,
            lag: Vec::new(),
            every: Duration::from_secs(10),
            shutdown: Shutdown::never(),
        }
    }

    /// Watches until it has to stop.
    pub async fn run(self) {
        let mut lags = Lags::new(self.standings.clone());
        while !self.shutdown.has_come() {
            for (consumer, database) in &self.consumers {
                if let Err(error) = self.look(consumer, database, &mut lags).await {
                    tracing::warn!(%error, consumer, "looking again later");
                }
            }
            let wait = sleep(self.every);
            self.shutdown.unless_it_comes(wait).await;
        }
    }

    async fn look(
        &self,
        consumer: &str,
        database: &Database,
        lags: &mut Lags,
    ) -> Result<(), LookError> {
        let pager = self.pager.as_ref();
        let depth = Depth::measure(database, consumer, self.depth.window).await?;
        let judgement = self.depth.judge(depth);
        depth::alert(consumer)
            .judge(database, pager, judgement)
            .await?;
        if let Some(threshold) = self.backlog {
            let judgement = threshold.judge(Backlog::read(database).await?);
            backlog::alert(consumer)
                .judge(database, pager, judgement)
                .await?;
        }
        // The broker may be the one that fails, so that it is asked last.
        let mut thresholds = self.lag.iter();
        if let Some(threshold) = thresholds.find(|own| own.group == consumer) {
            let judgement = threshold.judge(lags.measure(threshold).await?);
            threshold.alert().judge(database, pager, judgement).await?;
        }
        Ok(())
    }
}

/// Why a look was in vain.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Alert(#[from] AlertError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}
