//! Why a run came to no result: the harness, what it runs on, or how it is used. No such error is a
//! verdict on the system.

use crate::database::{ReadError, StoreError};
use crate::plan::Misfit;

/// Why a run came to no result. None of these is a verdict on the system.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The databases could not be created.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine itself failed, as it does on a full disk: not a fault of the plan.
    #[error(
        "the storage of database `{database}` failed: {source}; make room in /dev/shm or in the \
         folder for temporary files, or run less at once"
    )]
    Storage {
        /// The database.
        database: String,
        /// What the driver said.
        #[source]
        source: ReadError,
    },
    /// A probe or a view cannot be read.
    #[error(
        "failed to read the probe or view `{query}` of database `{database}`: {source}{}",
        of_a_missing_table(source)
    )]
    Probe {
        /// The database.
        database: String,
        /// The query.
        query: String,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// The plan is not one of this system.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The system has operations but nothing carries them out, or the other way round.
    #[error("system `{0}` has no operations: call `System::operations`")]
    NoOperations(String),
    /// The system's description cannot be meant.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// A host came to an end by itself as often as it was started, without any fault.
    #[error(
        "host `{host}` cannot be tested: without any fault it ended {times} times as soon as it was \
         started, the last time with: {error}"
    )]
    NeverUp {
        /// The host.
        host: String,
        /// How often it was started.
        times: u64,
        /// The last error.
        error: String,
    },
    /// The machines could not go on.
    #[error(transparent)]
    Machine(#[from] stormglass_machine::RunError),
}

/// What is wrong with the description of a system, all of it in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(String);

/// Refuses a description with which something is wrong.
pub(crate) fn refuse(wrong: Vec<String>) -> Result<(), Misuse> {
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Misuse(wrong.join("; "))),
    }
}

/// What to do about a table that is not there yet when a run begins.
fn of_a_missing_table(error: &ReadError) -> &'static str {
    let text = error.to_string();
    if text.contains("no such table") || text.contains("42P01") {
        "; a probe looks from the first commit on, so tables that a service makes by migrations of its own have to be in \
         the schema of `Database::new` as well"
    } else {
        ""
    }
}
