//! A connection: what it is about to do to its file, and what becomes of that.
//!
//! The layer below SQLite tells it each access to the file, the layer above each statement, in the order in which
//! SQLite makes them. Nothing is asked or told while the state is locked, and nobody is asked on a thread of a
//! process that is dead. `state` is what it remembers, `access` what it says to accesses.

mod access;
mod state;

use std::sync::{Arc, Mutex};

use libsqlite3_sys as sqlite;
use stormglass_machine::living_host;

use crate::lock;
use crate::time::sleep;
use crate::watch::{File, Watched};
use crate::witness::{
    Call, CommitFault, Failure, Kind, RolledBack, Statement, StatementFault, Witness,
};

pub(crate) use access::Access;
pub(crate) use state::Lock;
use state::{Running, Stage, State, Transaction};

/// SQLite's result codes.
pub(crate) type Code = i32;

/// What both kinds of failed commits look like.
const COMMIT_FAILED: Code = sqlite::SQLITE_IOERR_FSYNC;

/// A connection to a watched file.
pub(crate) struct Connection {
    watched: Arc<Watched>,
    file: Arc<File>,
    number: u64,
    state: Mutex<State>,
}

impl Connection {
    pub(crate) fn new(watched: Arc<Watched>, file: Arc<File>) -> Self {
        Connection {
            number: watched.next_connection(),
            watched,
            file,
            state: Mutex::default(),
        }
    }

    /// Lets the witness say something about what the current thread does.
    fn ask<T: Default>(&self, question: impl FnOnce(&dyn Witness, &Call<'_>) -> T) -> T {
        let sql = lock(&self.state).sql();
        self.ask_about(sql, question)
    }

    /// As [`Self::ask`], about a commit.
    fn ask_about_commit<T: Default>(
        &self,
        question: impl FnOnce(&dyn Witness, &Call<'_>) -> T,
    ) -> T {
        let sql = {
            let state = lock(&self.state);
            state.sql().or_else(|| state.last_sql.clone())
        };
        self.ask_about(sql, question)
    }

    fn ask_about<T: Default>(
        &self,
        sql: Option<Arc<str>>,
        question: impl FnOnce(&dyn Witness, &Call<'_>) -> T,
    ) -> T {
        let Some(host) = living_host() else {
            return T::default();
        };
        let call = Call {
            host: &host,
            file: &self.file.path,
            connection: self.number,
            sql: sql.as_deref().unwrap_or_default(),
        };
        self.watched.ask(|witness| question(witness, &call))
    }

    /// A statement begins; what goes wrong with it is armed, and told so that the cache can be emptied.
    pub(crate) fn begin_statement(
        &self,
        id: usize,
        sql: &str,
        kind: Kind,
        in_transaction: bool,
    ) -> bool {
        lock(&self.state).starts(Running {
            id,
            sql: sql.into(),
            kind,
            in_transaction,
            is_expected_again: false,
        });
        let statement = Statement {
            kind,
            in_transaction,
        };
        let fate = self.ask(|witness, call| witness.statement(call, statement));
        sleep(fate.after);
        match fate.fault {
            Some(StatementFault::Locked(time)) => {
                // Nobody can take the lock from who has it.
                if !lock(&self.state).may_write() {
                    self.file.hold(time);
                }
                false
            }
            fault => {
                let fault = fault.filter(|fault| can_meet(kind, *fault));
                lock(&self.state).armed = fault;
                fault.is_some()
            }
        }
    }

    /// A statement ends. It has stopped on its way if it met a lock that it did not get; `error` is what SQLite has told
    /// its error log.
    pub(crate) fn end_statement(
        &self,
        id: usize,
        has_stopped: bool,
        error: impl FnOnce() -> Option<(Code, String)>,
    ) {
        if !lock(&self.state).brings_forward(id) {
            // It is a part of another one.
            return;
        }
        let error = error();
        if matches!(error, Some((sqlite::SQLITE_SCHEMA, _))) {
            lock(&self.state).expects_again(id);
            return;
        }
        let is_busy = lock(&self.state).stops() && has_stopped;
        let has_failed = self.settle();
        let met = lock(&self.state).met.take();
        match (&error, met) {
            (Some((code, message)), _) => self.tell_failure(*code, message),
            // The error log is not told of commits that fail.
            (None, Some(sqlite::SQLITE_FULL)) if has_failed => {
                self.tell_failure(sqlite::SQLITE_FULL, "database or disk is full");
            }
            (None, Some(code)) if has_failed => self.tell_failure(code, "disk I/O error"),
            _ if is_busy => self.tell_failure(sqlite::SQLITE_BUSY, "database is locked"),
            _ => {}
        }
        self.ask_about_commit(|witness, call| witness.done(call));
        lock(&self.state).forgets(id);
    }

    /// The connection is closed.
    pub(crate) fn close(&self) {
        {
            let mut state = lock(&self.state);
            state.statements.clear();
            if let Some(transaction) = &mut state.transaction {
                transaction.end();
            }
        }
        self.settle();
    }

    /// Tells what has become of a transaction that is over; whether it has failed.
    fn settle(&self) -> bool {
        let over = {
            let mut state = lock(&self.state);
            match &state.transaction {
                Some(own) if own.stage != Stage::Open => state.take_transaction(),
                _ => None,
            }
        };
        let Some(over) = over else { return false };
        if over.transaction.stage == Stage::Committed {
            // In exclusive locking mode the lock is never given back.
            self.tell_commit(&over.transaction);
            return false;
        }
        let why = match over.kind {
            Some(Kind::RollBack) => RolledBack::Asked,
            Some(_) => RolledBack::Failed,
            None => RolledBack::Closed,
        };
        if over.transaction.is_explicit && over.has_touched {
            self.ask(|witness, call| witness.rolled_back(call, why));
        }
        why == RolledBack::Failed
    }

    fn tell_commit(&self, transaction: &Transaction) {
        if !transaction.has_written {
            return;
        }
        self.ask_about_commit(|witness, call| witness.committed(call));
        let fate = transaction.fate.unwrap_or_default();
        sleep(fate.after);
        if fate.fault == Some(CommitFault::AnswerLost) {
            self.tell_failed_commit();
        }
    }

    /// Tells what SQLite's error log is not told.
    fn tell_failed_commit(&self) {
        self.tell_failure(COMMIT_FAILED, "disk I/O error");
    }

    fn tell_failure(&self, code: Code, message: &str) {
        let failure = Failure { code, message };
        self.ask_about_commit(|witness, call| witness.failed(call, &failure));
    }
}

/// Whether a statement can meet an error of the disk before it is done.
fn can_meet(kind: Kind, fault: StatementFault) -> bool {
    match kind {
        // An error would show with a later statement, or in what is thrown away.
        Kind::RollBack | Kind::Savepoint => false,
        Kind::Read => fault != StatementFault::Full,
        _ => true,
    }
}
