//! Errors: why there is no real server, or why it could not be asked.

use std::io;

/// Why the real server could not do what was asked of it. Its text fits after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server is installed, and none was named.
    #[error(
        "no PostgreSQL server found: install one (Debian: `apt install postgresql`), or name one in \
         STORMGLASS_POSTGRES=postgres://user:password@host:port/database"
    )]
    NotInstalled,
    /// `STORMGLASS_POSTGRES` does not name a server.
    #[error("STORMGLASS_POSTGRES is not postgres://user:password@host:port/database: {0}")]
    Address(String),
    /// A private server could not be started.
    #[error("the private PostgreSQL server did not start: {0}")]
    Start(String),
    /// The real server could not be reached, or has gone.
    #[error("the real PostgreSQL server cannot be reached: {0}")]
    Io(#[from] io::Error),
    /// The real server refused.
    #[error("{message} (SQLSTATE {code})")]
    Refused {
        /// Its SQLSTATE.
        code: String,
        /// What it said.
        message: String,
    },
}
