//! The relay: reads unsent outbox rows in order, publishes them, and marks each as sent once the broker has acknowledged it.
//!
//! It remembers nothing across restarts: an unsent row is read again, and a row whose mark was lost is published
//! again under the same event id. It selects unsent rows instead of reading behind a cursor, because a transaction may
//! commit after another with a higher position. Rows of one entity are in their true order: a transaction changes the
//! entity's row, or holds its inbox entry, before it writes to the outbox, so two of one entity cannot overlap.
//! Several relays may run: each outbox is served by the one that holds its lease.

mod hand_off;
mod lease;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::database::Database;
use crate::environment::Settings;
use crate::ports::Broker;
use crate::shutdown::Shutdown;

use lease::Lease;

pub use hand_off::{HandOff, HandOffError, MarkAfterAck, OutboxRow, mark_sent};

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
    shutdown: Shutdown,
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
            let wait = match self.pass().await {
                Ok(()) => {
                    failures = 0;
                    self.settings.relay_poll
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "outbox cannot be read");
                    self.settings.backoff.delay(failures)
                }
            };
            shutdown.unless_it_comes(sleep(wait)).await;
        }
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
            let is_last_page = rows.len() < self.settings.relay_page as usize;
            for row in rows {
                if self.shutdown.has_come() {
                    return Ok(());
                }
                if !self.lease.is_held() && !self.lease.take(&self.database).await? {
                    return Ok(());
                }
                if skipped.contains(&row.partition_key) {
                    continue;
                }
                if self.is_held(&row.partition_key) {
                    skipped.insert(row.partition_key);
                    continue;
                }
                if self.send(&row).await {
                    failures_in_a_row = 0;
                    continue;
                }
                skipped.insert(row.partition_key);
                failures_in_a_row += 1;
                if failures_in_a_row == FAILURES_IN_A_ROW_MAX {
                    return Ok(());
                }
            }
            if is_last_page {
                return Ok(());
            }
        }
    }

    async fn unsent(&self, after: i64) -> sqlx::Result<Vec<OutboxRow>> {
        // SQLite plans a statement again whenever a limit that it has bound may be another one.
        let page = format!(
            "SELECT position, event_id, topic, partition_key, headers, payload, replays FROM outbox \
             WHERE sent = 0 AND position > $1 ORDER BY position LIMIT {}",
            self.settings.relay_page
        );
        let rows: Vec<hand_off::Columns> = sqlx::query_as(AssertSqlSafe(page))
            .bind(after)
            .fetch_all(self.database.reads())
            .await?;
        Ok(rows.into_iter().map(OutboxRow::from).collect())
    }

    fn is_held(&self, key: &str) -> bool {
        let held = self.held.get(key);
        held.is_some_and(|held| held.until > Instant::now())
    }

    /// Hands one row over, and tells whether that succeeded.
    async fn send(&mut self, row: &OutboxRow) -> bool {
        let span = tracing::info_span!(
            "relay",
            correlation_id = row.correlation_id(),
            event_id = row.event_id,
        );
        let broker = self.broker.as_ref();
        let handed = self.hand_off.hand_off(&self.database, broker, row);
        let Err(error) = handed.instrument(span.clone()).await else {
            self.held.remove(&row.partition_key);
            return true;
        };
        let _entered = span.enter();
        let failures = self.held.get(&row.partition_key).map_or(0, |h| h.failures) + 1;
        tracing::warn!(%error, failures, "row stays unsent");
        let until = Instant::now() + self.settings.backoff.delay(failures);
        let held = Held { failures, until };
        self.held.insert(row.partition_key.clone(), held);
        false
    }
}
