//! Observers: the harness' own connections to the databases of a run. They take no virtual time.

use stormglass_postgres as postgres;
use stormglass_sqlite as sqlite;

use super::row::Row;

/// Why a query of the harness' own could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite refuses it.
    #[error("{0}")]
    Sqlite(#[from] sqlite::ReadError),
    /// PostgreSQL refuses it.
    #[error("{0}")]
    Postgres(#[from] postgres::Error),
    /// There is no such database.
    #[error("there is no database `{0}`")]
    NoDatabase(String),
    /// A column is missing.
    #[error("no column found for name: {0}")]
    NoColumn(String),
    /// A column says what it must not.
    #[error("column `{column}` cannot be read: {why}")]
    Unreadable {
        /// The column.
        column: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A connection to one of a run's databases.
pub(crate) enum Observer {
    Sqlite(sqlite::Reader),
    Postgres(postgres::Observer),
}

impl Observer {
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Observer::Postgres(_))
    }

    /// The names of a query's columns, without running it.
    pub(crate) fn columns(&mut self, query: &str) -> Result<Vec<String>, ReadError> {
        Ok(match self {
            Observer::Sqlite(reader) => reader.columns(query)?,
            Observer::Postgres(observer) => observer.columns(query)?,
        })
    }

    /// Does `work`, whose queries read one state of a SQLite file: to find the state is most of what a small query costs.
    pub(crate) fn at_once<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, ReadError> {
        self.control("BEGIN")?;
        let done = work(self);
        self.control("COMMIT")?;
        Ok(done)
    }

    fn control(&mut self, statement: &str) -> Result<(), ReadError> {
        match self {
            Observer::Sqlite(reader) => Ok(reader.query(statement, 0).map(drop)?),
            Observer::Postgres(_) => Ok(()),
        }
    }

    /// The rows of a query, whose `$1` is `position` if it has one.
    pub(super) fn rows(
        &mut self,
        query: &str,
        position: Option<i64>,
    ) -> Result<Vec<Row>, ReadError> {
        match self {
            Observer::Sqlite(reader) => {
                let rows = reader.query(query, position.unwrap_or_default())?;
                // Most looks find nothing.
                let columns = match rows.is_empty() {
                    true => Vec::new(),
                    false => reader.columns(query)?,
                };
                let rows = rows.into_iter();
                Ok(rows
                    .map(|values| Row::of_sqlite(&columns, values))
                    .collect())
            }
            Observer::Postgres(observer) => {
                let position = position.map(|own| own.to_string());
                let values: Vec<&str> = position.as_deref().into_iter().collect();
                let rows = observer.query(&as_json(query), &values)?;
                let text = |row: &Vec<Option<String>>| row.first().cloned().flatten();
                rows.iter()
                    .map(|row| Row::of_json(&text(row).unwrap_or_default()))
                    .collect()
            }
        }
    }
}

/// The query with one column of text, which holds all of its columns: so the server itself reads its types. A subquery
/// that only reads on keeps the order of its rows.
fn as_json(query: &str) -> String {
    let query = query.trim_end().trim_end_matches(';');
    format!("SELECT to_jsonb(of_query)::text FROM (\n{query}\n) AS of_query")
}
