//! Database engines and how a service's schema is brought into one.
//!
//! The scripts say `IF NOT EXISTS`, so that applying them again changes nothing; changes to an existing table are not
//! handled here.

use crate::database::Database;

/// A database engine that the services run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The text of a file of migrations, whose name may be given in parts.
macro_rules! migration {
    ($($part:expr),*) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $($part),*))
    };
}
pub(crate) use migration;

/// Picks a service's script, preceded by the tables that every service has.
macro_rules! script {
    ($engine:expr, $service:literal) => {
        match $engine {
            $crate::schema::Engine::Sqlite => concat!(
                $crate::schema::migration!("sqlite/messaging.sql"),
                $crate::schema::migration!("sqlite/", $service, ".sql")
            ),
            $crate::schema::Engine::Postgres => concat!(
                $crate::schema::migration!("postgres/messaging.sql"),
                $crate::schema::migration!("postgres/", $service, ".sql")
            ),
        }
    };
}
pub(crate) use script;

/// Executes a schema script in one transaction.
///
/// # Errors
/// When a statement fails; nothing has changed then.
pub async fn migrate(database: &Database, script: &'static str) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    sqlx::raw_sql(script).execute(&mut *tx).await?;
    tx.commit().await
}
