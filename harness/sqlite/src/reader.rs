//! Readers: connections of whoever drives a run, which nobody watches and nothing disturbs.

#![expect(unsafe_code, reason = "SQLite is a library of C")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null_mut, slice_from_raw_parts};

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3, sqlite3_stmt};
use stormglass_machine::outside;

/// What SQLite says about why it could not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(pub String);

impl std::fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

/// What stands in a column, by SQLite's own types (<https://sqlite.org/datatype3.html>), whatever the column was
/// declared to have.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// Text; what is not UTF-8 in it is replaced.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A connection to a database file that takes no virtual time, is seen by no [`Witness`](crate::Witness), and waits
/// for no lock. It may be used on any thread, also by a witness that is told of a commit.
#[derive(Debug)]
pub struct Reader {
    database: *mut sqlite3,
    statements: BTreeMap<String, *mut sqlite3_stmt>,
}

// SAFETY: a connection and its statements may be used by one thread after the other, and `&mut` lets only one at a time.
unsafe impl Send for Reader {}

impl Reader {
    /// Opens the file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If it is no database, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let path = c_string(path.as_os_str().as_bytes())?;
        // `&mut` is all the lock that it needs.
        let flags = sqlite::SQLITE_OPEN_READWRITE
            | sqlite::SQLITE_OPEN_CREATE
            | sqlite::SQLITE_OPEN_NOMUTEX;
        let mut reader = Reader {
            database: null_mut(),
            statements: BTreeMap::new(),
        };
        let opened = outside(|| {
            // SAFETY: the strings end with a null byte, and the connection is closed when the reader is dropped, whether
            // it could be opened or not. The system's own layer, asked for by its name, is not watched.
            unsafe {
                sqlite::sqlite3_open_v2(
                    path.as_ptr(),
                    &raw mut reader.database,
                    flags,
                    c"unix".as_ptr(),
                )
            }
        });
        reader.checked(opened)?;
        // Whoever is the first to read a log makes its index, and takes the lock to write for that. Services find the
        // index there, as in a database that is in use.
        reader.execute("PRAGMA schema_version")?;
        Ok(reader)
    }

    /// Leaves a log as it is when this is the last connection that is closed, instead of writing it back into the file
    /// first: nobody will look at it again.
    pub fn abandons_log(&mut self) {
        // SAFETY: the connection is open, and the option takes a number and the address of one, which may be null.
        unsafe {
            sqlite::sqlite3_db_config(
                self.database,
                sqlite::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                c_int::from(true),
                null_mut::<c_int>(),
            )
        };
    }

    /// Carries out a script.
    ///
    /// # Errors
    ///
    /// If a statement fails; those before it are done.
    pub fn execute(&mut self, script: &str) -> Result<(), ReadError> {
        let script = c_string(script.as_bytes())?;
        let executed = outside(|| {
            // SAFETY: the connection is open, and the script ends with a null byte.
            unsafe {
                sqlite::sqlite3_exec(self.database, script.as_ptr(), None, null_mut(), null_mut())
            }
        });
        self.checked(executed)
    }

    /// The names of a query's columns, without running it.
    ///
    /// # Errors
    ///
    /// If SQLite does not understand it.
    pub fn columns(&mut self, query: &str) -> Result<Vec<String>, ReadError> {
        outside(|| {
            let statement = self.prepared(query)?;
            Ok(names(statement))
        })
    }

    /// The rows of a query, whose first parameter is `parameter` if it has one. It is prepared once.
    ///
    /// # Errors
    ///
    /// If SQLite does not understand it, or cannot read the database.
    pub fn query(&mut self, query: &str, parameter: i64) -> Result<Vec<Vec<Value>>, ReadError> {
        outside(|| {
            let statement = self.prepared(query)?;
            let mut rows = Vec::new();
            // SAFETY: the statement is prepared and of this connection; it is reset before anybody else uses it, so that
            // no lock is left behind.
            let done = unsafe {
                if sqlite::sqlite3_bind_parameter_count(statement) > 0 {
                    sqlite::sqlite3_bind_int64(statement, 1, parameter);
                }
                loop {
                    match sqlite::sqlite3_step(statement) {
                        sqlite::SQLITE_ROW => rows.push(row(statement)),
                        done => break done,
                    }
                }
            };
            let failed = match done {
                sqlite::SQLITE_DONE => None,
                _ => self.checked(done).err(),
            };
            // SAFETY: as above.
            unsafe { sqlite::sqlite3_reset(statement) };
            failed.map_or(Ok(rows), Err)
        })
    }

    fn prepared(&mut self, query: &str) -> Result<*mut sqlite3_stmt, ReadError> {
        if let Some(known) = self.statements.get(query) {
            return Ok(*known);
        }
        let sql = c_string(query.as_bytes())?;
        let mut statement = null_mut();
        // SAFETY: the connection is open, the text ends with a null byte, and the statement is finalised before the
        // connection is closed.
        let prepared = unsafe {
            sqlite::sqlite3_prepare_v2(
                self.database,
                sql.as_ptr(),
                -1,
                &raw mut statement,
                null_mut(),
            )
        };
        self.checked(prepared)?;
        if statement.is_null() {
            return Err(ReadError("it is no statement".to_owned()));
        }
        self.statements.insert(query.to_owned(), statement);
        Ok(statement)
    }

    fn checked(&self, code: c_int) -> Result<(), ReadError> {
        if code == sqlite::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: SQLite gives a text for every connection, also for one that could not be opened, and for every code.
        let text = unsafe {
            let text = match self.database.is_null() {
                true => sqlite::sqlite3_errstr(code),
                false => sqlite::sqlite3_errmsg(self.database),
            };
            CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        Err(ReadError(text))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        outside(|| {
            for statement in std::mem::take(&mut self.statements).into_values() {
                // SAFETY: it was prepared on this connection and is not used again.
                unsafe { sqlite::sqlite3_finalize(statement) };
            }
            // SAFETY: the connection has no statements left and is not used again.
            unsafe { sqlite::sqlite3_close(self.database) };
        });
    }
}

fn c_string(text: &[u8]) -> Result<CString, ReadError> {
    CString::new(text).map_err(|_| ReadError("it has a null byte".to_owned()))
}

fn names(statement: *mut sqlite3_stmt) -> Vec<String> {
    // SAFETY: the statement is prepared, and a name lasts until the statement is finalised or prepared anew.
    unsafe {
        let count = sqlite::sqlite3_column_count(statement);
        let name = |index| {
            let name = sqlite::sqlite3_column_name(statement, index);
            match name.is_null() {
                true => String::new(),
                false => CStr::from_ptr(name).to_string_lossy().into_owned(),
            }
        };
        (0..count).map(name).collect()
    }
}

/// The row that a statement stands at.
///
/// # Safety
///
/// The statement stands at a row.
unsafe fn row(statement: *mut sqlite3_stmt) -> Vec<Value> {
    // SAFETY: the caller's promise; what SQLite points to is copied before the next call.
    unsafe {
        let bytes = |index, data: *const u8| {
            let length = sqlite::sqlite3_column_bytes(statement, index);
            let length = usize::try_from(length).unwrap_or_default();
            match data.is_null() {
                true => Vec::new(),
                false => (*slice_from_raw_parts(data, length)).to_vec(),
            }
        };
        let value = |index| match sqlite::sqlite3_column_type(statement, index) {
            sqlite::SQLITE_INTEGER => {
                Value::Integer(sqlite::sqlite3_column_int64(statement, index))
            }
            sqlite::SQLITE_FLOAT => Value::Real(sqlite::sqlite3_column_double(statement, index)),
            sqlite::SQLITE_TEXT => {
                let text = bytes(index, sqlite::sqlite3_column_text(statement, index));
                Value::Text(String::from_utf8_lossy(&text).into_owned())
            }
            sqlite::SQLITE_BLOB => {
                let data = sqlite::sqlite3_column_blob(statement, index);
                Value::Blob(bytes(index, data.cast()))
            }
            _ => Value::Null,
        };
        (0..sqlite::sqlite3_column_count(statement))
            .map(value)
            .collect()
    }
}
