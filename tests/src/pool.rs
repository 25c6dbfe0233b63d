//! How the services of tests open their SQLite files.

use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection, SqlitePool};

/// Connections to a SQLite file.
///
/// One whose commit has failed is not used again: sqlx 0.9 goes on to count the transaction as open, so that the next one
/// would be a savepoint, and once the release of such a savepoint has failed nothing is committed any more.
pub async fn connect(url: &str) -> sqlx::Result<SqlitePool> {
    let options = SqlitePoolOptions::new().after_release(|connection, _| {
        let is_done = !connection.is_in_transaction();
        Box::pin(async move { Ok(is_done) })
    });
    options.connect(url).await
}
