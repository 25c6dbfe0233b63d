//! What the bridge has to know about each of sqlx's databases.

use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{Any, AnyArguments, AnyConnectOptions, AnyQueryResult};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgQueryResult, Postgres};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteQueryResult, SqliteSynchronous,
};
use sqlx::{AnyConnection, ConnectOptions, Connection as _, Database, Executor, Sqlite};

use super::store::Engine;
use crate::simulation::Arguments;

/// One of sqlx's databases, as far as the bridge has to tell them apart. Implemented for
/// `sqlx::Sqlite`, `sqlx::Postgres` and `sqlx::Any`; not meant to be implemented elsewhere.
pub trait Backend:
    Database<Connection: Send + for<'c> IntoExecutor<'c, Self>, Arguments: Sync>
{
    /// Whether a pool of this type can work on `engine`.
    #[doc(hidden)]
    fn serves(engine: &Engine) -> bool;

    /// Opens a connection that never waits in real time.
    #[doc(hidden)]
    fn open(url: &str) -> impl Future<Output = sqlx::Result<Self::Connection>> + Send;

    /// A copy of the arguments, so that a statement that met a lock can be tried again.
    #[doc(hidden)]
    fn copy(arguments: &Self::Arguments) -> Self::Arguments;

    /// How many rows a statement touched.
    #[doc(hidden)]
    fn rows_affected(result: &Self::QueryResult) -> u64;

    /// A copy for a record of the run's calls, where the type keeps them in a form that others can
    /// bind.
    #[doc(hidden)]
    fn noted(_: &Self::Arguments) -> Option<Arguments> {
        None
    }
}

/// That `&mut Self` is an executor, in a form that other bounds can imply.
#[doc(hidden)]
pub trait IntoExecutor<'c, DB: Database> {
    /// The executor.
    type Executor: Executor<'c, Database = DB>;

    /// `self`, as the executor that it is.
    fn executor(&'c mut self) -> Self::Executor;
}

macro_rules! into_executor {
    ($connection:ty, $database:ty) => {
        impl<'c> IntoExecutor<'c, $database> for $connection {
            type Executor = &'c mut $connection;

            fn executor(&'c mut self) -> Self::Executor {
                self
            }
        }
    };
}

into_executor!(SqliteConnection, Sqlite);
into_executor!(PgConnection, Postgres);
into_executor!(AnyConnection, Any);

/// SQLite waits for locks in real time unless told otherwise; waiting is the bridge's, in virtual
/// time. What a run writes is thrown away, so nothing has to reach the disk.
const SQLITE_PRAGMAS: &str = "PRAGMA busy_timeout = 0; PRAGMA synchronous = OFF;";

/// The shortest wait that PostgreSQL can be told. Only one statement is ever in flight, so whoever
/// holds the lock cannot let go of it meanwhile, and waiting longer would be in vain.
const POSTGRES_LOCK_TIMEOUT: &str = "SET lock_timeout = '1ms'";

impl Backend for Sqlite {
    fn serves(engine: &Engine) -> bool {
        matches!(engine, Engine::Sqlite)
    }

    async fn open(url: &str) -> sqlx::Result<SqliteConnection> {
        SqliteConnectOptions::from_str(url)?
            .busy_timeout(Duration::ZERO)
            .synchronous(SqliteSynchronous::Off)
            .disable_statement_logging()
            .connect()
            .await
    }

    fn copy(arguments: &SqliteArguments) -> SqliteArguments {
        arguments.clone()
    }

    fn rows_affected(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }
}

impl Backend for Postgres {
    fn serves(engine: &Engine) -> bool {
        matches!(engine, Engine::Postgres { .. })
    }

    async fn open(url: &str) -> sqlx::Result<PgConnection> {
        let mut connection = PgConnectOptions::from_str(url)?
            .disable_statement_logging()
            .connect()
            .await?;
        (&mut connection).execute(POSTGRES_LOCK_TIMEOUT).await?;
        Ok(connection)
    }

    fn copy(arguments: &PgArguments) -> PgArguments {
        arguments.clone()
    }

    fn rows_affected(result: &PgQueryResult) -> u64 {
        result.rows_affected()
    }
}

impl Backend for Any {
    fn serves(_: &Engine) -> bool {
        true
    }

    async fn open(url: &str) -> sqlx::Result<AnyConnection> {
        sqlx::any::install_default_drivers();
        let options = AnyConnectOptions::from_str(url)?.disable_statement_logging();
        let mut connection = AnyConnection::connect_with(&options).await?;
        let settings = match url.starts_with("sqlite:") {
            true => SQLITE_PRAGMAS,
            false => POSTGRES_LOCK_TIMEOUT,
        };
        (&mut connection).execute(sqlx::raw_sql(settings)).await?;
        Ok(connection)
    }

    fn copy(arguments: &AnyArguments) -> AnyArguments {
        let mut copy = AnyArguments::default();
        copy.values.0.clone_from(&arguments.values.0);
        copy
    }

    fn rows_affected(result: &AnyQueryResult) -> u64 {
        result.rows_affected()
    }

    fn noted(arguments: &AnyArguments) -> Option<Arguments> {
        Some(Arguments::new(Self::copy(arguments)))
    }
}

/// What a failed statement says about locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockState {
    /// Somebody holds the lock; waiting helps.
    Held,
    /// Another failure, or one that only a new transaction gets past.
    NoMatter,
}

/// Reads the engine's own error codes: SQLite's `SQLITE_BUSY` (5) and `SQLITE_LOCKED` (6), but not
/// `SQLITE_BUSY_SNAPSHOT` (517), which no waiting cures; PostgreSQL's `lock_not_available`.
pub(super) fn lock_state(error: &sqlx::Error) -> LockState {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some("5" | "6" | "55P03") => LockState::Held,
        _ => LockState::NoMatter,
    }
}

/// Whether the engine could not store or read its own files, or is gone: SQLite's `SQLITE_IOERR` (10),
/// `SQLITE_FULL` (13) and `SQLITE_CANTOPEN` (14) in the low byte of its codes; of PostgreSQL the
/// classes 53 (insufficient resources), 57P (the server goes down) and 58 (system error), and a broken
/// socket.
pub(super) fn is_storage_failure(error: &sqlx::Error) -> bool {
    if matches!(error, sqlx::Error::Io(_)) {
        return true;
    }
    let code = error.as_database_error().and_then(|error| error.code());
    let Some(code) = code.as_deref() else {
        return false;
    };
    // PostgreSQL's codes have five characters, and SQLite's never that many.
    match code.len() {
        5 => ["53", "57P", "58"]
            .iter()
            .any(|class| code.starts_with(class)),
        _ => code
            .parse()
            .is_ok_and(|code: u32| matches!(code & 0xff, 10 | 13 | 14)),
    }
}
