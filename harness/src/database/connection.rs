//! A connection: a sqlx executor over a real connection, with virtual latency, faults and probes.
//!
//! `sqlx::query(…).execute(&mut connection)` reads as it does in production. Nested transactions
//! (savepoints through sqlx's own interface) are not offered; plain SQL savepoints work.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use sqlx::{Connection as _, Database, Either, Error, Execute, Executor, SqlStr};

use super::backend::{Backend, IntoExecutor, LockState, lock_state};
use super::driver::complete;
use super::fault::{Interrupted, broken_connection, locked};
use super::pool::{Lease, Shared};
use crate::history::What;
use crate::plan::{Action, Call};
use crate::simulation::Deed;
use crate::simulation::world::{Severable, lock};

/// How long a statement waits for a lock before it fails, in virtual time; sqlx's own default.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses after which it looks again whether the lock is free, in virtual milliseconds; the last
/// one repeats. SQLite's own busy handler begins with the same steps (`sqliteDefaultBusyCallback`).
const BUSY_PAUSES_MS: [u64; 6] = [1, 2, 5, 10, 15, 20];

/// A connection of one host to one database, on loan from its pool.
pub struct Connection<DB: Backend> {
    pub(super) lease: Lease<DB>,
    /// Whether a transaction of [`super::Transaction`] is open.
    pub(super) in_transaction: bool,
    /// Whether the open transaction has written something.
    pub(super) wrote: bool,
}

impl<DB: Backend> fmt::Debug for Connection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("database", &self.shared().name)
            .finish_non_exhaustive()
    }
}

/// The real connection. It is gone once its host has crashed or a fault has broken it.
pub(super) struct Slot<DB: Backend>(pub(super) Mutex<Option<DB::Connection>>);

impl<DB: Backend> Severable for Slot<DB> {
    fn sever(&self) {
        let Some(mut connection) = lock(&self.0).take() else {
            return;
        };
        complete(async {
            // Explicit, because a server notices a closed socket only some time later.
            let _ = connection.executor().execute("ROLLBACK").await;
            let _ = connection.close().await;
        });
    }
}

type Step<DB> = Either<<DB as Database>::QueryResult, <DB as Database>::Row>;

impl<DB: Backend> Connection<DB> {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.lease.shared()
    }

    /// Runs SQL that controls a transaction; lock waits happen in virtual time.
    pub(super) async fn control(&mut self, sql: &'static str) -> Result<(), Error> {
        self.attempt(&Request::<DB> {
            sql: SqlStr::from_static(sql),
            arguments: None,
        })
        .await
        .map(drop)
    }

    /// One statement of the system, through the gate.
    async fn statement(&mut self, request: Request<DB>) -> Result<Vec<Step<DB>>, Error> {
        let shared = self.shared().clone();
        let gate = &shared.gate;
        let injection = gate.enter(Call::Statement).await;
        tokio::time::sleep(shared.databases.latency()).await;
        for (fault, action) in injection.actions() {
            if let Err(error) = self.strike(fault, action).await {
                return Err(self.failed(error));
            }
        }
        let writes = is_write(request.sql.as_str());
        let steps = if writes && !self.in_transaction {
            self.autocommit(&request).await
        } else {
            self.wrote |= writes;
            self.attempt(&request).await
        };
        gate.leave(&injection).await;
        steps.map_err(|error| self.failed(error))
    }

    /// A statement outside a transaction is its own transaction, with a commit that can be struck.
    async fn autocommit(&mut self, request: &Request<DB>) -> Result<Vec<Step<DB>>, Error> {
        let shared = self.shared().clone();
        let injection = shared.gate.enter(Call::Commit).await;
        let interrupted = Interrupted::by(&injection, &shared.gate);
        if interrupted == Interrupted::BeforeCommit {
            self.lease.slot().sever();
            return Err(broken_connection());
        }
        let steps = self.attempt(request).await?;
        shared.databases.committed(&shared.gate, &shared.name)?;
        shared.gate.leave(&injection).await;
        if interrupted == Interrupted::AfterCommit {
            self.lease.slot().sever();
            return Err(broken_connection());
        }
        Ok(steps)
    }

    async fn strike(&mut self, fault: usize, action: &Action) -> Result<(), Error> {
        let gate = self.shared().gate.clone();
        match action {
            Action::StatementError => {
                gate.bit(fault, "statement error".to_owned());
                self.lease.slot().sever();
                return Err(broken_connection());
            }
            Action::Locked { for_ms } => {
                gate.bit(fault, action.to_string());
                let held = Duration::from_millis(*for_ms);
                tokio::time::sleep(held.min(BUSY_TIMEOUT)).await;
                gate.open().await;
                if held > BUSY_TIMEOUT {
                    return Err(locked());
                }
            }
            Action::Slow { delay_ms } => {
                gate.bit(fault, action.to_string());
                tokio::time::sleep(Duration::from_millis(*delay_ms)).await;
                gate.open().await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Executes, and waits in virtual time while somebody else holds a lock.
    async fn attempt(&mut self, request: &Request<DB>) -> Result<Vec<Step<DB>>, Error> {
        let mut waited = Duration::ZERO;
        let mut pauses = BUSY_PAUSES_MS.into_iter();
        loop {
            let error = match self.execute_once(request) {
                Ok(steps) => return Ok(steps),
                Err(error) => error,
            };
            if lock_state(&error) == LockState::NoMatter || waited >= BUSY_TIMEOUT {
                return Err(error);
            }
            let pause_ms = pauses
                .next()
                .unwrap_or(BUSY_PAUSES_MS[BUSY_PAUSES_MS.len() - 1]);
            let pause = Duration::from_millis(pause_ms);
            tokio::time::sleep(pause).await;
            self.shared().gate.open().await;
            waited += pause;
        }
    }

    fn execute_once(&mut self, request: &Request<DB>) -> Result<Vec<Step<DB>>, Error> {
        self.note_work(request);
        let guarded = self.in_transaction && self.shared().needs_savepoint(request.sql.as_str());
        let mut slot = lock(&self.lease.slot().0);
        let connection = slot.as_mut().ok_or_else(broken_connection)?;
        if !guarded {
            return complete(request.send(connection));
        }
        // PostgreSQL aborts the whole transaction when a statement meets a lock; a savepoint
        // makes the wait possible.
        complete(async {
            connection
                .executor()
                .execute("SAVEPOINT stormglass")
                .await?;
            let answer = request.send(connection).await;
            let close = match &answer {
                Err(error) if lock_state(error) == LockState::Held => {
                    "ROLLBACK TO SAVEPOINT stormglass"
                }
                Err(_) => return answer,
                Ok(_) => "RELEASE SAVEPOINT stormglass",
            };
            connection.executor().execute(close).await?;
            answer
        })
    }

    fn note_work(&self, request: &Request<DB>) {
        let shared = self.shared();
        shared
            .gate
            .world()
            .worked(shared.gate.host(), || Deed::Statement {
                database: shared.name.clone(),
                connection: std::ptr::from_ref(self.lease.slot()).addr(),
                sql: request.sql.as_str().to_owned(),
                arguments: request.arguments.as_ref().and_then(DB::work),
            });
    }

    fn failed(&self, error: Error) -> Error {
        let shared = self.shared();
        shared.gate.record(What::StatementFailed {
            database: shared.name.clone(),
            error: plain(&error),
        });
        error
    }
}

/// An error's text without what differs from run to run: the schema names of a PostgreSQL server.
fn plain(error: &Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}

/// A statement that can be sent more than once.
struct Request<DB: Database> {
    sql: SqlStr,
    arguments: Option<DB::Arguments>,
}

impl<DB: Backend> Request<DB> {
    fn new<'q, E: Execute<'q, DB>>(mut query: E) -> Result<Self, Error> {
        let arguments = query.take_arguments().map_err(Error::Encode)?;
        Ok(Request {
            sql: query.sql(),
            arguments,
        })
    }

    async fn send(&self, connection: &mut DB::Connection) -> Result<Vec<Step<DB>>, Error> {
        let executor = connection.executor();
        let steps = match &self.arguments {
            Some(arguments) => executor.fetch_many((self.sql.clone(), Some(DB::copy(arguments)))),
            None => executor.fetch_many(self.sql.clone()),
        };
        steps.collect::<Vec<_>>().await.into_iter().collect()
    }
}

/// Words that begin a statement which changes no data, or only controls a transaction.
const READS: &[&str] = &[
    "select",
    "pragma",
    "explain",
    "show",
    "values",
    "set",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "savepoint",
    "release",
];

/// Whether a statement can change data. Errs on the side of yes: a look too many costs a probe.
pub(super) fn is_write(sql: &str) -> bool {
    let sql = sql.trim_start();
    let word = sql
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    !READS.iter().any(|read| word.eq_ignore_ascii_case(read))
}

impl<'c, DB: Backend> Executor<'c> for &'c mut Connection<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step<DB>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let request = Request::new(query);
        let steps = async move {
            match self.statement(request?).await {
                Ok(steps) => Ok(stream::iter(steps.into_iter().map(Ok))),
                Err(error) => Err(error),
            }
        };
        stream::once(steps)
            .flat_map(|answer| match answer {
                Ok(steps) => steps.boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let request = Request::new(query);
        async move {
            let steps = self.statement(request?).await?;
            Ok(steps.into_iter().find_map(Either::right))
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'c: 'e,
    {
        async move {
            self.shared().gate.open().await;
            let mut slot = lock(&self.lease.slot().0);
            let connection = slot.as_mut().ok_or_else(broken_connection)?;
            complete(connection.executor().prepare_with(sql, parameters))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::is_write;

    #[test]
    fn only_statements_that_cannot_write_count_as_reads() {
        for read in ["SELECT 1", "  select 1", "PRAGMA x", "EXPLAIN SELECT 1"] {
            assert!(!is_write(read), "{read}");
        }
        for write in [
            "INSERT INTO t",
            "update t",
            "WITH x AS (SELECT 1) DELETE FROM t",
        ] {
            assert!(is_write(write), "{write}");
        }
    }
}
