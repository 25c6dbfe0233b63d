//! Rows that the harness reads for itself, whatever the types of their columns.

use std::collections::BTreeMap;

use serde_json::Value;
use stormglass_sqlite as sqlite;

use super::observer::ReadError;

/// A row, by the names of its columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row(BTreeMap<String, Cell>);

/// What stands in a column.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Value(Value),
    Bytes(Vec<u8>),
}

impl Row {
    pub(super) fn of_json(text: &str) -> Result<Self, ReadError> {
        let cells: BTreeMap<String, Value> = serde_json::from_str(text)
            .map_err(|error| unreadable("to_jsonb", &error.to_string()))?;
        let cells = cells.into_iter();
        Ok(Row(cells
            .map(|(name, value)| (name, Cell::Value(value)))
            .collect()))
    }

    pub(super) fn of_sqlite(columns: &[String], values: Vec<sqlite::Value>) -> Self {
        let cell = |value| match value {
            sqlite::Value::Null => Cell::Value(Value::Null),
            sqlite::Value::Integer(number) => Cell::Value(number.into()),
            sqlite::Value::Real(number) => Cell::Value(number.into()),
            sqlite::Value::Text(text) => Cell::Value(text.into()),
            sqlite::Value::Blob(bytes) => Cell::Bytes(bytes),
        };
        let cells = columns.iter().cloned().zip(values.into_iter().map(cell));
        Row(cells.collect())
    }

    /// Whether there is no value.
    pub(super) fn is_null(&self, column: &str) -> bool {
        matches!(self.0.get(column), None | Some(Cell::Value(Value::Null)))
    }

    /// What a column says, as text: a number or a truth value in its usual form. Empty where there is no
    /// such column, or no value.
    pub(super) fn text(&self, column: &str) -> Result<String, ReadError> {
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
    pub(super) fn flag(&self, column: &str) -> Result<Option<bool>, ReadError> {
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
    pub(super) fn integer(&self, column: &str) -> Result<i64, ReadError> {
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

/// A column that says what it must not.
pub(super) fn unreadable(column: &str, why: &str) -> ReadError {
    ReadError::Unreadable {
        column: column.to_owned(),
        why: why.to_owned(),
    }
}
