//! Transactions: where commits are struck, and after which the probes look.

use std::ops::{Deref, DerefMut};

use sqlx::{Error, SqlStr};

use super::backend::Backend;
use super::connection::{Connection, Savepoint};

/// An open transaction, with the interface of `sqlx::Transaction`: `&mut *transaction` is an
/// executor, `commit` and `rollback` end it, and dropping it rolls it back. One that is begun within
/// another is a savepoint.
#[derive(Debug)]
pub struct Transaction<'c, DB: Backend> {
    connection: Handle<'c, DB>,
    /// If it is nested in another one.
    savepoint: Option<Savepoint>,
    is_open: bool,
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
            savepoint: None,
            is_open: false,
        };
        if transaction.is_in_transaction() {
            transaction.savepoint = Some(transaction.begin_nested().await?);
            transaction.is_open = true;
        } else {
            // Whoever gives up waiting for the answer to `BEGIN` leaves no transaction behind, as with sqlx.
            transaction.is_open = true;
            let sql = SqlStr::from_static(sql);
            transaction.begin_transaction(sql).await?;
        }
        Ok(transaction)
    }

    /// Makes the transaction's changes last.
    ///
    /// # Errors
    ///
    /// What the database says, and the error of a broken connection where a fault strikes the
    /// commit. As with a real network, that error does not tell whether the commit took place.
    pub async fn commit(mut self) -> Result<(), Error> {
        match self.savepoint {
            Some(savepoint) => self.commit_nested(savepoint).await?,
            None => drop(
                self.commit_transaction(SqlStr::from_static("COMMIT"))
                    .await?,
            ),
        }
        self.is_open = false;
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

    fn undo(&mut self, why: &str) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        match self.savepoint {
            Some(savepoint) => self.roll_back_nested(savepoint),
            None => self.roll_back(why),
        }
    }
}

impl<DB: Backend> Drop for Transaction<'_, DB> {
    fn drop(&mut self) {
        self.undo("neither committed nor rolled back by its owner");
    }
}
