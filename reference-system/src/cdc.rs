//! Change data capture: events are read from the database's own log of changes, and no service knows of it.
//!
//! A service does what it does for the outbox, and deploys no relay: the transaction that changes the state inserts the event as a row. The
//! capture is a process beside the services, as a connector is; it hears of the rows that were committed, in the order
//! of the commits, publishes them, and lets the log forget them once the broker has acknowledged them.
//!
//! Captured are the inserted outbox rows, as Debezium's outbox event router does, and not the changes of the business tables. Those
//! do not hold what consumers need: nothing in the inventory's rows says with which card a reserved order is to be paid,
//! no order's row says why it was cancelled, and stock that was not there leaves no row at all. To capture them would need other tables
//! and other events, and so other services.
//!
//! Reading order: [`ChangeLog`] what a log is asked; `triggers` the log of SQLite, `slot` that of PostgreSQL, `pgoutput`
//! how its entries are read; `alarm` when it grows too long. Each database has one capture. A second one would do no harm but publish
//! everything twice, under the same ids: each goes on behind a row only once the broker has acknowledged it.
//!
//! A row that the broker never takes stops the capture of its database, as it stops a connector: the log has one end, and
//! what is behind the row would be forgotten with it. The alarm says so.

mod alarm;
mod change_log;
mod pgoutput;
mod slot;
#[cfg(test)]
mod tests;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::database::Database;
use crate::ports::Broker;
use crate::ports::broker::PublishError;
use crate::relay::OutboxRow;
use crate::retry::Backoff;
use crate::schema::Engine;
use crate::shutdown::Shutdown;

use alarm::Alarm;
pub use change_log::{ChangeLog, LogError, Transaction};
pub use slot::ReplicationSlot;
pub use triggers::Triggers;

/// A process that captures the changes of databases.
pub struct Capture {
    /// The databases.
    pub databases: Vec<Database>,
    /// Where to.
    pub broker: Arc<dyn Broker>,
    /// When it has to stop.
    pub shutdown: Shutdown,
    /// Numbers and durations.
    pub settings: Settings,
}

/// Numbers and durations that an operator may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often the log is looked at when there was nothing in it.
    pub poll: Duration,
    /// How many entries are read at once, as far as transactions allow.
    pub page: u32,
    /// The wait after a failure.
    pub backoff: Backoff,
    /// How often the log is measured, and, where it has nothing for the capture, told that it may be forgotten up to its end.
    pub heartbeat: Duration,
    /// How long the log may grow before the alarm is given: entries on SQLite, bytes on PostgreSQL.
    pub backlog_max: Backlog,
}

/// The length of a log that is not confirmed yet, in the unit of its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// On SQLite.
    pub entries: u64,
    /// On PostgreSQL.
    pub bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(100),
            page: 100,
            backoff: Backoff::default(),
            heartbeat: Duration::from_secs(10),
            backlog_max: Backlog {
                entries: 10_000,
                bytes: 1 << 30,
            },
        }
    }
}

/// Why a capture does not get on.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error("log of changes: {0}")]
    Log(#[from] LogError),
    #[error("event {0} cannot be read: {1}")]
    Row(String, serde_json::Error),
    #[error("event {0} is not published: {1}")]
    Publish(String, PublishError),
}

impl From<sqlx::Error> for CaptureError {
    fn from(error: sqlx::Error) -> Self {
        Self::Log(error.into())
    }
}

impl Capture {
    /// The usual one, which nobody stops.
    pub fn new(databases: Vec<Database>, broker: Arc<dyn Broker>) -> Self {
        Self {
            databases,
            broker,
            shutdown: Shutdown::never(),
            settings: Settings::default(),
        }
    }

    /// Captures until it has to stop.
    ///
    /// # Panics
    /// When the capture of one database panicked: half a capture must not go on unnoticed.
    pub async fn run(self) {
        let mut captured = JoinSet::new();
        for database in self.databases {
            let longest = self.settings.backlog_max;
            let (log, longest): (Box<dyn ChangeLog>, u64) = match database.engine() {
                Engine::Sqlite => (Box::new(Triggers::of(database)), longest.entries),
                Engine::Postgres => (Box::new(ReplicationSlot::of(database)), longest.bytes),
            };
            let capturing = Capturing {
                log,
                broker: self.broker.clone(),
                shutdown: self.shutdown.clone(),
                settings: self.settings,
                is_open: false,
                alarm: Alarm::above(longest),
                heartbeat: Instant::now(),
            };
            captured.spawn(capturing.run());
        }
        while let Some(ended) = captured.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// The capture of one database.
struct Capturing {
    log: Box<dyn ChangeLog>,
    broker: Arc<dyn Broker>,
    shutdown: Shutdown,
    settings: Settings,
    /// Whether the log is read.
    is_open: bool,
    alarm: Alarm,
    /// When the next heartbeat is due.
    heartbeat: Instant,
}

impl Capturing {
    async fn run(mut self) {
        let (shutdown, mut failures) = (self.shutdown.clone(), 0);
        while !shutdown.has_come() {
            let captured = self.pass().await;
            let wait = match self.beat().await.and(captured) {
                Ok(()) => {
                    failures = 0;
                    self.settings.poll
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "changes stay in the log");
                    self.settings.backoff.delay(failures)
                }
            };
            shutdown.unless_it_comes(sleep(wait)).await;
        }
    }

    /// Publishes what the log has, up to its end.
    async fn pass(&mut self) -> Result<(), CaptureError> {
        if !self.is_open {
            self.open().await?;
        }
        loop {
            let transactions = self.log.next(self.settings.page).await?;
            if transactions.is_empty() || self.shutdown.has_come() {
                return Ok(());
            }
            self.capture(transactions).await?;
        }
    }

    /// Publishes what was there before the log, and reads the log from then on.
    async fn open(&mut self) -> Result<(), CaptureError> {
        let snapshot = self.log.begin().await?;
        for row in &snapshot {
            self.publish(row).await?;
        }
        self.log.go_on(&snapshot).await?;
        self.is_open = true;
        Ok(())
    }

    /// Publishes transactions in their order and lets the log forget those that were acknowledged, also those before a failure.
    async fn capture(&self, transactions: Vec<Transaction>) -> Result<(), CaptureError> {
        let mut acknowledged = 0;
        let mut published = Ok(());
        for transaction in &transactions {
            published = self.publish_all(transaction).await;
            if published.is_err() {
                break;
            }
            acknowledged += 1;
        }
        if acknowledged > 0 {
            self.log.confirm(&transactions[..acknowledged]).await?;
        }
        published
    }

    async fn publish_all(&self, transaction: &Transaction) -> Result<(), CaptureError> {
        for row in &transaction.rows {
            self.publish(row).await?;
        }
        Ok(())
    }

    async fn publish(&self, row: &OutboxRow) -> Result<(), CaptureError> {
        let span = tracing::info_span!(
            "capture",
            correlation_id = row.correlation_id(),
            event_id = row.event_id,
        );
        let message = row.message();
        let message = message.map_err(|error| CaptureError::Row(row.event_id.clone(), error))?;
        let published = self.broker.publish(message).instrument(span);
        let published = published.with_context(row.context()).await;
        published.map_err(|error| CaptureError::Publish(row.event_id.clone(), error))
    }

    /// Measures the log, and lets it forget what is of no interest here.
    async fn beat(&mut self) -> Result<(), CaptureError> {
        if !self.is_open || Instant::now() < self.heartbeat {
            return Ok(());
        }
        self.log.heartbeat().await?;
        self.alarm.look(self.log.backlog().await?);
        self.heartbeat = Instant::now() + self.settings.heartbeat;
        Ok(())
    }
}
