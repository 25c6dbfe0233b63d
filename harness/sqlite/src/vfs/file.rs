//! A file of a watched database: every access is told to its connection, then passed on.

#![expect(unsafe_code, reason = "SQLite's interface to a file is one of C")]

use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3_file, sqlite3_io_methods};

use crate::connection::{Access, Connection, Lock};

/// What a file is for its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Database,
    /// The rollback journal.
    Journal,
    /// The write-ahead log.
    Log,
}

/// What stands before the original file, in the room that SQLite has for a file.
#[repr(C, align(8))]
struct Outer {
    base: sqlite3_file,
    role: Role,
    connection: ManuallyDrop<Arc<Connection>>,
}

/// How much room a file takes around one that takes `inner`.
pub(super) fn size_around(inner: c_int) -> c_int {
    size_of::<Outer>() as c_int + inner
}

/// The original file.
///
/// # Safety
///
/// There is room for it behind `file`, as `size_around` says.
unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: the caller's promise.
    unsafe { file.byte_add(size_of::<Outer>()) }
}

/// The connection of a file, if that is a watched one.
///
/// # Safety
///
/// `file` is null, or a file of SQLite's that is open or was never opened.
pub(crate) unsafe fn connection_of(file: *mut sqlite3_file) -> Option<Arc<Connection>> {
    if file.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; only files of ours have methods of ours.
    unsafe {
        let methods = (*file).pMethods;
        let is_own = METHODS.iter().any(|own| std::ptr::eq(own, methods));
        is_own.then(|| Arc::clone(&outer(file).connection))
    }
}

/// What stands before the original file.
///
/// # Safety
///
/// `file` was opened by [`open`] and not closed.
unsafe fn outer<'a>(file: *mut sqlite3_file) -> &'a Outer {
    // SAFETY: the caller's promise.
    unsafe { &*file.cast::<Outer>() }
}

/// Opens a watched file, the original of which `open` opens.
///
/// # Safety
///
/// `file` is what SQLite gives to `xOpen`.
pub(super) unsafe fn open(
    file: *mut sqlite3_file,
    role: Role,
    connection: Arc<Connection>,
    open: impl FnOnce(*mut sqlite3_file) -> c_int,
) -> c_int {
    // SAFETY: the room that `size_around` has asked for. A file whose methods are null is not open.
    unsafe {
        (*file).pMethods = null();
        let inner = inner(file);
        (*inner).pMethods = null();
        let result = open(inner);
        let Some(methods) = (*inner).pMethods.as_ref() else {
            return result;
        };
        if result != sqlite::SQLITE_OK {
            if let Some(close) = methods.xClose {
                close(inner);
            }
            return result;
        }
        let version = usize::try_from(methods.iVersion)
            .unwrap_or(1)
            .clamp(1, METHODS.len());
        file.cast::<Outer>().write(Outer {
            base: sqlite3_file {
                pMethods: &METHODS[version - 1],
            },
            role,
            connection: ManuallyDrop::new(connection),
        });
        result
    }
}

/// The methods of a watched file, by how much the original file can do.
static METHODS: [sqlite3_io_methods; 3] = [methods(1), methods(2), methods(3)];

const fn methods(version: c_int) -> sqlite3_io_methods {
    sqlite3_io_methods {
        iVersion: version,
        xClose: Some(close),
        xRead: Some(read),
        xWrite: Some(write),
        xTruncate: Some(truncate),
        xSync: Some(sync),
        xFileSize: Some(file_size),
        xLock: Some(lock),
        xUnlock: Some(unlock),
        xCheckReservedLock: Some(check_reserved_lock),
        xFileControl: Some(file_control),
        xSectorSize: Some(sector_size),
        xDeviceCharacteristics: Some(device_characteristics),
        xShmMap: Some(shm_map),
        xShmLock: Some(shm_lock),
        xShmBarrier: Some(shm_barrier),
        xShmUnmap: Some(shm_unmap),
        xFetch: Some(fetch),
        xUnfetch: Some(unfetch),
    }
}

/// Calls a method of the original file.
macro_rules! original {
    ($file:ident.$method:ident($($argument:expr),*), or $default:expr) => {{
        // SAFETY: a file that is open, and its caller's own arguments.
        unsafe {
            let inner = inner($file);
            match (*(*inner).pMethods).$method {
                Some(method) => method(inner, $($argument),*),
                None => $default,
            }
        }
    }};
    ($file:ident.$method:ident($($argument:expr),*)) => {
        original!($file.$method($($argument),*), or sqlite::SQLITE_IOERR)
    };
}

/// Functions that call the original file's one with the same arguments.
macro_rules! pass_on {
    ($($function:ident => $method:ident($($name:ident: $argument:ty),*) -> $result:ty, or $default:expr;)*) => {$(
        unsafe extern "C" fn $function(file: *mut sqlite3_file, $($name: $argument),*) -> $result {
            original!(file.$method($($name),*), or $default)
        }
    )*};
}

pass_on! {
    truncate => xTruncate(size: i64) -> c_int, or sqlite::SQLITE_IOERR;
    file_size => xFileSize(out: *mut i64) -> c_int, or sqlite::SQLITE_IOERR;
    check_reserved_lock => xCheckReservedLock(out: *mut c_int) -> c_int, or sqlite::SQLITE_IOERR;
    sector_size => xSectorSize() -> c_int, or 0;
    device_characteristics => xDeviceCharacteristics() -> c_int, or 0;
    shm_map => xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int, or sqlite::SQLITE_IOERR;
    shm_unmap => xShmUnmap(delete: c_int) -> c_int, or sqlite::SQLITE_OK;
    fetch => xFetch(at: i64, size: c_int, out: *mut *mut c_void) -> c_int, or sqlite::SQLITE_IOERR;
    unfetch => xUnfetch(at: i64, page: *mut c_void) -> c_int, or sqlite::SQLITE_OK;
}

/// What stands before a file that SQLite calls a method of.
macro_rules! own {
    ($file:ident) => {
        // SAFETY: SQLite calls these methods with files that `open` has opened.
        unsafe { outer($file) }
    };
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let result = original!(file.xClose());
    let own = own!(file);
    if own.role == Role::Database {
        own.connection.close();
    }
    // SAFETY: written by `open`, and not used again: without methods the file is closed.
    unsafe {
        ManuallyDrop::drop(&mut (*file.cast::<Outer>()).connection);
        (*file).pMethods = null();
    }
    result
}

/// The length of the numbers in a journal (<https://sqlite.org/fileformat2.html#the_rollback_journal>). Who rolls back
/// begins with reading one; who commits reads at most whole headers.
const JOURNAL_NUMBER: c_int = 4;

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    buffer: *mut c_void,
    length: c_int,
    at: i64,
) -> c_int {
    let own = own!(file);
    if own.role == Role::Journal && length == JOURNAL_NUMBER {
        own.connection.plays_back();
    }
    if let Some(error) = own.connection.before(Access::Read) {
        return error;
    }
    original!(file.xRead(buffer, length, at))
}

/// The length of what stands before a page in the log (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
const FRAME_HEADER: usize = 24;

/// Whether a write to the log is the header of a frame that ends a transaction: that tells the size of the database.
fn ends_transaction(written: &[u8]) -> bool {
    written.len() == FRAME_HEADER && written[4..8] != [0; 4]
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    buffer: *const c_void,
    length: c_int,
    at: i64,
) -> c_int {
    let own = own!(file);
    if let Some(error) = own.connection.before(Access::Write) {
        return error;
    }
    if own.connection.has_no_room() && grows(file, at + i64::from(length)) {
        return own.connection.runs_full();
    }
    let refused = match own.role {
        Role::Log => {
            let length = usize::try_from(length).unwrap_or(0);
            // SAFETY: the contract of `xWrite` is that `buffer` has `length` readable bytes.
            let written = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) };
            own.connection.writes_log(ends_transaction(written))
        }
        Role::Database => {
            own.connection.writes();
            None
        }
        Role::Journal => None,
    };
    match refused {
        Some(error) => error,
        None => original!(file.xWrite(buffer, length, at)),
    }
}

/// Whether a file is shorter than it is to be.
fn grows(file: *mut sqlite3_file, end: i64) -> bool {
    let mut size = 0;
    original!(file.xFileSize(&mut size)) == sqlite::SQLITE_OK && end > size
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    match own!(file).connection.before(Access::Sync) {
        Some(error) => error,
        None => original!(file.xSync(flags)),
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    let connection = &own!(file).connection;
    let wanted = Lock::File(level);
    if let Some(error) = connection.before_lock(wanted) {
        return error;
    }
    let result = original!(file.xLock(level));
    connection.after_lock(wanted, result);
    result
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    let result = original!(file.xUnlock(level));
    own!(file).connection.unlocked(level);
    result
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let connection = &own!(file).connection;
    // The first of the log's locks is the right to write (<https://sqlite.org/walformat.html#wal_locks>).
    let is_to_write = first == 0 && flags & sqlite::SQLITE_SHM_EXCLUSIVE != 0;
    let is_taken = flags & sqlite::SQLITE_SHM_LOCK != 0;
    let refused = match (is_taken, is_to_write) {
        (true, true) => connection.before_lock(Lock::Log),
        (true, false) => connection.before_other_lock(),
        (false, _) => None,
    };
    if let Some(error) = refused {
        return error;
    }
    let result = original!(file.xShmLock(first, count, flags));
    match (is_taken, is_to_write) {
        (true, true) => connection.after_lock(Lock::Log, result),
        (false, true) => connection.log_unlocked(),
        (_, false) => {}
    }
    result
}

/// The original does the same, and then takes and gives back a lock of the whole process "for redundancy", for which runs
/// beside each other would wait.
unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn file_control(
    file: *mut sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    let own = own!(file);
    let is_database = own.role == Role::Database;
    let refused = match operation {
        sqlite::SQLITE_FCNTL_SYNC if is_database => own.connection.synchronises(),
        sqlite::SQLITE_FCNTL_COMMIT_PHASETWO if is_database => own.connection.took_effect(),
        _ => None,
    };
    match refused {
        Some(error) => error,
        None => original!(file.xFileControl(operation, argument), or sqlite::SQLITE_NOTFOUND),
    }
}

const _: () = assert!(
    align_of::<Outer>() == 8,
    "SQLite aligns files to eight bytes"
);
