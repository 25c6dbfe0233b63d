//! Statements, as they begin and end, and what SQLite tells about those that fail.

#![expect(unsafe_code, reason = "SQLite tells of statements by functions of C")]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3, sqlite3_api_routines, sqlite3_file, sqlite3_stmt};
use stormglass_machine::living_host;

use crate::connection::{Code, Connection};
use crate::functions;
use crate::statement::kind;
use crate::vfs::connection_of;
use crate::watch::is_witnessing;

thread_local! {
    /// The last error of a statement on the current thread, as SQLite has told its error log.
    static ERROR: RefCell<Option<(Code, String)>> = const { RefCell::new(None) };
}

/// Makes SQLite tell of every connection that is opened, and of errors.
///
/// # Panics
///
/// If SQLite refuses.
pub(crate) fn install() {
    // SAFETY: functions of the types that SQLite declares; the error log takes a function and its first argument.
    // An SQLite that was compiled to fix its error log earlier refuses the second call and changes nothing.
    unsafe {
        let result = sqlite::sqlite3_auto_extension(Some(opened));
        assert_eq!(result, sqlite::SQLITE_OK, "SQLite tells of its connections");
        let tell: unsafe extern "C" fn(*mut c_void, c_int, *const c_char) = told;
        sqlite::sqlite3_config(sqlite::SQLITE_CONFIG_LOG, tell, null_mut::<c_void>());
    }
}

/// A connection was opened.
unsafe extern "C" fn opened(
    database: *mut sqlite3,
    _: *mut *mut c_char,
    _: *const sqlite3_api_routines,
) -> c_int {
    if living_host().is_none() || is_witnessing() {
        return sqlite::SQLITE_OK;
    }
    // SAFETY: a connection that is open, and of the kind that the functions are for. The watched connection lives as
    // long as its file is open, which is until the last statement of it has ended.
    unsafe {
        functions::define(database);
        let mut file: *mut sqlite3_file = null_mut();
        sqlite::sqlite3_file_control(
            database,
            c"main".as_ptr(),
            sqlite::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        );
        let Some(connection) = connection_of(file) else {
            return sqlite::SQLITE_OK;
        };
        let events = sqlite::SQLITE_TRACE_STMT | sqlite::SQLITE_TRACE_PROFILE;
        let connection = std::sync::Arc::as_ptr(&connection).cast_mut().cast();
        sqlite::sqlite3_trace_v2(database, events as c_uint, Some(traced), connection)
    }
}

/// A statement begins, or has ended.
unsafe extern "C" fn traced(
    event: c_uint,
    connection: *mut c_void,
    statement: *mut c_void,
    detail: *mut c_void,
) -> c_int {
    // SAFETY: what `opened` has given, which lives as long as the connection does.
    let connection = unsafe { &*connection.cast_const().cast::<Connection>() };
    let id = statement.addr();
    let statement = statement.cast::<sqlite3_stmt>();
    if event == sqlite::SQLITE_TRACE_PROFILE as c_uint {
        // SAFETY: SQLite gives a statement that was at work.
        let has_stopped = unsafe {
            let is_at_a_row = sqlite::sqlite3_data_count(statement) != 0;
            sqlite::sqlite3_stmt_busy(statement) != 0 && !is_at_a_row
        };
        connection.end_statement(id, has_stopped, || ERROR.take());
        return 0;
    }
    // SAFETY: SQLite gives a statement that is at work, whose text lives as long; the text that it is told with is
    // another one where it begins as a part of something else, such as a trigger.
    unsafe {
        let sql = sqlite::sqlite3_sql(statement);
        if sql.is_null() || sql != detail.cast_const().cast() {
            return 0;
        }
        ERROR.take();
        let database = sqlite::sqlite3_db_handle(statement);
        let in_transaction = sqlite::sqlite3_get_autocommit(database) == 0;
        let is_read_only = sqlite::sqlite3_stmt_readonly(statement) != 0
            || sqlite::sqlite3_stmt_isexplain(statement) != 0;
        let sql = CStr::from_ptr(sql).to_string_lossy();
        let kind = kind(&sql, is_read_only, in_transaction);
        if connection.begin_statement(id, sql.trim(), kind, in_transaction) {
            // What is in the cache would need no access to the file: pages that were changed are written now, and
            // those that were not are forgotten. The error stays with the cache, as after any write that fails.
            sqlite::sqlite3_db_cacheflush(database);
            sqlite::sqlite3_db_release_memory(database);
        }
    }
    0
}

/// SQLite tells its error log something.
unsafe extern "C" fn told(_: *mut c_void, code: c_int, message: *const c_char) {
    if living_host().is_none() || message.is_null() {
        return;
    }
    // SAFETY: SQLite's message ends in a null byte.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    if let Some(message) = reason(&message) {
        ERROR.replace(Some((code, message.to_owned())));
    }
}

/// Why a statement failed, if `message` tells that: `statement aborts at 7: no such table: t; [SELECT 1 FROM t]`.
fn reason(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("statement aborts at ")?;
    let (_, reason) = rest.split_once(": ")?;
    // Older ones put the statement first.
    if reason.starts_with('[') {
        return reason.rsplit_once("] ").map(|(_, after)| after);
    }
    Some(
        reason
            .rsplit_once("; [")
            .map_or(reason, |(before, _)| before),
    )
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn the_reason_is_found_in_what_the_error_log_is_told() {
        let why = Some("UNIQUE constraint failed: t.n");
        let new =
            "statement aborts at 9: UNIQUE constraint failed: t.n; [INSERT INTO t VALUES (1)]";
        let old = "statement aborts at 9: [INSERT INTO t VALUES (1)] UNIQUE constraint failed: t.n";
        assert_eq!(reason(new), why);
        assert_eq!(reason(old), why);
        assert_eq!(reason("recovered 2 frames from WAL file"), None);
    }
}
