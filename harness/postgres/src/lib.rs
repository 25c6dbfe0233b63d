//! PostgreSQL as a host of a simulated run: a real server's behaviour, in virtual time.
//!
//! A service connects to it as to any other server, with any client. What it asks is answered by a real
//! PostgreSQL server, while virtual time stands still; what the real one would have to wait for (a lock, a
//! timeout, `pg_sleep`) is waited for in virtual time. So its locks, snapshots, constraints and errors are
//! the real ones, and yet a run repeats with its seed.
//!
//! Reading order: [`Cluster`] is a real server, which `private` starts, and [`Database`] a database on it for
//! one run; [`Server`] is what runs on a host of the machine, with a `connection` for each client; `session`
//! knows what a client has prepared and what it asks for (`statement`); `engine` carries it out, one batch at
//! a time, on `backend`s of the real server; [`Witness`] is told of it and decides which faults are met.
//! `slot` is how backends get to know virtual time (see `preload/backend.rs`); `client` is the library's own
//! way to ask the real server; `wire` is the protocol.
//!
//! Not modelled: replication, TLS, passwords (whoever connects is let in), `idle_session_timeout` (who idles
//! outside of a transaction may do so for ever), and what needs a server of one's own, such as its configuration. Transaction numbers (`xmin`, `txid_current()`), object numbers and process
//! numbers in the server's own views are the real server's, and differ from run to run; so does what it says
//! about itself (`pg_stat_*`, `pg_postmaster_start_time()`, versions).

mod backend;
mod client;
mod cluster;
mod connection;
mod database;
mod engine;
mod error;
mod place;
mod private;
mod server;
mod session;
mod slot;
mod statement;
mod wire;
mod witness;

pub use client::{Observer, Row};
pub use cluster::{Cluster, Template};
pub use database::Database;
pub use error::Error;
pub use server::{Server, Settings, Shutdown};
pub use statement::{Kind, Statement};
pub use witness::{Batch, Commit, Failure, Fate, Session, Undone, Witness};

/// Locks `mutex`, also after a panic of a thread that held it: what is shared is changed in one step.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
