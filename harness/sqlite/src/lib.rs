//! SQLite under a run: every commit is seen, and what can go wrong with a database goes wrong on demand.
//!
//! A service on the machine uses SQLite by `sqlx`, `rusqlite`, `diesel` or whatever else links `libsqlite3-sys`, as it
//! is. This package sits below it, where SQLite meets the operating system: [`watch`] tells a [`Witness`] what is done
//! to the databases in a folder, and enacts what the witness wants to happen to it.
//!
//! Reading order: `witness` has the questions and the answers; `watch` knows which folders are watched; `connection`
//! is what one connection is about, and decides; `vfs` and `vfs/file` are the layer between SQLite and the file,
//! `trace` sees statements begin and end, `functions` makes `random()` repeat with the seed; `statement` tells what SQL
//! is for; `vfs/log` keeps logs in memory; `reader` is for whoever looks at what services have done.
//!
//! # What is seen where
//!
//! Commits are seen at the file: a frame that ends a transaction is about to be written to the log (WAL), or the
//! database file is about to be synchronised (rollback journals); and SQLite tells its file when a commit has taken
//! effect (`SQLITE_FCNTL_COMMIT_PHASETWO`, <https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html>). So it does not
//! matter how a transaction was begun and ended, and SQLite's hooks for commit, rollback, update, preupdate, progress
//! and the log of a WAL are left to the service.
//!
//! # What cannot be shared, and what is not seen
//!
//! - `sqlite3_trace_v2` has one place per connection. A service that takes it (rusqlite's `trace_v2` and `profile`)
//!   hides its statements from the witness on that connection; commits are seen all the same.
//! - `SQLITE_CONFIG_LOG` has one place per process. A service that takes it hides why statements fail.
//! - `sqlite3_reset_auto_extension` ends the watching of statements on later connections.
//! - `random()` and `randomblob()` are ours on connections of a run, which `PRAGMA function_list` shows. SQLite's own
//!   numbers still choose the names of temporary files, salts of logs, a row's number once the largest one is taken, and
//!   what a subquery calls the fifth of its columns that have one name.
//! - Databases in memory, and those of another VFS than the default (which may be asked for by its name, `unix`), are
//!   not watched. Of attached files commits are seen, one for each, without the statement's text and without rollbacks.
//! - What is in a log that is kept in memory ([`keep_logs_in_memory`]) is not in its `-wal` file, and a connection by another VFS
//!   than the default does not see it. There is no `-shm` file, and other processes find the database locked.
//! - `journal_mode = OFF` leaves SQLite nothing to roll a lost commit back with. What it has written stays.
//! - `ROLLBACK TO` undoes what was written, and SQLite writes that: a transaction of which nothing is left is seen to
//!   commit all the same.
//! - A second copy of SQLite in the process, or one that is built with another version of `libsqlite3-sys`, is not seen
//!   at all.
//! - A connection that threads share, and a cache that connections share, have mutexes, which are the real machine's. Who
//!   waits for a lock or by a fault keeps them, and a thread of the run that wants one meanwhile stops the run.

mod connection;
mod functions;
mod reader;
mod statement;
mod time;
mod trace;
mod vfs;
mod watch;
mod witness;

pub use reader::{ReadError, Reader, Value};
pub use vfs::{LogsInMemory, keep_logs_in_memory};
pub use watch::{Watch, watch};
pub use witness::{
    Call, CommitFault, Failure, Fate, Kind, RolledBack, Statement, StatementFault, Witness,
};

/// Locks `mutex`, also after a panic of a thread that held it: what is shared here is changed in one step.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
