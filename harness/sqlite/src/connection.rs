//! A connection: what it is about to do to its file, and what becomes of that.
//!
//! The layer below SQLite tells it each access to the file, the layer above each statement, in the order in which
//! SQLite makes them. Nothing is asked or told while the state is locked, and nobody is asked on a thread of a
//! process that is dead.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libsqlite3_sys as sqlite;
use stormglass_machine::living_host;

use crate::lock;
use crate::watch::{File, Watched};
use crate::witness::{
    Call, CommitFault, Failure, Fate, Kind, RolledBack, Statement, StatementFault, Witness,
};

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

#[derive(Default)]
struct State {
    /// The lock that it has of the database file, in SQLite's numbers.
    level: i32,
    /// The statements that have begun and not ended, in this order.
    statements: Vec<Running>,
    /// The transaction that may write, until what has become of it is told.
    transaction: Option<Transaction>,
    /// Whether a statement that may write has begun since the last transaction.
    has_touched: bool,
    /// What the next access meets.
    armed: Option<StatementFault>,
    /// The error that an access of the statement at work has met.
    met: Option<Code>,
    /// For which lock it waits, and since when.
    waiting: Option<(Lock, Instant)>,
    /// The text of the statement that ended last: one that is reset before its end commits only then.
    last_sql: Option<Arc<str>>,
}

/// A statement at work.
struct Running {
    /// SQLite's address of it, to tell it from others.
    id: usize,
    sql: Arc<str>,
    kind: Kind,
    in_transaction: bool,
}

/// Somebody's right to write.
#[derive(Default)]
struct Transaction {
    /// Whether it is more than one statement.
    is_explicit: bool,
    /// Whether something of it was written to the database file, or to its log.
    has_written: bool,
    /// Whether it is rolled back from its journal.
    plays_back: bool,
    /// What the witness wants to become of its commit, once it was asked.
    fate: Option<Fate<CommitFault>>,
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// It has taken effect, and its lock is about to be given back.
    Committed,
    /// It has given back its lock and has not taken effect, as far as is known yet.
    Ended,
}

/// A lock of a database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lock {
    /// Of the file, at this of SQLite's levels.
    File(i32),
    /// The right to write to the log.
    Log,
}

impl Lock {
    fn is_to_write(self) -> bool {
        self >= Lock::File(sqlite::SQLITE_LOCK_RESERVED)
    }
}

/// An access to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Sync,
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
        {
            let mut state = lock(&self.state);
            state.statements.retain(|own| own.id != id);
            state.statements.push(Running {
                id,
                sql: sql.into(),
                kind,
                in_transaction,
            });
            state.has_touched |= kind == Kind::Write;
            state.met = None;
        }
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

    /// A statement ends, and SQLite has told its error log about an error in it, or not.
    pub(crate) fn end_statement(&self, id: usize, error: Option<(Code, String)>) {
        if error
            .as_ref()
            .is_some_and(|(code, _)| *code == sqlite::SQLITE_SCHEMA)
        {
            // It is prepared and run again, as the same statement.
            return;
        }
        let is_busy = {
            let mut state = lock(&self.state);
            state.armed = None;
            if state.kind() == Some(Kind::RollBack)
                && let Some(transaction) = &mut state.transaction
            {
                // In exclusive locking mode no lock tells it.
                transaction.end();
            }
            state.waiting.take().is_some()
        };
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
        let mut state = lock(&self.state);
        state.last_sql = state.sql();
        state.statements.retain(|own| own.id != id);
        if state.transaction.is_none() {
            state.has_touched = false;
        }
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

    /// The file is about to be accessed; an error if it shall fail.
    pub(crate) fn before(&self, access: Access) -> Option<Code> {
        let mut state = lock(&self.state);
        let code = match (state.armed?, access) {
            (StatementFault::Io, Access::Read) => sqlite::SQLITE_IOERR_READ,
            (StatementFault::Io, Access::Write) => sqlite::SQLITE_IOERR_WRITE,
            (StatementFault::Io, Access::Sync) => sqlite::SQLITE_IOERR_FSYNC,
            (StatementFault::Full, Access::Write) => sqlite::SQLITE_FULL,
            _ => return None,
        };
        Some(state.meet(code))
    }

    /// A lock is about to be taken; an error if it cannot be.
    pub(crate) fn before_lock(&self, wanted: Lock) -> Option<Code> {
        let mut state = lock(&self.state);
        let error = match (state.armed, wanted) {
            (Some(StatementFault::Io), Lock::File(_)) => Some(sqlite::SQLITE_IOERR_LOCK),
            (Some(StatementFault::Io), Lock::Log) => Some(sqlite::SQLITE_IOERR_SHMLOCK),
            (Some(StatementFault::Full), _) if wanted.is_to_write() => Some(sqlite::SQLITE_FULL),
            _ => None,
        };
        if let Some(code) = error {
            return Some(state.meet(code));
        }
        if wanted.is_to_write() && !state.may_write() && self.file.is_held() {
            state.wait_for(wanted);
            return Some(sqlite::SQLITE_BUSY);
        }
        None
    }

    /// Another lock of the log than that to write is about to be taken; an error if it cannot be.
    pub(crate) fn before_other_lock(&self) -> Option<Code> {
        let mut state = lock(&self.state);
        let is_armed = state.armed == Some(StatementFault::Io);
        is_armed.then(|| state.meet(sqlite::SQLITE_IOERR_SHMLOCK))
    }

    /// A lock was taken, or somebody else has it.
    pub(crate) fn after_lock(&self, wanted: Lock, result: Code) {
        let waited = {
            let mut state = lock(&self.state);
            if result & 0xff == sqlite::SQLITE_BUSY {
                state.wait_for(wanted);
            }
            if result != sqlite::SQLITE_OK {
                return;
            }
            if let Lock::File(level) = wanted {
                state.level = state.level.max(level);
            }
            if matches!(wanted, Lock::File(sqlite::SQLITE_LOCK_RESERVED) | Lock::Log) {
                state.begin_transaction();
            }
            let waiting = state.waiting.take_if(|(lock, _)| *lock <= wanted);
            waiting.map(|(_, since)| since.elapsed())
        };
        if let Some(time) = waited {
            self.ask(|witness, call| witness.waited(call, time));
        }
    }

    /// The lock of the file was lowered to `level`.
    pub(crate) fn unlocked(&self, level: i32) {
        let committed = {
            let mut state = lock(&self.state);
            let had_reserved = state.level >= sqlite::SQLITE_LOCK_RESERVED;
            state.level = level;
            if !had_reserved || level >= sqlite::SQLITE_LOCK_RESERVED {
                return;
            }
            state.end_transaction()
        };
        if let Some(transaction) = committed {
            self.tell_commit(&transaction);
        }
    }

    /// The right to write to the log was given back.
    pub(crate) fn log_unlocked(&self) {
        // Whether it was a commit is told next.
        lock(&self.state).end_transaction();
    }

    /// The database file is about to be written to.
    pub(crate) fn writes(&self) {
        let mut state = lock(&self.state);
        // Below that it is the log that is copied into the file.
        if state.level >= sqlite::SQLITE_LOCK_RESERVED {
            state.transaction().has_written = true;
        }
    }

    /// The log is about to be written to, with a frame that ends a transaction or not; an error if that shall fail.
    pub(crate) fn writes_log(&self, is_commit: bool) -> Option<Code> {
        lock(&self.state).transaction().has_written = true;
        if is_commit { self.decide() } else { None }
    }

    /// The journal is read to roll back.
    pub(crate) fn plays_back(&self) {
        lock(&self.state).transaction().plays_back = true;
    }

    /// Everything is in the database file, which is about to be synchronised; an error if that shall fail.
    pub(crate) fn synchronises(&self) -> Option<Code> {
        let is_commit = {
            let state = lock(&self.state);
            let is_asked_to_roll_back = state.kind() == Some(Kind::RollBack);
            let transaction = state.transaction.as_ref();
            transaction.is_some_and(|own| own.has_written && !own.plays_back)
                && !is_asked_to_roll_back
        };
        if is_commit { self.decide() } else { None }
    }

    /// Asks the witness about a commit, once.
    fn decide(&self) -> Option<Code> {
        let is_new = |state: &State| {
            let transaction = state.transaction.as_ref();
            transaction.is_some_and(|own| own.fate.is_none())
        };
        if !is_new(&lock(&self.state)) {
            return None;
        }
        let fate = self.ask_about_commit(|witness, call| witness.committing(call));
        if let Some(transaction) = &mut lock(&self.state).transaction {
            transaction.fate = Some(fate);
        }
        if fate.fault != Some(CommitFault::Lost) {
            return None;
        }
        sleep(fate.after);
        self.tell_failed_commit();
        Some(COMMIT_FAILED)
    }

    /// A commit has taken effect; an error if its caller shall not know.
    pub(crate) fn took_effect(&self) -> Option<Code> {
        let (fate, over) = {
            let mut state = lock(&self.state);
            let level = state.level;
            let transaction = state.transaction.as_mut()?;
            transaction.stage = Stage::Committed;
            let fate = transaction.fate.unwrap_or_default();
            // With a journal, others can read the file once its lock is given back, which comes next.
            let is_readable = level < sqlite::SQLITE_LOCK_RESERVED;
            (
                fate,
                is_readable.then(|| state.take_transaction()).flatten(),
            )
        };
        if let Some(over) = over {
            self.tell_commit(&over.transaction);
        }
        (fate.fault == Some(CommitFault::AnswerLost)).then_some(COMMIT_FAILED)
    }
}

/// A transaction that is over, and what the connection knew of it.
struct Over {
    transaction: Transaction,
    has_touched: bool,
    kind: Option<Kind>,
}

impl State {
    /// The text of the statement that is at work.
    fn sql(&self) -> Option<Arc<str>> {
        self.statements.last().map(|own| own.sql.clone())
    }

    /// What the statement that is at work is for.
    fn kind(&self) -> Option<Kind> {
        self.statements.last().map(|own| own.kind)
    }

    /// Whether it has the right to write.
    fn may_write(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|own| own.stage == Stage::Open)
    }

    /// The transaction that may write. In exclusive locking mode it is not seen to take its locks.
    fn transaction(&mut self) -> &mut Transaction {
        if self.transaction.is_none() {
            self.begin_transaction();
        }
        self.transaction.get_or_insert_default()
    }

    fn begin_transaction(&mut self) {
        if self.may_write() {
            return;
        }
        let statement = self.statements.last();
        let is_explicit =
            statement.is_some_and(|own| own.in_transaction || own.kind == Kind::Begin);
        self.transaction = Some(Transaction {
            is_explicit,
            ..Transaction::default()
        });
    }

    /// The right to write was given back: the transaction, if it has taken effect and nobody was told.
    fn end_transaction(&mut self) -> Option<Transaction> {
        let transaction = self.transaction.as_mut()?;
        if transaction.stage == Stage::Committed {
            return self.take_transaction().map(|over| over.transaction);
        }
        transaction.end();
        None
    }

    fn take_transaction(&mut self) -> Option<Over> {
        let transaction = self.transaction.take()?;
        Some(Over {
            transaction,
            has_touched: std::mem::take(&mut self.has_touched),
            kind: self.kind(),
        })
    }

    /// An access meets what was armed.
    fn meet(&mut self, code: Code) -> Code {
        self.armed = None;
        self.met = Some(code);
        code
    }

    fn wait_for(&mut self, wanted: Lock) {
        if self.waiting.is_none() {
            self.waiting = Some((wanted, Instant::now()));
        }
    }
}

impl Transaction {
    fn end(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Ended;
        }
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

/// Lets virtual time pass; the real machine's time is none of a run's business.
fn sleep(time: Duration) {
    if !time.is_zero() && living_host().is_some() {
        std::thread::sleep(time);
    }
}
