//! The database of one service, as transactions over sqlx's `Any` driver, so that the same statements run on SQLite
//! and on PostgreSQL.
//!
//! It deliberately offers no autocommit statements: every change belongs to a transaction.

use std::future::Future;
use std::str::FromStr;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Executor};

use crate::schema::Engine;

/// A service's own database.
pub trait Database: Clone + Send + Sync + 'static {
    /// What [`Database::begin`] gives.
    type Transaction: Transaction;

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the database cannot be reached or is busy.
    fn begin(&self) -> impl Future<Output = sqlx::Result<Self::Transaction>> + Send;

    /// Begins a transaction that only reads, and therefore holds up no writer. What it has read may
    /// be out of date by the time it is used.
    ///
    /// # Errors
    /// As [`Database::begin`].
    fn begin_read(&self) -> impl Future<Output = sqlx::Result<Self::Transaction>> + Send;
}

/// An open transaction; dropping it without a commit rolls it back.
pub trait Transaction: Send {
    /// Where statements of this transaction are executed.
    fn executor(&mut self) -> impl Executor<'_, Database = Any>;

    /// Commits.
    ///
    /// # Errors
    /// When the commit failed or its answer was lost; in the latter case the changes may stand.
    fn commit(self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Undoes everything.
    ///
    /// # Errors
    /// When the connection is lost; the changes are undone all the same.
    fn rollback(self) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// A database behind a connection pool.
#[derive(Clone, Debug)]
pub struct PooledDatabase {
    /// The connections.
    pool: AnyPool,
    /// Which engine answers.
    engine: Engine,
}

impl PooledDatabase {
    /// Connects to `sqlite:...` or `postgres://...`.
    ///
    /// A SQLite database gets one connection: it has one writer at a time, and every transaction here may write.
    ///
    /// # Errors
    /// When the address is malformed or the database cannot be opened.
    pub async fn connect(url: &str) -> sqlx::Result<Self> {
        sqlx::any::install_default_drivers();
        let engine = if url.starts_with("sqlite:") {
            Engine::Sqlite
        } else {
            Engine::Postgres
        };
        let options = match engine {
            // An idle or old connection is kept: closing the only one would drop an in-memory database.
            Engine::Sqlite => AnyPoolOptions::new()
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None),
            Engine::Postgres => AnyPoolOptions::new(),
        };
        let pool = options
            .connect_with(AnyConnectOptions::from_str(url)?)
            .await?;
        if engine == Engine::Sqlite {
            sqlx::query("PRAGMA journal_mode = WAL")
                .execute(&pool)
                .await?;
        }
        Ok(Self { pool, engine })
    }

    /// The engine behind the pool, which chooses the migration script.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }
}

impl Database for PooledDatabase {
    type Transaction = PooledTransaction;

    async fn begin(&self) -> sqlx::Result<PooledTransaction> {
        let transaction = match self.engine {
            // A transaction that reads first and writes later could fail when it upgrades its lock.
            Engine::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await?,
            Engine::Postgres => self.pool.begin().await?,
        };
        Ok(PooledTransaction { transaction })
    }

    async fn begin_read(&self) -> sqlx::Result<PooledTransaction> {
        let begin = match self.engine {
            Engine::Sqlite => "BEGIN",
            Engine::Postgres => "BEGIN READ ONLY",
        };
        let transaction = self.pool.begin_with(begin).await?;
        Ok(PooledTransaction { transaction })
    }
}

/// A transaction on a pooled connection.
#[derive(Debug)]
pub struct PooledTransaction {
    transaction: sqlx::Transaction<'static, Any>,
}

impl Transaction for PooledTransaction {
    fn executor(&mut self) -> impl Executor<'_, Database = Any> {
        &mut *self.transaction
    }

    async fn commit(self) -> sqlx::Result<()> {
        self.transaction.commit().await
    }

    async fn rollback(self) -> sqlx::Result<()> {
        self.transaction.rollback().await
    }
}
