//! The log of changes on PostgreSQL: its write-ahead log, read by logical decoding through a replication slot.
//!
//! The slot is read and moved on by functions of SQL, so that no connection of another kind is needed. It keeps the log from its
//! confirmed position on, across restarts of both sides; what it keeps is [`ChangeLog::backlog`].
//!
//! The start is a snapshot, then the stream: the slot is there before the unpublished rows are read, under another name until they
//! are published. What was committed in between comes twice, under one id. The server needs `wal_level=logical`, and sees a
//! transaction here once its commit is flushed.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use tokio::sync::OnceCell;

use crate::database::Database;
use crate::relay::{Columns, OutboxRow, UNFENCED};

use super::change_log::{ChangeLog, LogError, Transaction, mark_sent};
use super::pgoutput::Decoder;

/// What the slot, and what the publication of this schema is called: slots belong to the whole server.
const NAME: &str = "SELECT CAST('outbox_' || left(regexp_replace( \
     lower(current_database() || '_' || current_schema()), '[^a-z0-9_]', '_', 'g'), 40) AS TEXT)";

/// What is added to a slot's name until its snapshot is published.
const UNFINISHED: &str = "_begins";

/// Rows that become unsent, be it that they are new or that somebody wants them again, are published as inserts: the
/// filter compares the row before and after the change, and the log holds both, because the table's migration says so.
const UNSENT_ARE_INSERTS: &str = "FOR TABLE outbox WHERE (sent = 0)";

/// The log of one PostgreSQL database, or of one schema in it.
pub struct ReplicationSlot {
    database: Database,
    /// What it is called, once that was asked.
    name: OnceCell<String>,
}

impl ReplicationSlot {
    /// The log of `database`.
    #[must_use]
    pub fn of(database: Database) -> Self {
        let name = OnceCell::new();
        Self { database, name }
    }

    async fn name(&self) -> sqlx::Result<&str> {
        let ask = || sqlx::query_scalar(NAME).fetch_one(self.database.reads());
        self.name.get_or_try_init(ask).await.map(String::as_str)
    }

    async fn exists(&self, slot: &str) -> sqlx::Result<bool> {
        let slots: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM pg_replication_slots WHERE slot_name = $1")
                .bind(slot)
                .fetch_one(self.database.reads())
                .await?;
        Ok(slots > 0)
    }

    async fn prepare(&self, publication: &str) -> sqlx::Result<()> {
        let mut tx = self.database.begin().await?;
        let published: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM pg_publication WHERE pubname = $1")
                .bind(publication)
                .fetch_one(&mut *tx)
                .await?;
        if published > 0 {
            return tx.rollback().await;
        }
        // The name has no letter in it that would have to be quoted.
        let publish = format!("CREATE PUBLICATION {publication} {UNSENT_ARE_INSERTS}");
        sqlx::query(AssertSqlSafe(publish))
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    async fn create(&self, slot: &str) -> sqlx::Result<()> {
        sqlx::query("SELECT 1 FROM pg_create_logical_replication_slot($1, 'pgoutput')")
            .bind(slot)
            .execute(self.database.reads())
            .await?;
        Ok(())
    }

    /// A slot that goes on where another one stands.
    async fn copy(&self, slot: &str, to: &str) -> sqlx::Result<()> {
        sqlx::query("SELECT 1 FROM pg_copy_logical_replication_slot($1, $2)")
            .bind(slot)
            .bind(to)
            .execute(self.database.reads())
            .await?;
        Ok(())
    }

    async fn drop(&self, slot: &str) -> sqlx::Result<()> {
        sqlx::query("SELECT 1 FROM pg_drop_replication_slot($1)")
            .bind(slot)
            .execute(self.database.reads())
            .await?;
        Ok(())
    }

    /// Notes that rows are sent, if there are any.
    async fn mark_sent(&self, rows: &[OutboxRow]) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        mark_sent(&mut tx, rows).await?;
        tx.commit().await
    }

    /// Moves the slot on. One that is further on already stays there.
    async fn advance(&self, position: i64) -> sqlx::Result<()> {
        sqlx::query(
            "SELECT 1 FROM pg_replication_slots AS own, \
               pg_replication_slot_advance(own.slot_name, '0/0'::pg_lsn + $2::numeric) \
             WHERE own.slot_name = $1 AND own.confirmed_flush_lsn < '0/0'::pg_lsn + $2::numeric",
        )
        .bind(self.name().await?)
        .bind(position)
        .execute(self.database.reads())
        .await?;
        Ok(())
    }

    /// Transactions up to `end`, or to the end of the log.
    async fn peek(&self, end: Option<i64>, entries: u32) -> Result<Vec<Transaction>, LogError> {
        let messages: Vec<(Vec<u8>,)> = sqlx::query_as(
            "SELECT data FROM pg_logical_slot_peek_binary_changes( \
               $1, '0/0'::pg_lsn + $2::numeric, $3, 'proto_version', '1', 'publication_names', $1)",
        )
        .bind(self.name().await?)
        .bind(end)
        .bind(i32::try_from(entries).unwrap_or(i32::MAX))
        .fetch_all(self.database.reads())
        .await?;
        let mut decoder = Decoder::default();
        for (message,) in messages {
            decoder.read(&message)?;
        }
        Ok(decoder.finish())
    }
}

#[async_trait]
impl ChangeLog for ReplicationSlot {
    async fn begin(&self) -> Result<Vec<OutboxRow>, LogError> {
        let name = self.name().await?;
        if self.exists(name).await? {
            return Ok(Vec::new());
        }
        self.prepare(name).await?;
        let unfinished = format!("{name}{UNFINISHED}");
        if self.exists(&unfinished).await? {
            self.drop(&unfinished).await?;
        }
        self.create(&unfinished).await?;
        let unsent: Vec<Columns> = sqlx::query_as(
            "SELECT position, event_id, topic, partition_key, headers, payload, replays \
             FROM outbox WHERE sent = 0 ORDER BY position",
        )
        .fetch_all(self.database.reads())
        .await?;
        Ok(unsent.into_iter().map(row).collect())
    }

    async fn go_on(&self, snapshot: &[OutboxRow]) -> Result<(), LogError> {
        let name = self.name().await?;
        if self.exists(name).await? {
            return Ok(());
        }
        self.mark_sent(snapshot).await?;
        let unfinished = format!("{name}{UNFINISHED}");
        self.copy(&unfinished, name).await?;
        Ok(self.drop(&unfinished).await?)
    }

    async fn next(&self, entries: u32) -> Result<Vec<Transaction>, LogError> {
        self.peek(None, entries).await
    }

    async fn confirm(&self, published: &[Transaction]) -> Result<(), LogError> {
        let Some(last) = published.last() else {
            return Ok(());
        };
        let rows = published.iter().flat_map(|own| own.rows.clone());
        self.mark_sent(&rows.collect::<Vec<_>>()).await?;
        Ok(self.advance(last.position).await?)
    }

    /// Without it a database that nobody writes to would keep the log that the others write.
    async fn heartbeat(&self) -> Result<(), LogError> {
        let end: i64 =
            sqlx::query_scalar("SELECT CAST(pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS BIGINT)")
                .fetch_one(self.database.reads())
                .await?;
        if self.peek(Some(end), 1).await?.is_empty() {
            self.advance(end).await?;
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<u64, LogError> {
        let bytes: Option<i64> = sqlx::query_scalar(
            "SELECT CAST(pg_current_wal_lsn() - confirmed_flush_lsn AS BIGINT) \
             FROM pg_replication_slots WHERE slot_name = $1",
        )
        .bind(self.name().await?)
        .fetch_optional(self.database.reads())
        .await?;
        Ok(bytes.map_or(0, |bytes| u64::try_from(bytes).unwrap_or(0)))
    }
}

fn row(columns: Columns) -> OutboxRow {
    OutboxRow::read(columns, UNFENCED)
}
