//! `random()` and `randomblob()`, from the host's own stream of random numbers.
//!
//! SQLite draws them from a generator that the whole process shares, so that they would follow from what other
//! connections, and other runs, have drawn.

#![expect(
    unsafe_code,
    reason = "SQLite calls functions that extend its language by C"
)]

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3, sqlite3_context, sqlite3_value};

/// Puts both functions in the place of SQLite's own on a connection.
///
/// # Safety
///
/// `database` is a connection that is open.
pub(crate) unsafe fn define(database: *mut sqlite3) {
    // As SQLite's own, they may stand in triggers and default values whatever a connection trusts.
    let flags = sqlite::SQLITE_UTF8 | sqlite::SQLITE_INNOCUOUS;
    for (name, count, function) in [
        (c"random", 0, random as Function),
        (c"randomblob", 1, random_blob),
    ] {
        // SAFETY: the caller's promise, and functions of the types that SQLite declares. If there is no memory left,
        // SQLite's own stay.
        unsafe {
            sqlite::sqlite3_create_function_v2(
                database,
                name.as_ptr(),
                count,
                flags,
                null_mut(),
                Some(function),
                None,
                None,
                None,
            );
        }
    }
}

type Function = unsafe extern "C" fn(*mut sqlite3_context, c_int, *mut *mut sqlite3_value);

/// Fills `length` bytes at `buffer` from the stream of the current thread's host.
///
/// # Safety
///
/// There are as many writable bytes.
unsafe fn draw(buffer: *mut c_void, length: usize) -> bool {
    let mut filled = 0;
    while filled < length {
        // SAFETY: the caller's promise.
        let result = unsafe { libc::getrandom(buffer.byte_add(filled), length - filled, 0) };
        match usize::try_from(result) {
            Ok(more) => filled += more,
            Err(_) => return false,
        }
    }
    true
}

unsafe extern "C" fn random(context: *mut sqlite3_context, _: c_int, _: *mut *mut sqlite3_value) {
    let mut number = [0; 8];
    // SAFETY: eight bytes, and the context that SQLite gives.
    unsafe {
        if !draw(number.as_mut_ptr().cast(), number.len()) {
            return sqlite::sqlite3_result_error_code(context, sqlite::SQLITE_ERROR);
        }
        // `abs()` has to work with it, so that the smallest number is none of them.
        let number = i64::from_le_bytes(number).max(-i64::MAX);
        sqlite::sqlite3_result_int64(context, number);
    }
}

unsafe extern "C" fn random_blob(
    context: *mut sqlite3_context,
    _: c_int,
    arguments: *mut *mut sqlite3_value,
) {
    // SAFETY: the context and the one argument that SQLite gives, and memory of the size that was asked for, which
    // SQLite frees.
    unsafe {
        let length = sqlite::sqlite3_value_int64(*arguments).max(1);
        let database = sqlite::sqlite3_context_db_handle(context);
        let most = sqlite::sqlite3_limit(database, sqlite::SQLITE_LIMIT_LENGTH, -1);
        if length > i64::from(most) {
            return sqlite::sqlite3_result_error_toobig(context);
        }
        let blob = sqlite::sqlite3_malloc64(length.cast_unsigned());
        if blob.is_null() {
            return sqlite::sqlite3_result_error_nomem(context);
        }
        if !draw(blob, length as usize) {
            sqlite::sqlite3_free(blob);
            return sqlite::sqlite3_result_error_code(context, sqlite::SQLITE_ERROR);
        }
        sqlite::sqlite3_result_blob64(
            context,
            blob,
            length.cast_unsigned(),
            Some(sqlite::sqlite3_free),
        );
    }
}
