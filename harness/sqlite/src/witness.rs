//! The witness: who is told what a run's databases do, and says what shall become of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Who called, on which database.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The host whose thread made the call.
    pub host: &'a Arc<str>,
    /// The database file, as SQLite knows it: absolute, without symbolic links.
    pub file: &'a Path,
    /// The connection, numbered from 1 in the order in which those of the watched folder were opened.
    pub connection: u64,
    /// The SQL text of the statement that is at work, without the values bound to it; empty if there is none, as when
    /// a connection is closed.
    pub sql: &'a str,
}

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It begins a transaction, or is a `SAVEPOINT` outside of one.
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    /// `ROLLBACK` of the whole transaction.
    RollBack,
    /// `SAVEPOINT` within a transaction, `ROLLBACK TO`, or `RELEASE`, which commits if it names the outermost one.
    Savepoint,
    /// It sets or asks a property of the connection or the file.
    Pragma,
    /// It may write (`sqlite3_stmt_readonly`).
    Write,
    /// It only reads.
    Read,
}

/// A statement that is about to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// What it is for.
    pub kind: Kind,
    /// Whether a transaction is open before it.
    pub in_transaction: bool,
}

/// What shall become of something: when, and what goes wrong. By default it goes on at once, and nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate<F> {
    /// How long it takes, in virtual time. A statement waits before it runs; a commit takes effect and is answered so
    /// much later.
    pub after: Duration,
    /// What goes wrong.
    pub fault: Option<F>,
}

impl<F> Default for Fate<F> {
    fn default() -> Self {
        Fate {
            after: Duration::ZERO,
            fault: None,
        }
    }
}

impl<F> Fate<F> {
    /// Nothing goes wrong, but it takes `time`.
    pub fn after(time: Duration) -> Self {
        Fate {
            after: time,
            fault: None,
        }
    }
}

impl<F> From<F> for Fate<F> {
    fn from(fault: F) -> Self {
        Fate {
            after: Duration::ZERO,
            fault: Some(fault),
        }
    }
}

/// What can go wrong with a statement.
///
/// Errors come from where SQLite meets the operating system, so that SQLite itself does what follows from them: it
/// rolls the transaction back where it does so for real, and nothing is corrupted. A statement that asks the operating
/// system for nothing, such as a deferred `BEGIN` or `SELECT 1`, therefore has no error to meet; nor have `ROLLBACK` and
/// what concerns savepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementFault {
    /// The next access to the file fails, once: `SQLITE_IOERR` and its extensions.
    Io,
    /// The next write, or the lock that it needs, finds the disk full, once: `SQLITE_FULL`. Meets no reading statement.
    Full,
    /// Somebody else has the write lock for so long, as [`Watch::lock`](crate::Watch::lock); without effect if the
    /// connection itself has it.
    Locked(Duration),
}

/// What can go wrong with a commit. Either way the caller gets `SQLITE_IOERR_FSYNC`, and cannot tell which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// It fails and its transaction is rolled back.
    Lost,
    /// It takes effect, and fails all the same.
    ///
    /// Not in a transaction over several attached files with rollback journals: SQLite asks nobody any more once
    /// that has taken effect.
    AnswerLost,
}

/// Why a transaction was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolledBack {
    /// By `ROLLBACK`.
    Asked,
    /// A statement failed, or a commit did.
    Failed,
    /// The connection was closed.
    Closed,
}

/// A statement that has failed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// SQLite's extended result code (<https://sqlite.org/rescode.html>).
    pub code: i32,
    /// What SQLite says about it.
    pub message: &'a str,
}

/// Who is told what the databases of a run do, on the thread that does it and in virtual time.
///
/// Nothing is told of processes that are dead. A witness that looks at a file does so by a connection of its own,
/// opened and used within [`stormglass_machine::outside`], so that virtual time stands still and nobody is told of that;
/// what it opens on the thread that calls it is not watched either. That thread may be one of an async runtime, which
/// cannot block on a future of another one. A witness must not use the connection that calls it. If it panics it is
/// asked no more, and [`Watch`](crate::Watch) panics in its stead when it is dropped.
pub trait Witness: Send + Sync {
    /// A statement is about to run. It holds no lock that it did not have before.
    fn statement(&self, call: &Call<'_>, statement: Statement) -> Fate<StatementFault> {
        let _ = (call, statement);
        Fate::default()
    }

    /// A statement has come to its end, and its caller does not know yet. A commit of its own was told before.
    fn done(&self, call: &Call<'_>) {
        let _ = call;
    }

    /// A commit that has written something is about to take effect: of a transaction, or of a statement outside of one.
    fn committing(&self, call: &Call<'_>) -> Fate<CommitFault> {
        let _ = call;
        Fate::default()
    }

    /// A commit that has written something has taken effect, and its caller does not know yet.
    ///
    /// Another connection can read the file now, and sees the state that this commit has left; in exclusive locking
    /// mode none can.
    fn committed(&self, call: &Call<'_>) {
        let _ = call;
    }

    /// A transaction (not a single statement) that had written something was rolled back. In exclusive
    /// locking mode that is seen only of one so large that it was written to the disk before its end.
    fn rolled_back(&self, call: &Call<'_>, why: RolledBack) {
        let _ = (call, why);
    }

    /// A statement has failed, as far as SQLite tells its error log; its caller does not know yet.
    fn failed(&self, call: &Call<'_>, failure: &Failure<'_>) {
        let _ = (call, failure);
    }

    /// A write has found no room, because of [`Watch::set_full`](crate::Watch::set_full).
    fn ran_full(&self, call: &Call<'_>) {
        let _ = call;
    }

    /// A lock was got after waiting for so long, in virtual time.
    fn waited(&self, call: &Call<'_>, time: Duration) {
        let _ = (call, time);
    }
}
