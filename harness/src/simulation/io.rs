//! I/O: what a run asks of databases and sockets, whoever does it.
//!
//! A benchmark asks the same of the raw libraries and compares. Nothing else reads this, so it is
//! hidden from the documentation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{Any, AnyArguments};

use crate::database::Backend;

/// One call.
#[derive(Clone, Debug)]
pub struct Io {
    /// Virtual time since the start of the run.
    pub at: Duration,
    /// The host that did it.
    pub host: Arc<str>,
    /// What was called for.
    pub call: IoCall,
}

/// What was called for.
#[derive(Clone, Debug)]
pub enum IoCall {
    /// A statement was sent to a database.
    Statement {
        /// The database.
        database: Arc<str>,
        /// The connection; equal numbers are the same connection.
        connection: usize,
        /// The SQL text.
        sql: String,
        /// The bound values, if there are any and the statement is one of `sqlx::Any`.
        arguments: Option<Arguments>,
    },
    /// Bytes were written to a socket.
    Write {
        /// The host at the other end.
        to: Arc<str>,
        /// How many bytes.
        bytes: usize,
    },
}

/// The bound values of a statement.
#[derive(Clone)]
pub struct Arguments(Arc<AnyArguments>);

impl Arguments {
    pub(crate) fn new(arguments: AnyArguments) -> Self {
        Arguments(Arc::new(arguments))
    }

    /// A copy that can be bound.
    pub fn copy(&self) -> AnyArguments {
        <Any as Backend>::copy(&self.0)
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arguments").finish_non_exhaustive()
    }
}
