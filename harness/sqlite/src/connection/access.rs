//! Accesses of a connection to its file, journal and log: what they tell about its transaction, and which of them fail.

use libsqlite3_sys as sqlite;

use super::state::{Lock, Stage, State};
use super::{COMMIT_FAILED, Code, Connection};
use crate::lock;
use crate::time::sleep;
use crate::witness::{CommitFault, Kind, StatementFault};

/// An access to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Sync,
}

impl Connection {
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

    /// Whether its files cannot grow.
    pub(crate) fn has_no_room(&self) -> bool {
        self.file.is_full()
    }

    /// A file would have to grow and cannot.
    pub(crate) fn runs_full(&self) -> Code {
        self.ask_about_commit(|witness, call| witness.ran_full(call));
        lock(&self.state).met = Some(sqlite::SQLITE_FULL);
        sqlite::SQLITE_FULL
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
