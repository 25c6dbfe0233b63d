//! Transactions: where commits are struck, and after which the probes look.

use std::ops::{Deref, DerefMut};

use sqlx::{Error, Executor};

use super::backend::{Backend, IntoExecutor};
use super::connection::Connection;
use super::driver::complete;
use super::fault::{Interrupted, broken_connection};
use crate::history::What;
use crate::plan::Call;
use crate::simulation::world::{Severable, lock};

/// An open transaction, with the interface of `sqlx::Transaction`: `&mut *transaction` is an
/// executor, `commit` and `rollback` end it, and dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction<'c, DB: Backend> {
    connection: Handle<'c, DB>,
}

#[derive(Debug)]
enum Handle<'c, DB: Backend> {
    Owned(Connection<DB>),
    Borrowed(&'c mut Connection<DB>),
}

impl<DB: Backend> From<Connection<DB>> for Handle<'_, DB> {
    fn from(connection: Connection<DB>) -> Self {
        Handle::Owned(connection)
    }
}

impl<'c, DB: Backend> From<&'c mut Connection<DB>> for Handle<'c, DB> {
    fn from(connection: &'c mut Connection<DB>) -> Self {
        Handle::Borrowed(connection)
    }
}

impl<DB: Backend> Deref for Transaction<'_, DB> {
    type Target = Connection<DB>;

    fn deref(&self) -> &Connection<DB> {
        match &self.connection {
            Handle::Owned(connection) => connection,
            Handle::Borrowed(connection) => connection,
        }
    }
}

impl<DB: Backend> DerefMut for Transaction<'_, DB> {
    fn deref_mut(&mut self) -> &mut Connection<DB> {
        match &mut self.connection {
            Handle::Owned(connection) => connection,
            Handle::Borrowed(connection) => connection,
        }
    }
}

impl<'c, DB: Backend> Transaction<'c, DB> {
    #[expect(private_bounds, reason = "the handle's two forms are the crate's own")]
    pub(super) async fn begin<H>(connection: H, sql: &'static str) -> Result<Self, Error>
    where
        Handle<'c, DB>: From<H>,
    {
        let mut transaction = Transaction {
            connection: connection.into(),
        };
        transaction.begin_transaction(sql).await?;
        Ok(transaction)
    }

    /// Makes the transaction's changes last.
    ///
    /// # Errors
    ///
    /// What the database says, and the error of a broken connection where a fault strikes the
    /// commit. As with a real network, that error does not tell whether the commit took place.
    pub async fn commit(mut self) -> Result<(), Error> {
        let shared = self.shared().clone();
        let injection = shared.gate.enter(Call::Commit).await;
        tokio::time::sleep(shared.databases.latency()).await;
        let interrupted = Interrupted::by(&injection, &shared.gate);
        if interrupted == Interrupted::BeforeCommit {
            self.lease.slot().sever();
            return Err(self.rolled_back("commit lost"));
        }
        self.control("COMMIT").await?;
        self.in_transaction = false;
        if self.wrote {
            shared.databases.committed(&shared.gate, &shared.name)?;
        }
        shared.gate.leave(&injection).await;
        if interrupted == Interrupted::AfterCommit {
            self.lease.slot().sever();
            return Err(broken_connection());
        }
        Ok(())
    }

    /// Undoes the transaction's changes.
    ///
    /// # Errors
    ///
    /// None in practice: a transaction that cannot be rolled back ends with its connection.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.shared().gate.open().await;
        self.undo("by its owner");
        Ok(())
    }

    /// Rolls back now, if the transaction is still open.
    fn undo(&mut self, why: &str) {
        if !std::mem::take(&mut self.in_transaction) {
            return;
        }
        let undone = match lock(&self.lease.slot().0).as_mut() {
            Some(connection) => complete(connection.executor().execute("ROLLBACK")).is_ok(),
            // A crash or a fault has already rolled it back and closed the connection.
            None => return,
        };
        if !undone {
            self.lease.slot().sever();
        }
        if self.wrote {
            let shared = self.shared();
            let what = What::RolledBack {
                database: shared.name.clone(),
                why: why.to_owned(),
            };
            shared.gate.record(what);
        }
    }

    fn rolled_back(&mut self, why: &str) -> Error {
        self.in_transaction = false;
        let shared = self.shared();
        let what = What::RolledBack {
            database: shared.name.clone(),
            why: why.to_owned(),
        };
        shared.gate.record(what);
        broken_connection()
    }
}

impl<DB: Backend> Drop for Transaction<'_, DB> {
    fn drop(&mut self) {
        self.undo("neither committed nor rolled back by its owner");
    }
}
