//! Pools: the connections of one host to one database, handed out in virtual time.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use sqlx::{Database, Describe, Either, Error, Execute, Executor, SqlStr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backend::{Backend, is_storage_failure};
use super::connection::{Connection, Slot};
use super::driver::complete;
use super::statement::is_write;
use super::store::Engine;
use super::transaction::Transaction;
use super::{Databases, OpenError};
use crate::simulation::RunError;
use crate::simulation::world::{Gate, lock};

/// How many connections a pool has at most; sqlx's own default is ten.
const CONNECTIONS_MAX: usize = 10;
/// How long `acquire` waits for a free connection, in virtual time; sqlx's own default.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// What all connections of one pool have in common.
pub(super) struct Shared {
    pub(super) gate: Gate,
    pub(super) name: Arc<str>,
    pub(super) databases: Arc<Databases>,
}

impl Shared {
    /// A real failure of the engine's storage says nothing about the system: it ends the run.
    pub(super) fn note(&self, error: &Error) {
        if is_storage_failure(error) {
            let source = Error::Protocol(error.to_string());
            let database = self.name.to_string();
            self.gate
                .world()
                .fail(RunError::Storage { database, source });
        }
    }

    /// Whether a statement in a transaction needs a savepoint to be able to wait for a lock.
    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self.databases.engine(), Engine::Sqlite)
    }

    pub(super) fn needs_savepoint(&self, sql: &str) -> bool {
        matches!(self.databases.engine(), Engine::Postgres { .. })
            && (is_write(sql) || sql.to_ascii_uppercase().contains(" FOR "))
    }
}

/// Connections of one host to one of the system's databases, with the interface of `sqlx::Pool`:
/// `acquire`, `begin`, and `&pool` as an executor.
pub struct Pool<DB: Backend> {
    inner: Arc<Inner<DB>>,
}

struct Inner<DB: Backend> {
    shared: Arc<Shared>,
    url: String,
    idle: Mutex<Vec<Arc<Slot<DB>>>>,
    permits: Arc<Semaphore>,
}

impl<DB: Backend> Clone for Pool<DB> {
    fn clone(&self) -> Self {
        Pool {
            inner: self.inner.clone(),
        }
    }
}

impl<DB: Backend> fmt::Debug for Pool<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("database", &self.inner.shared.name)
            .finish_non_exhaustive()
    }
}

impl<DB: Backend> Pool<DB> {
    pub(crate) fn new(
        gate: Gate,
        databases: Arc<Databases>,
        name: &str,
    ) -> Result<Self, OpenError> {
        let (name, url) = databases
            .find(name)
            .ok_or_else(|| OpenError::Unknown(name.to_owned(), databases.names()))?;
        if !DB::serves(databases.engine()) {
            return Err(OpenError::Engine(DB::NAME, databases.engine().name()));
        }
        Ok(Pool {
            inner: Arc::new(Inner {
                url,
                shared: Arc::new(Shared {
                    gate,
                    name,
                    databases,
                }),
                idle: Mutex::default(),
                permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            }),
        })
    }

    /// A connection, once one of the pool's is free.
    ///
    /// # Errors
    ///
    /// [`Error::PoolTimedOut`] after 30 seconds of virtual time, and what the driver says when a
    /// new connection cannot be opened.
    pub async fn acquire(&self) -> Result<PoolConnection<DB>, Error> {
        self.lend().await.map(PoolConnection)
    }

    async fn lend(&self) -> Result<Connection<DB>, Error> {
        let shared = &self.inner.shared;
        shared.gate.open().await;
        let permit = self.inner.permits.clone().acquire_owned();
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, permit)
            .await
            .map_err(|_| Error::PoolTimedOut)?
            .map_err(|_| Error::PoolClosed)?;
        let idle = lock(&self.inner.idle).pop();
        let slot = match idle {
            Some(slot) => slot,
            None => self.open()?,
        };
        Ok(Connection {
            lease: Lease {
                slot,
                pool: self.inner.clone(),
                _permit: permit,
            },
        })
    }

    fn open(&self) -> Result<Arc<Slot<DB>>, Error> {
        let opened = complete(DB::open(&self.inner.url));
        let connection = opened.inspect_err(|error| self.inner.shared.note(error))?;
        let slot = Arc::new(Slot::new(connection));
        self.inner.shared.gate.adopt(slot.clone());
        Ok(slot)
    }

    /// Begins a transaction on a connection of the pool. It is rolled back unless it is committed.
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`], and what the database says to `BEGIN`.
    pub async fn begin(&self) -> Result<Transaction<'static, DB>, Error> {
        self.begin_with("BEGIN").await
    }

    /// Begins a transaction with SQL of the caller's, such as `BEGIN IMMEDIATE`.
    ///
    /// # Errors
    ///
    /// As [`Pool::begin`].
    pub async fn begin_with(&self, sql: &'static str) -> Result<Transaction<'static, DB>, Error> {
        let connection = self.lend().await?;
        Transaction::begin(connection, sql).await
    }

    /// The engine that the pool works on: `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        self.inner.shared.databases.engine().name()
    }
}

/// A real connection on loan; it goes back to its pool if it still works.
pub(super) struct Lease<DB: Backend> {
    slot: Arc<Slot<DB>>,
    pool: Arc<Inner<DB>>,
    _permit: OwnedSemaphorePermit,
}

impl<DB: Backend> Lease<DB> {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.pool.shared
    }

    pub(super) fn slot(&self) -> &Slot<DB> {
        &self.slot
    }
}

impl<DB: Backend> Drop for Lease<DB> {
    fn drop(&mut self) {
        if lock(&self.slot.connection).is_some() {
            lock(&self.pool.idle).push(self.slot.clone());
        }
    }
}

impl<DB: Backend> Connection<DB> {
    /// Begins a transaction on this connection. It is rolled back unless it is committed.
    ///
    /// # Errors
    ///
    /// What the database says to `BEGIN`.
    pub async fn begin(&mut self) -> Result<Transaction<'_, DB>, Error> {
        Transaction::begin(self, "BEGIN").await
    }
}

type Step<DB> = Either<<DB as Database>::QueryResult, <DB as Database>::Row>;

impl<'c, DB: Backend> Executor<'c> for &'c Pool<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step<DB>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let steps = async move {
            let mut connection = self.lend().await?;
            let steps: Vec<_> = connection.fetch_many(query).try_collect().await?;
            Ok::<_, Error>(stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        async move { self.lend().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'c: 'e,
    {
        async move { self.lend().await?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'c: 'e,
    {
        async move { self.lend().await?.describe(sql).await }.boxed()
    }
}

/// A connection on loan from a pool, with the interface of `sqlx::pool::PoolConnection`: both
/// `&mut *connection` and `&mut connection` are executors, and it goes back when it is dropped.
#[derive(Debug)]
pub struct PoolConnection<DB: Backend>(Connection<DB>);

impl<DB: Backend> Deref for PoolConnection<DB> {
    type Target = Connection<DB>;

    fn deref(&self) -> &Connection<DB> {
        &self.0
    }
}

impl<DB: Backend> DerefMut for PoolConnection<DB> {
    fn deref_mut(&mut self) -> &mut Connection<DB> {
        &mut self.0
    }
}

impl<'c, DB: Backend> Executor<'c> for &'c mut PoolConnection<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step<DB>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        self.0.fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        self.0.fetch_optional(query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'c: 'e,
    {
        self.0.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'c: 'e,
    {
        self.0.describe(sql)
    }
}
