//! How injected database faults look to the system: the errors that sqlx would give.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;

use sqlx::Error;
use sqlx::error::{DatabaseError, ErrorKind};

use crate::nemesis::Injection;
use crate::plan::CommitFault;
use crate::simulation::world::Gate;

/// Whether a commit is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// It is not.
    No,
    /// The connection breaks before the database has committed.
    BeforeCommit,
    /// The connection breaks after it, so that the caller cannot know.
    AfterCommit,
}

impl Interrupted {
    /// What the faults that hit a commit make of it; they count as bitten.
    pub(super) fn by(injection: &Injection<CommitFault>, gate: &Gate) -> Self {
        let mut interrupted = Interrupted::No;
        for (fault, strike) in injection.strikes() {
            interrupted = match (strike, interrupted) {
                (CommitFault::Lost, _) => Interrupted::BeforeCommit,
                (CommitFault::AnswerLost, Interrupted::No) => Interrupted::AfterCommit,
                // A commit is struck only once.
                (CommitFault::AnswerLost, _) => continue,
            };
            gate.bit(fault, strike.to_string());
        }
        interrupted
    }
}

/// The error of a connection that broke.
pub(super) fn broken_connection() -> Error {
    Error::Io(io::Error::new(
        io::ErrorKind::ConnectionReset,
        "connection to the database lost",
    ))
}

/// The error of a lock that was held for too long.
pub(super) fn locked() -> Error {
    Error::Database(Box::new(Locked))
}

#[derive(Debug, thiserror::Error)]
#[error("(code: 5) database is locked")]
struct Locked;

impl DatabaseError for Locked {
    fn message(&self) -> &str {
        "database is locked"
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("5"))
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}
