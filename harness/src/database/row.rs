//! Rows that the harness reads for itself, whatever the types of their columns.
//!
//! sqlx's driver for any database knows few of PostgreSQL's types, so that there the server turns each row
//! into JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{
    Any, AnyConnection, Column as _, Executor as _, Postgres, Row as _, SqlSafeStr as _,
    Statement as _, ValueRef as _,
};

use super::backend::{Backend, IntoExecutor as _};
use super::driver::complete;

/// A row, by the names of its columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row(BTreeMap<String, Cell>);

/// What stands in a column.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Value(Value),
    Bytes(Vec<u8>),
}

pub(super) fn is_postgres(connection: &AnyConnection) -> bool {
    connection.backend_name() == "PostgreSQL"
}

/// The names of a query's columns, without running it. `url` is where the connection leads.
pub(super) fn columns(
    connection: &mut AnyConnection,
    url: &str,
    query: &str,
) -> sqlx::Result<Vec<String>> {
    match complete(columns_by::<Any>(connection, query)) {
        // The driver for any database does not know the type of one of the columns; the server's own does.
        Err(sqlx::Error::ColumnDecode { .. }) if is_postgres(connection) => {
            complete(async { columns_by::<Postgres>(&mut Postgres::open(url).await?, query).await })
        }
        // SQLite's own types are few, and a column may be declared to have another one.
        Err(sqlx::Error::ColumnDecode { index, .. }) => {
            let why = format!("its declared type cannot be read; select CAST({index} AS TEXT)");
            Err(unreadable(&index, &why))
        }
        found => found,
    }
}

async fn columns_by<DB: Backend>(
    connection: &mut DB::Connection,
    query: &str,
) -> sqlx::Result<Vec<String>> {
    let sql = sqlx::AssertSqlSafe(query.to_owned()).into_sql_str();
    let prepared = connection.executor().prepare(sql).await?;
    let columns = prepared.columns().iter();
    Ok(columns.map(|own| own.name().to_owned()).collect())
}

/// The rows of a query, whose `$1` is `position` if it has one.
pub(super) fn fetch(
    connection: &mut AnyConnection,
    query: &str,
    position: Option<i64>,
) -> sqlx::Result<Vec<Row>> {
    let is_postgres = is_postgres(connection);
    let sql = match is_postgres {
        true => as_json(query),
        false => query.to_owned(),
    };
    let mut query = sqlx::query::<Any>(sqlx::AssertSqlSafe(sql));
    if let Some(position) = position {
        query = query.bind(position);
    }
    let rows = complete(query.fetch_all(connection))?;
    let read = match is_postgres {
        true => Row::of_json,
        false => Row::of_columns,
    };
    rows.iter().map(read).collect()
}

/// The query with one column of text, which holds all of its columns. A subquery that only reads on keeps
/// the order of its rows.
fn as_json(query: &str) -> String {
    let query = query.trim_end().trim_end_matches(';');
    format!("SELECT to_jsonb(of_query)::text FROM (\n{query}\n) AS of_query")
}

impl Row {
    fn of_json(row: &AnyRow) -> sqlx::Result<Self> {
        let text: String = row.try_get(0)?;
        let cells: BTreeMap<String, Value> =
            serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let cells = cells.into_iter();
        Ok(Row(cells
            .map(|(name, value)| (name, Cell::Value(value)))
            .collect()))
    }

    fn of_columns(row: &AnyRow) -> sqlx::Result<Self> {
        let columns = row.columns().iter();
        let cells = columns.map(|column| {
            let cell = cell(row, column.ordinal(), column.name())?;
            Ok((column.name().to_owned(), cell))
        });
        cells.collect::<sqlx::Result<_>>().map(Row)
    }

    /// Whether there is no value.
    pub(super) fn is_null(&self, column: &str) -> bool {
        matches!(self.0.get(column), None | Some(Cell::Value(Value::Null)))
    }

    /// What a column says, as text: a number or a truth value in its usual form. Empty where there is no
    /// such column, or no value.
    pub(super) fn text(&self, column: &str) -> sqlx::Result<String> {
        match self.0.get(column) {
            None | Some(Cell::Value(Value::Null)) => Ok(String::new()),
            Some(Cell::Value(Value::String(text))) => Ok(text.clone()),
            Some(Cell::Value(value)) => Ok(value.to_string()),
            Some(Cell::Bytes(_)) => {
                let why =
                    format!("its bytes are no text; select them as text, such as hex({column})");
                Err(unreadable(column, &why))
            }
        }
    }

    /// What a column says, as a truth value; SQLite has 0 and 1 for those. `None` where there is no such
    /// column, or no value.
    pub(super) fn flag(&self, column: &str) -> sqlx::Result<Option<bool>> {
        match &*self.text(column)? {
            "" => Ok(None),
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            other => {
                let why = format!("`{other}` is neither true (1) nor false (0)");
                Err(unreadable(column, &why))
            }
        }
    }

    /// What a column says, as an integer.
    pub(super) fn integer(&self, column: &str) -> sqlx::Result<i64> {
        match self.0.get(column) {
            Some(Cell::Value(Value::Number(number))) if number.is_i64() => {
                Ok(number.as_i64().unwrap_or_default())
            }
            other => {
                let why = match other {
                    Some(Cell::Value(value)) => format!("{value} is no integer"),
                    _ => "it is no integer".to_owned(),
                };
                Err(unreadable(column, &why))
            }
        }
    }

    /// The row as JSON, bytes as hexadecimal digits.
    pub(super) fn into_json(self) -> BTreeMap<String, Value> {
        let cells = self.0.into_iter();
        let json = cells.map(|(name, cell)| {
            let value = match cell {
                Cell::Value(value) => value,
                Cell::Bytes(bytes) => {
                    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
                    Value::String(digits.collect())
                }
            };
            (name, value)
        });
        json.collect()
    }
}

fn cell(row: &AnyRow, index: usize, name: &str) -> sqlx::Result<Cell> {
    if row.try_get_raw(index)?.is_null() {
        return Ok(Cell::Value(Value::Null));
    }
    if let Ok(number) = row.try_get::<i64, _>(index) {
        return Ok(Cell::Value(number.into()));
    }
    if let Ok(number) = row.try_get::<f64, _>(index) {
        return Ok(Cell::Value(number.into()));
    }
    if let Ok(flag) = row.try_get::<bool, _>(index) {
        return Ok(Cell::Value(flag.into()));
    }
    if let Ok(text) = row.try_get::<String, _>(index) {
        return Ok(Cell::Value(text.into()));
    }
    let bytes = row.try_get(index).map(Cell::Bytes);
    bytes.map_err(|_| unreadable(name, "it is neither number, truth value, text nor bytes"))
}

/// A column that says what it must not.
pub(super) fn unreadable(column: &str, why: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: why.into(),
    }
}
