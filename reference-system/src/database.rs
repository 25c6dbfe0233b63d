//! The database of one service: transactions over sqlx's `Any` driver, so that the same statements run on SQLite and on
//! PostgreSQL.
//!
//! It deliberately offers no autocommit statements: every change belongs to a transaction.

use std::str::FromStr;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Connection};

use crate::schema::Engine;

/// An open transaction; dropping it without a commit rolls it back. Its statements take the connection behind it.
pub type Transaction = sqlx::Transaction<'static, Any>;

/// A service's own database, behind a connection pool.
#[derive(Clone, Debug)]
pub struct Database {
    /// The connections.
    pool: AnyPool,
    /// Which engine answers.
    engine: Engine,
}

impl Database {
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
        let options = options.after_release(|connection, _| {
            // A transaction whose commit has failed still counts as open, and what comes next would be a part of it.
            let is_done = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_done) })
        });
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

    /// Closes the connections, once what is under way on them is done; every call fails from then on.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the database cannot be reached or is busy.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        match self.engine {
            // A transaction that reads first and writes later could fail when it upgrades its lock.
            Engine::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Engine::Postgres => self.pool.begin().await,
        }
    }

    /// Begins a transaction that only reads, and therefore holds up no writer. What it has read may
    /// be out of date by the time it is used.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn begin_read(&self) -> sqlx::Result<Transaction> {
        let begin = match self.engine {
            Engine::Sqlite => "BEGIN",
            Engine::Postgres => "BEGIN READ ONLY",
        };
        self.pool.begin_with(begin).await
    }
}
