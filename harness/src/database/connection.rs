//! A connection: a sqlx executor over a real connection, with virtual latency, faults and probes.
//!
//! `sqlx::query(…).execute(&mut connection)` reads as it does in production, and a transaction that is
//! begun and committed in plain SQL counts as one.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use sqlx::{
    AssertSqlSafe, Connection as _, Database, Describe, Either, Error, Execute, Executor,
    SqlSafeStr as _, SqlStr,
};

use super::backend::{Backend, IntoExecutor, LockState, lock_state};
use super::driver::complete;
use super::fault::{Interrupted, broken_connection, locked};
use super::pool::{Lease, Shared};
use super::statement::{Control, Effect, is_query, is_write};
use crate::history::What;
use crate::plan::StatementFault;
use crate::simulation::IoCall;
use crate::simulation::world::{Severable, lock};

/// How long a statement waits for a lock before it fails, in virtual time; sqlx's own default.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses after which it looks again whether the lock is free, in virtual milliseconds; the last
/// one repeats. SQLite's own busy handler begins with the same steps (`sqliteDefaultBusyCallback`).
const BUSY_PAUSES_MS: [u64; 6] = [1, 2, 5, 10, 15, 20];

/// A connection of one host to one database, on loan from its pool.
pub struct Connection<DB: Backend> {
    pub(super) lease: Lease<DB>,
}

impl<DB: Backend> fmt::Debug for Connection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("database", &self.shared().name)
            .finish_non_exhaustive()
    }
}

/// The real connection, and the transaction that is open on it.
pub(super) struct Slot<DB: Backend> {
    /// Gone once its host has crashed or a fault has broken it.
    pub(super) connection: Mutex<Option<DB::Connection>>,
    open: Mutex<Option<OpenTransaction>>,
}

/// A transaction that is neither committed nor rolled back. It belongs to the connection and not
/// to whoever has it on loan: one that was begun in plain SQL and then forgotten stays open in the
/// pool, as it does with sqlx.
#[derive(Clone, Copy, Default)]
struct OpenTransaction {
    /// Whether it has written something.
    wrote: bool,
    /// Whether it has read something.
    has_read: bool,
    /// What that has changed.
    effect: Effect,
    /// How many nested transactions are open in it.
    depth: u32,
}

impl<DB: Backend> Slot<DB> {
    pub(super) fn new(connection: DB::Connection) -> Self {
        Slot {
            connection: Mutex::new(Some(connection)),
            open: Mutex::new(None),
        }
    }

    pub(super) fn in_transaction(&self) -> bool {
        lock(&self.open).is_some()
    }

    fn begun(&self) {
        *lock(&self.open) = Some(OpenTransaction::default());
    }

    /// Notes a write in the open transaction.
    fn wrote(&self) {
        if let Some(open) = &mut *lock(&self.open) {
            open.wrote = true;
        }
    }

    /// Notes a read in the open transaction.
    fn has_read(&self) {
        if let Some(open) = &mut *lock(&self.open) {
            open.has_read = true;
        }
    }

    /// Notes what a statement in the open transaction has changed.
    fn affected(&self, effect: Effect) {
        if let Some(open) = &mut *lock(&self.open) {
            open.effect = open.effect.max(effect);
        }
    }

    /// One nested transaction more, or one less; says how many there were or are at most.
    fn nest(&self, change: impl FnOnce(u32) -> u32) -> u32 {
        let mut open = lock(&self.open);
        let Some(open) = &mut *open else { return 0 };
        let before = open.depth;
        open.depth = change(before);
        before.max(open.depth)
    }

    fn ended(&self) -> Option<OpenTransaction> {
        lock(&self.open).take()
    }
}

impl<DB: Backend> Severable for Slot<DB> {
    fn sever(&self) {
        let Some(mut connection) = lock(&self.connection).take() else {
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
    async fn control(&mut self, sql: SqlStr) -> Result<Vec<Step<DB>>, Error> {
        let arguments = None;
        self.attempt(&Request::<DB> { sql, arguments }).await
    }

    /// Begins a transaction, through the gate.
    pub(super) async fn begin_transaction(&mut self, sql: SqlStr) -> Result<Vec<Step<DB>>, Error> {
        let gate = self.shared().gate.clone();
        let injection = gate.enter().await;
        for (fault, strike) in injection.strikes() {
            if let Err(error) = self.strike(fault, strike, false).await {
                return Err(self.failed(error));
            }
        }
        let steps = self
            .control(sql)
            .await
            .map_err(|error| self.failed(error))?;
        self.lease.slot().begun();
        gate.leave(&injection).await;
        Ok(steps)
    }

    /// Commits the open transaction, through the gate; then the probes look.
    pub(super) async fn commit_transaction(&mut self, sql: SqlStr) -> Result<Vec<Step<DB>>, Error> {
        let shared = self.shared().clone();
        let injection = shared.gate.enter().await;
        tokio::time::sleep(shared.databases.latency()).await;
        let interrupted = Interrupted::by(&injection, &shared.gate);
        if interrupted == Interrupted::BeforeCommit {
            self.lease.slot().sever();
            self.forget_transaction("commit lost");
            return Err(broken_connection());
        }
        let steps = self.control(sql).await?;
        if let Some(open) = self.lease.slot().ended().filter(|open| open.wrote) {
            let databases = &shared.databases;
            databases.committed(&shared.gate, &shared.name, open.effect);
        }
        shared.gate.leave(&injection).await;
        if interrupted == Interrupted::AfterCommit {
            self.lease.slot().sever();
            return Err(broken_connection());
        }
        Ok(steps)
    }

    /// Whether a transaction is open on the connection.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.lease.slot().in_transaction()
    }

    /// Rolls the open transaction back now, if there is one; needs no virtual time.
    pub(super) fn roll_back(&mut self, why: &str) {
        let slot = self.lease.slot();
        if !slot.in_transaction() {
            return;
        }
        let undone = match lock(&slot.connection).as_mut() {
            Some(connection) => complete(connection.executor().execute("ROLLBACK")).is_ok(),
            // A crash or a fault has already rolled it back and closed the connection.
            None => {
                slot.ended();
                return;
            }
        };
        if !undone {
            slot.sever();
        }
        self.forget_transaction(why);
    }

    /// Begins a transaction within the open one: a savepoint, as with sqlx.
    pub(super) async fn begin_nested(&mut self) -> Result<Savepoint, Error> {
        let savepoint = Savepoint(self.lease.slot().nest(|depth| depth + 1));
        let begun = self.statement(savepoint.request("SAVEPOINT")).await;
        if begun.is_err() {
            self.lease.slot().nest(|depth| depth.saturating_sub(1));
        }
        begun.map(|_| savepoint)
    }

    /// Keeps what a nested transaction did, as far as the surrounding one is committed.
    pub(super) async fn commit_nested(&mut self, savepoint: Savepoint) -> Result<(), Error> {
        self.statement(savepoint.request("RELEASE SAVEPOINT"))
            .await?;
        self.lease.slot().nest(|depth| depth.saturating_sub(1));
        Ok(())
    }

    /// Undoes a nested transaction now; needs no virtual time.
    pub(super) fn roll_back_nested(&mut self, savepoint: Savepoint) {
        let slot = self.lease.slot();
        if !slot.in_transaction() {
            return;
        }
        slot.nest(|depth| depth.saturating_sub(1));
        let undone = match lock(&slot.connection).as_mut() {
            Some(connection) => complete(async {
                for control in ["ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT"] {
                    let sql = savepoint.request::<DB>(control).sql;
                    connection.executor().execute(sql).await?;
                }
                Ok::<(), Error>(())
            })
            .is_ok(),
            None => true,
        };
        if !undone {
            slot.sever();
        }
    }

    /// The open transaction is no more.
    fn forget_transaction(&self, why: &str) {
        if self.lease.slot().ended().is_some_and(|open| open.wrote) {
            let shared = self.shared();
            shared.gate.record(What::RolledBack {
                database: shared.name.clone(),
                why: why.to_owned(),
            });
        }
    }

    /// What plain SQL asks for: a transaction's beginning or end, or a statement.
    async fn carry_out(&mut self, request: Request<DB>) -> Result<Vec<Step<DB>>, Error> {
        let open = self.lease.slot().in_transaction();
        match Control::of(request.sql.as_str()) {
            Some(Control::Begin) if !open => self.begin_transaction(request.sql).await,
            Some(Control::Commit) if open => self.commit_transaction(request.sql).await,
            Some(Control::RollBack) if open => {
                self.shared().gate.clone().open().await;
                self.roll_back("by its owner");
                Ok(Vec::new())
            }
            _ => self.statement(request).await,
        }
    }

    /// One statement of the system, through the gate.
    async fn statement(&mut self, request: Request<DB>) -> Result<Vec<Step<DB>>, Error> {
        let shared = self.shared().clone();
        let gate = &shared.gate;
        let injection = gate.enter().await;
        tokio::time::sleep(shared.databases.latency()).await;
        let writes = is_write(request.sql.as_str());
        for (fault, strike) in injection.strikes() {
            if let Err(error) = self.strike(fault, strike, writes).await {
                return Err(self.failed(error));
            }
        }
        let steps = match (writes, self.lease.slot().in_transaction()) {
            (true, false) => self.autocommit(&request).await,
            (true, true) => {
                self.lease.slot().wrote();
                let steps = self.attempt(&request).await;
                if let Ok(steps) = &steps {
                    self.lease.slot().affected(self.effect(&request, steps));
                }
                steps
            }
            (false, _) => {
                let steps = self.attempt(&request).await;
                if steps.is_ok() && is_query(request.sql.as_str()) {
                    self.lease.slot().has_read();
                }
                steps
            }
        };
        gate.leave(&injection).await;
        steps.map_err(|error| self.failed(error))
    }

    /// A statement outside a transaction is its own transaction, with a commit that can be struck.
    async fn autocommit(&mut self, request: &Request<DB>) -> Result<Vec<Step<DB>>, Error> {
        let shared = self.shared().clone();
        let injection = shared.gate.enter().await;
        let interrupted = Interrupted::by(&injection, &shared.gate);
        if interrupted == Interrupted::BeforeCommit {
            self.lease.slot().sever();
            return Err(broken_connection());
        }
        let steps = self.attempt(request).await?;
        let effect = self.effect(request, &steps);
        shared
            .databases
            .committed(&shared.gate, &shared.name, effect);
        shared.gate.leave(&injection).await;
        if interrupted == Interrupted::AfterCommit {
            self.lease.slot().sever();
            return Err(broken_connection());
        }
        Ok(steps)
    }

    /// What a statement has changed, by the rows that it says it touched.
    fn effect(&self, request: &Request<DB>, steps: &[Step<DB>]) -> Effect {
        let results = steps.iter().filter_map(|step| step.as_ref().left());
        let rows = results.map(DB::rows_affected).sum();
        let shared = self.shared();
        let sql = request.sql.as_str();
        shared.databases.effect(&shared.name, sql, rows)
    }

    /// Whether a statement that writes may not wait for a lock. SQLite calls no busy handler once the
    /// transaction has read: the writer that it would wait for may be waiting for it
    /// (<https://sqlite.org/c3ref/busy_handler.html>).
    fn may_not_wait(&self) -> bool {
        let open = *lock(&self.lease.slot().open);
        self.shared().is_sqlite() && open.is_some_and(|open| open.has_read)
    }

    async fn strike(
        &mut self,
        fault: usize,
        strike: &StatementFault,
        writes: bool,
    ) -> Result<(), Error> {
        let gate = self.shared().gate.clone();
        match strike {
            StatementFault::Error => {
                gate.bit(fault, "statement error".to_owned());
                self.lease.slot().sever();
                return Err(broken_connection());
            }
            StatementFault::Locked { for_ms } => {
                gate.bit(fault, strike.to_string());
                if writes && self.may_not_wait() {
                    return Err(locked());
                }
                let held = Duration::from_millis(*for_ms);
                tokio::time::sleep(held.min(BUSY_TIMEOUT)).await;
                gate.open().await;
                if held > BUSY_TIMEOUT {
                    return Err(locked());
                }
            }
            StatementFault::Slow { delay_ms } => {
                gate.bit(fault, strike.to_string());
                tokio::time::sleep(Duration::from_millis(*delay_ms)).await;
                gate.open().await;
            }
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
            let may_wait = lock_state(&error) == LockState::Held && !self.may_not_wait();
            if !may_wait || waited >= BUSY_TIMEOUT {
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
        self.note_call(request);
        let guarded = self.lease.slot().in_transaction()
            && self.shared().needs_savepoint(request.sql.as_str());
        let shared = self.shared();
        let mut slot = lock(&self.lease.slot().connection);
        let connection = slot.as_mut().ok_or_else(broken_connection)?;
        if !guarded {
            let answer = complete(request.send(connection));
            return answer.inspect_err(|error| shared.note(error));
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
                Err(error) => {
                    shared.note(error);
                    return answer;
                }
                Ok(_) => "RELEASE SAVEPOINT stormglass",
            };
            connection.executor().execute(close).await?;
            answer
        })
    }

    fn note_call(&self, request: &Request<DB>) {
        let shared = self.shared();
        shared
            .gate
            .world()
            .called(shared.gate.host(), || IoCall::Statement {
                database: shared.name.clone(),
                connection: std::ptr::from_ref(self.lease.slot()).addr(),
                sql: request.sql.as_str().to_owned(),
                arguments: request.arguments.as_ref().and_then(DB::noted),
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

/// A transaction within a transaction, by its depth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Savepoint(u32);

impl Savepoint {
    fn request<DB: Database>(self, control: &str) -> Request<DB> {
        let sql = format!("{control} stormglass_nested_{}", self.0);
        Request {
            sql: AssertSqlSafe(sql).into_sql_str(),
            arguments: None,
        }
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

impl<'c, DB: Backend> Executor<'c> for &'c mut Connection<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step<DB>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let request = Request::new(query);
        let steps = async move {
            match self.carry_out(request?).await {
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
            let steps = self.carry_out(request?).await?;
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
            let mut slot = lock(&self.lease.slot().connection);
            let connection = slot.as_mut().ok_or_else(broken_connection)?;
            complete(connection.executor().prepare_with(sql, parameters))
        }
        .boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'c: 'e,
    {
        async move {
            self.shared().gate.open().await;
            let mut slot = lock(&self.lease.slot().connection);
            let connection = slot.as_mut().ok_or_else(broken_connection)?;
            complete(connection.executor().describe(sql))
        }
        .boxed()
    }
}
