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

/// Picks a service's script, preceded by the tables that every service has.
macro_rules! script {
    ($engine:expr, $service:literal) => {
        match $engine {
            $crate::schema::Engine::Sqlite => concat!(
                include_str!("../migrations/sqlite/messaging.sql"),
                include_str!(concat!("../migrations/sqlite/", $service, ".sql"))
            ),
            $crate::schema::Engine::Postgres => concat!(
                include_str!("../migrations/postgres/messaging.sql"),
                include_str!(concat!("../migrations/postgres/", $service, ".sql"))
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
