//! The database of one service: transactions over sqlx's `Any` driver, so that the same statements run on SQLite and on
//! PostgreSQL.
//!
//! Every change belongs to a transaction; only what reads may do without.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Connection};

use crate::schema::Engine;

/// An open transaction; dropping it without a commit rolls it back. Its statements take the connection behind it.
pub type Transaction = sqlx::Transaction<'static, Any>;

/// How long PostgreSQL lets a transaction stay open that is asked for nothing. The locks of a service whose machine is gone
/// without a word would otherwise be held until TCP finds out, which takes hours: longer than any step of a live service
/// takes, and soon enough for those that wait for the locks.
const IDLE_IN_TRANSACTION: &str = "SET idle_in_transaction_session_timeout = '5s'";

/// A service's own database, behind a connection pool.
#[derive(Clone)]
pub struct Database {
    /// The connections.
    pool: AnyPool,
    /// Which engine answers.
    engine: Engine,
    /// Where it is.
    url: Arc<str>,
}

/// Without the address, which may hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Database");
        told.field("engine", &self.engine).finish_non_exhaustive()
    }
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
            // Nor is it tested before it is used, because a file cannot hang up.
            Engine::Sqlite => AnyPoolOptions::new()
                .max_connections(1)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None),
            Engine::Postgres => AnyPoolOptions::new().after_connect(|connection, _| {
                Box::pin(async move {
                    let limit = sqlx::query(IDLE_IN_TRANSACTION);
                    limit.execute(connection).await.map(drop)
                })
            }),
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
        let url = url.into();
        Ok(Self { pool, engine, url })
    }

    /// The address, for a connection beside the pool.
    pub(crate) fn url(&self) -> &str {
        &self.url
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

    /// Where statements go that only read, each for itself. What they have read may be out of date by the time it is used.
    #[must_use]
    pub fn reads(&self) -> &AnyPool {
        &self.pool
    }
}
