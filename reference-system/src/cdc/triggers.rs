//! The log of changes on SQLite, which has none of its own: triggers write each new outbox row into the table
//! `change_log`, in the transaction that inserts it.
//!
//! SQLite has one writer at a time, so that the order of the entries is that of the commits. Tables and triggers are the capture's;
//! services do not know them.

use async_trait::async_trait;

use crate::database::Database;
use crate::relay::{Columns, OutboxRow, UNFENCED};

use super::change_log::{ChangeLog, LogError, Transaction, mark_sent};

/// What is installed once, in one transaction with the copy of the rows that are there already.
const INSTALL: [&str; 4] = [
    "CREATE TABLE change_log (\
       position INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, topic TEXT NOT NULL, \
       partition_key TEXT NOT NULL, headers TEXT NOT NULL, payload TEXT NOT NULL, replays BIGINT NOT NULL)",
    "CREATE TRIGGER capture_event AFTER INSERT ON outbox WHEN NEW.sent = 0 BEGIN \
       INSERT INTO change_log (event_id, topic, partition_key, headers, payload, replays) \
       VALUES (NEW.event_id, NEW.topic, NEW.partition_key, NEW.headers, NEW.payload, NEW.replays); \
     END",
    "CREATE TRIGGER capture_replay AFTER UPDATE OF replays ON outbox WHEN NEW.sent = 0 BEGIN \
       INSERT INTO change_log (event_id, topic, partition_key, headers, payload, replays) \
       VALUES (NEW.event_id, NEW.topic, NEW.partition_key, NEW.headers, NEW.payload, NEW.replays); \
     END",
    "INSERT INTO change_log (event_id, topic, partition_key, headers, payload, replays) \
       SELECT event_id, topic, partition_key, headers, payload, replays \
       FROM outbox WHERE sent = 0 ORDER BY position",
];

/// The log of one SQLite database.
pub struct Triggers {
    database: Database,
}

impl Triggers {
    /// The log of `database`.
    #[must_use]
    pub fn of(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl ChangeLog for Triggers {
    /// Never gives a row: what is older than the triggers is copied into the log as they are installed.
    async fn begin(&self) -> Result<Vec<OutboxRow>, LogError> {
        let mut tx = self.database.begin().await?;
        let installed: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = 'change_log'")
                .fetch_one(&mut *tx)
                .await?;
        if installed > 0 {
            tx.rollback().await?;
            return Ok(Vec::new());
        }
        for statement in INSTALL {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(Vec::new())
    }

    async fn go_on(&self, _: &[OutboxRow]) -> Result<(), LogError> {
        Ok(())
    }

    async fn next(&self, entries: u32) -> Result<Vec<Transaction>, LogError> {
        let entries: Vec<Columns> = sqlx::query_as(
            "SELECT position, event_id, topic, partition_key, headers, payload, replays \
             FROM change_log ORDER BY position LIMIT $1",
        )
        .bind(i64::from(entries))
        .fetch_all(self.database.reads())
        .await?;
        Ok(entries.into_iter().map(Transaction::from).collect())
    }

    async fn confirm(&self, published: &[Transaction]) -> Result<(), LogError> {
        let Some(last) = published.last() else {
            return Ok(());
        };
        let mut tx = self.database.begin().await?;
        mark_sent(&mut tx, published.iter().flat_map(|own| &own.rows)).await?;
        sqlx::query("DELETE FROM change_log WHERE position <= $1")
            .bind(last.position)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn heartbeat(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn backlog(&self) -> Result<u64, LogError> {
        let entries: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM change_log")
            .fetch_one(self.database.reads())
            .await?;
        Ok(u64::try_from(entries).unwrap_or(0))
    }
}

/// An entry is taken for a transaction of its own: that two of them belong together does not matter to a log whose entries are
/// in order and are confirmed one by one.
impl From<Columns> for Transaction {
    fn from(columns: Columns) -> Self {
        let row = OutboxRow::read(columns, UNFENCED);
        Self {
            position: row.position,
            rows: vec![row],
        }
    }
}
