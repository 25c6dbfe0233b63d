//! A simulated host's database behind the reference system's database port.
//!
//! It chooses how a transaction begins on each engine, and nothing else.

use reference_system::ports::database::{Database, Transaction};
use sqlx::{Any, Executor};
use stormglass::Host;
use stormglass::database::{OpenError, Pool};

/// One service's database, as one host reaches it.
#[derive(Clone, Debug)]
pub struct SimulatedDatabase {
    pool: Pool<Any>,
    begin: &'static str,
    begin_read: &'static str,
}

impl SimulatedDatabase {
    /// The database `name` as `host` reaches it.
    ///
    /// # Errors
    ///
    /// If there is no such database.
    pub fn of(host: &Host, name: &str) -> Result<Self, OpenError> {
        let pool = host.database(name)?;
        let (begin, begin_read) = match pool.engine() {
            // A transaction that reads first and writes later could fail when it upgrades its lock.
            "sqlite" => ("BEGIN IMMEDIATE", "BEGIN"),
            _ => ("BEGIN", "BEGIN READ ONLY"),
        };
        Ok(SimulatedDatabase {
            pool,
            begin,
            begin_read,
        })
    }
}

impl Database for SimulatedDatabase {
    type Transaction = SimulatedTransaction;

    async fn begin(&self) -> sqlx::Result<SimulatedTransaction> {
        self.pool
            .begin_with(self.begin)
            .await
            .map(SimulatedTransaction)
    }

    async fn begin_read(&self) -> sqlx::Result<SimulatedTransaction> {
        self.pool
            .begin_with(self.begin_read)
            .await
            .map(SimulatedTransaction)
    }
}

/// An open transaction.
#[derive(Debug)]
pub struct SimulatedTransaction(stormglass::database::Transaction<'static, Any>);

impl Transaction for SimulatedTransaction {
    fn executor(&mut self) -> impl Executor<'_, Database = Any> {
        &mut *self.0
    }

    async fn commit(self) -> sqlx::Result<()> {
        self.0.commit().await
    }

    async fn rollback(self) -> sqlx::Result<()> {
        self.0.rollback().await
    }
}
