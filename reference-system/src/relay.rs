//! The relay: reads unsent outbox rows in order, publishes them, and marks each as sent once the broker has acknowledged it.
//!
//! It remembers nothing across restarts: an unsent row is read again, and a row whose mark was lost is published
//! again under the same event id. It selects unsent rows instead of reading behind a cursor, because a transaction may
//! commit after another with a higher position. Rows of one entity are in their true order: a transaction changes the
//! entity's row, or holds its inbox entry, before it writes to the outbox, so two of one entity cannot overlap.
//! Several relays may run: each outbox is served by the one that holds its lease, and what another does in its stead it
//! does under a lower fence, in vain. A row that no broker takes as it is is withheld, with the later ones of its key.

mod backlog;
mod hand_off;
mod lease;
mod mark;
mod pace;
mod wake_up;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use opentelemetry::trace::FutureExt;
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::database::Database;
use crate::environment::Settings;
use crate::ports::Broker;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

use lease::Lease;
use pace::Pace;
use wake_up::WakeUp;

pub use backlog::{Backlog, Withheld, release, withheld};
pub use hand_off::{Columns, HandOff, HandOffError, MarkAfterAck, OutboxRow, UNFENCED};
pub use mark::{mark_sent, withhold};

/// Different keys in a row that may fail before a pass ends: then the broker is in trouble, not a row.
const FAILURES_IN_A_ROW_MAX: u32 = 3;

/// A process that relays outboxes.
pub struct Relay {
    /// Its own among those that share the outboxes, and the same after a restart.
    pub name: String,
    /// The databases with the outboxes.
    pub databases: Vec<Database>,
    /// Where to.
    pub broker: Arc<dyn Broker>,
    /// How a row is handed over.
    pub hand_off: Arc<dyn HandOff>,
    /// Where its spans go.
    pub telemetry: Telemetry,
    /// When it has to stop.
    pub shutdown: Shutdown,
    /// Numbers and durations.
    pub settings: Settings,
}

impl Relay {
    /// The usual one: it marks what the broker has acknowledged, and nobody stops it.
    pub fn new(name: &str, databases: Vec<Database>, broker: Arc<dyn Broker>) -> Self {
        Self {
            name: name.to_owned(),
            databases,
            broker,
            hand_off: Arc::new(MarkAfterAck),
            telemetry: Telemetry::off(),
            shutdown: Shutdown::never(),
            settings: Settings::default(),
        }
    }

    /// Relays until it has to stop.
    ///
    /// # Panics
    /// When the relay of one database panicked: half a relay must not go on unnoticed.
    pub async fn run(self) {
        let mut outboxes = JoinSet::new();
        for database in self.databases {
            let outbox = Outbox {
                database,
                broker: self.broker.clone(),
                settings: self.settings,
                hand_off: self.hand_off.clone(),
                lease: Lease::new(self.name.clone(), self.settings.relay_lease),
                held: BTreeMap::new(),
                pace: Pace::of(self.settings.relay_rate),
                wake_up: WakeUp::new(),
                telemetry: self.telemetry.clone(),
                shutdown: self.shutdown.clone(),
            };
            outboxes.spawn(outbox.run());
        }
        while let Some(ended) = outboxes.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// The outbox of one database, as one relay serves it.
struct Outbox {
    database: Database,
    broker: Arc<dyn Broker>,
    settings: Settings,
    hand_off: Arc<dyn HandOff>,
    /// Whose turn it is.
    lease: Lease,
    /// Keys whose first unsent row failed, and when they may be tried again.
    held: BTreeMap<String, Held>,
    pace: Pace,
    wake_up: WakeUp,
    telemetry: Telemetry,
    shutdown: Shutdown,
}

/// What became of a row.
#[derive(PartialEq, Eq)]
enum Handed {
    /// It is sent and marked.
    Over,
    /// It waits for another try, and the later ones of its key behind it.
    Held,
    /// It waits for an operator, and the later ones of its key behind it.
    Aside,
    /// Another relay has the outbox.
    ToAnother,
}

/// A key that is held back.
struct Held {
    failures: u32,
    until: Instant,
}

impl Outbox {
    async fn run(mut self) {
        let (shutdown, mut failures) = (self.shutdown.clone(), 0);
        while !shutdown.has_come() {
            match self.pass().await {
                Ok(()) => {
                    failures = 0;
                    shutdown.unless_it_comes(self.wait()).await;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "outbox cannot be read");
                    let wait = sleep(self.settings.backoff.delay(failures));
                    shutdown.unless_it_comes(wait).await;
                }
            }
        }
    }

    /// Waits for rows to be written, or to be due again.
    async fn wait(&mut self) {
        let due = self.held.values().map(|held| held.until).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let (polling, listening) = (self.settings.relay_poll, self.settings.relay_poll_listening);
        let listening = due.map_or(listening, |due| due.max(polling).min(listening));
        let database = &self.database;
        self.wake_up.comes(database, listening, polling).await;
    }

    /// Goes once through all unsent rows, page by page.
    ///
    /// A key that failed or is held back is skipped to the end of the pass, so that none of its rows overtakes. The pass
    /// ends where another relay has the lease, and between two rows where the relay has to stop.
    async fn pass(&mut self) -> sqlx::Result<()> {
        let mut skipped = BTreeSet::new();
        let mut failures_in_a_row = 0;
        let mut after = 0;
        loop {
            let rows = self.unsent(after).await?;
            let Some(last) = rows.last() else {
                self.held.retain(|key, _| skipped.contains(key));
                return Ok(());
            };
            if !self.lease.is_held() {
                if !self.lease.take(&self.database).await? {
                    return Ok(());
                }
                // What was read before may have been sent by the last holder.
                continue;
            }
            after = last.position;
            // Ends with the page.
            let _batch = self.telemetry.pass(rows.iter().map(OutboxRow::context));
            let is_last_page = rows.len() < self.settings.relay_page as usize;
            for row in rows {
                self.pace.turn(&self.shutdown).await;
                if self.shutdown.has_come() {
                    return Ok(());
                }
                if !self.lease.is_held() && !self.lease.take(&self.database).await? {
                    return Ok(());
                }
                if row.fence != self.lease.fence() {
                    // Another relay had the outbox since the row was read.
                    return Ok(());
                }
                if skipped.contains(&row.partition_key) {
                    continue;
                }
                if self.is_held(&row.partition_key) {
                    skipped.insert(row.partition_key);
                    continue;
                }
                match self.send(&row).await {
                    Handed::Over => {
                        failures_in_a_row = 0;
                        continue;
                    }
                    Handed::ToAnother => return Ok(()),
                    Handed::Aside => {}
                    Handed::Held => failures_in_a_row += 1,
                }
                skipped.insert(row.partition_key);
                if failures_in_a_row == FAILURES_IN_A_ROW_MAX {
                    return Ok(());
                }
            }
            if is_last_page {
                self.held.retain(|key, _| skipped.contains(key));
                return Ok(());
            }
        }
    }

    async fn unsent(&self, after: i64) -> sqlx::Result<Vec<OutboxRow>> {
        // SQLite plans a statement again whenever a limit that it has bound may be another one.
        let page = format!(
            "SELECT position, event_id, topic, partition_key, headers, payload, replays FROM outbox \
             WHERE sent = 0 AND withheld IS NULL AND position > $1 AND NOT EXISTS \
             (SELECT 1 FROM outbox AS earlier WHERE earlier.partition_key = outbox.partition_key \
             AND earlier.withheld IS NOT NULL AND earlier.position < outbox.position) \
             ORDER BY position LIMIT {}",
            self.settings.relay_page
        );
        let rows: Vec<Columns> = sqlx::query_as(AssertSqlSafe(page))
            .bind(after)
            .fetch_all(self.database.reads())
            .await?;
        let fence = self.lease.fence();
        let rows = rows.into_iter().map(|row| OutboxRow::read(row, fence));
        Ok(rows.collect())
    }

    fn is_held(&self, key: &str) -> bool {
        let held = self.held.get(key);
        held.is_some_and(|held| held.until > Instant::now())
    }

    /// Hands one row over, and tells what became of it.
    async fn send(&mut self, row: &OutboxRow) -> Handed {
        let span = tracing::info_span!(
            "relay",
            correlation_id = row.correlation_id(),
            event_id = row.event_id,
        );
        self.pace.took_its_turn();
        let broker = self.broker.as_ref();
        let handed = self.hand_off.hand_off(&self.database, broker, row);
        let handed = handed.instrument(span.clone());
        match handed.with_context(row.context()).await {
            Ok(()) => {
                self.held.remove(&row.partition_key);
                Handed::Over
            }
            Err(HandOffError::Fenced) => self.fenced(),
            Err(error) => self.keep(row, &error).instrument(span).await,
        }
    }

    /// Withholds a row that can never be published, and holds any other back for a while.
    async fn keep(&mut self, row: &OutboxRow, error: &HandOffError) -> Handed {
        if error.is_permanent() {
            match mark::withhold(&self.database, row, &error.to_string()).await {
                Ok(()) => {
                    tracing::error!(%error, "row is withheld");
                    self.held.remove(&row.partition_key);
                    return Handed::Aside;
                }
                Err(HandOffError::Fenced) => return self.fenced(),
                Err(error) => tracing::warn!(%error, "row cannot be withheld"),
            }
        }
        self.hold(&row.partition_key, error);
        Handed::Held
    }

    fn hold(&mut self, key: &str, error: &HandOffError) {
        let failures = self.held.get(key).map_or(0, |held| held.failures) + 1;
        tracing::warn!(%error, failures, "row stays unsent");
        let until = Instant::now() + self.settings.backoff.delay(failures);
        self.held.insert(key.to_owned(), Held { failures, until });
    }

    fn fenced(&mut self) -> Handed {
        tracing::warn!("another relay has taken the outbox over");
        self.lease.is_lost();
        Handed::ToAnother
    }
}
