//! The layer between SQLite and the operating system: which files are watched. All others are the original layer's own.
//!
//! It is the process' default VFS (<https://sqlite.org/vfs.html>), under the original's name, and passes every call
//! on; files of watched databases get methods of ours around the original ones (`file`).

#![expect(
    unsafe_code,
    reason = "SQLite's interface to the operating system is one of C"
)]

mod file;
mod log;

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Once};

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3_file, sqlite3_vfs};
use stormglass_machine::living_host;

use crate::connection::Connection;
use crate::trace;
use crate::watch::{Watched, is_witnessing};
use file::Role;
pub(crate) use file::connection_of;
use log::Log;
pub use log::{LogsInMemory, keep_logs_in_memory};

/// The layer that was the default before.
static ORIGINAL: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(null_mut());

/// SQLite's layer for databases that only connections of one process have open (<https://sqlite.org/vfs.html>): it keeps
/// what these share about a log in its own memory, where the original keeps it in a file.
static OF_ONE_PROCESS: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(null_mut());

/// Puts this package below and above SQLite, once per process.
///
/// # Panics
///
/// If SQLite refuses.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        share_no_count();
        // SAFETY: the name may be null. The structure that is registered is a copy of the original one in all that is
        // no function, and lives for ever.
        unsafe {
            let original = sqlite::sqlite3_vfs_find(std::ptr::null());
            assert!(!original.is_null(), "SQLite has a default VFS");
            ORIGINAL.store(original, Ordering::SeqCst);
            let is_for_unix = CStr::from_ptr((*original).zName) == c"unix";
            let of_one_process = sqlite::sqlite3_vfs_find(c"unix-excl".as_ptr());
            if is_for_unix && !of_one_process.is_null() {
                OF_ONE_PROCESS.store(of_one_process, Ordering::SeqCst);
            }
            let own = Box::leak(Box::new(around(&*original)));
            let result = sqlite::sqlite3_vfs_register(own, 1);
            assert_eq!(result, sqlite::SQLITE_OK, "SQLite takes another VFS");
        }
        trace::install();
    });
}

/// Leaves SQLite's count of its memory out, if nothing of this process has opened a database yet.
///
/// It is kept under one lock for every connection of the process, taken with each allocation, so that
/// runs on different cores wait for one another (`SQLITE_CONFIG_MEMSTATUS`). Nothing of a run reads it.
fn share_no_count() {
    // SAFETY: the option takes one int. SQLite refuses the call, and changes nothing, once it is initialised.
    unsafe {
        sqlite::sqlite3_config(sqlite::SQLITE_CONFIG_MEMSTATUS, 0);
    }
}

/// A layer around the original one.
fn around(original: &sqlite3_vfs) -> sqlite3_vfs {
    sqlite3_vfs {
        szOsFile: file::size_around(original.szOsFile.max(log::SIZE)),
        pNext: null_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: original.xDlOpen.and(Some(dl_open)),
        xDlError: original.xDlError.and(Some(dl_error)),
        xDlSym: original.xDlSym.and(Some(dl_sym)),
        xDlClose: original.xDlClose.and(Some(dl_close)),
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: original.xGetLastError.and(Some(get_last_error)),
        xCurrentTimeInt64: original.xCurrentTimeInt64.and(Some(current_time_int64)),
        xSetSystemCall: original.xSetSystemCall.and(Some(set_system_call)),
        xGetSystemCall: original.xGetSystemCall.and(Some(get_system_call)),
        xNextSystemCall: original.xNextSystemCall.and(Some(next_system_call)),
        ..*original
    }
}

/// Whether SQLite opens a log to write to it. Journals and logs that are only read may be other connections', whose names
/// are not SQLite's own and do not lead to a database.
fn is_log_to_write(flags: c_int) -> bool {
    let wanted = sqlite::SQLITE_OPEN_READWRITE | sqlite::SQLITE_OPEN_WAL;
    flags & wanted == wanted
}

/// The watched connection that a file which is about to be opened belongs to, and what it is for it.
///
/// # Safety
///
/// `name` and `flags` are what SQLite gives to `xOpen`.
unsafe fn belongs_to(name: *const c_char, flags: c_int) -> Option<(Role, Arc<Connection>)> {
    if name.is_null() {
        return None;
    }
    let has = |flag: c_int| flags & flag != 0;
    if has(sqlite::SQLITE_OPEN_MAIN_DB) {
        living_host()?;
        if is_witnessing() {
            return None;
        }
        // SAFETY: a name ends in a null byte.
        let path = Path::new(OsStr::from_bytes(
            unsafe { CStr::from_ptr(name) }.to_bytes(),
        ));
        let watched = Watched::of(path)?;
        let file = watched.file(path);
        return Some((Role::Database, Arc::new(Connection::new(watched, file))));
    }
    let role = match has(sqlite::SQLITE_OPEN_READWRITE) {
        _ if is_log_to_write(flags) => Role::Log,
        true if has(sqlite::SQLITE_OPEN_MAIN_JOURNAL) => Role::Journal,
        _ => return None,
    };
    // SAFETY: the name of a journal or log that SQLite opens to write leads to the file of its database.
    let connection = unsafe { connection_of(sqlite::sqlite3_database_file_object(name)) }?;
    Some((role, connection))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's own arguments; the room behind `file` is as large as `around` has asked for.
    unsafe {
        match belongs_to(name, flags) {
            None => open_below(name, file, flags, out_flags),
            Some((role, connection)) => file::open(file, role, connection, |inner| {
                open_below(name, inner, flags, out_flags)
            }),
        }
    }
}

/// Opens what is below a watched file, and what is not watched.
///
/// # Safety
///
/// As `open`.
unsafe fn open_below(
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let mut layer = ORIGINAL.load(Ordering::Relaxed);
    // SAFETY: SQLite's own arguments, for the layer that they would have gone to, or for its sister, whose files are of
    // the same kind; a log takes no more room than a file.
    unsafe {
        let of_one_process = OF_ONE_PROCESS.load(Ordering::Relaxed);
        if flags & sqlite::SQLITE_OPEN_MAIN_DB != 0
            && !of_one_process.is_null()
            && log::is_kept_for(name)
        {
            layer = of_one_process;
        }
        if is_log_to_write(flags)
            && let Some(log) = Log::opened(name)
        {
            log::open(file, log);
            if !out_flags.is_null() {
                *out_flags = flags;
            }
            return sqlite::SQLITE_OK;
        }
        match (*layer).xOpen {
            Some(open) => open(layer, name, file, flags, out_flags),
            None => sqlite::SQLITE_CANTOPEN,
        }
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let original = ORIGINAL.load(Ordering::Relaxed);
    // SAFETY: SQLite's own arguments.
    unsafe {
        let was_in_memory = Log::delete(name);
        let Some(delete) = (*original).xDelete else {
            return sqlite::SQLITE_IOERR;
        };
        match delete(original, name, sync) {
            sqlite::SQLITE_IOERR_DELETE_NOENT if was_in_memory => sqlite::SQLITE_OK,
            result => result,
        }
    }
}

unsafe extern "C" fn access(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let original = ORIGINAL.load(Ordering::Relaxed);
    // SAFETY: SQLite's own arguments.
    unsafe {
        if Log::exists(name) {
            *out = 1;
            return sqlite::SQLITE_OK;
        }
        match (*original).xAccess {
            Some(access) => access(original, name, flags, out),
            None => sqlite::SQLITE_IOERR,
        }
    }
}

/// Functions that call the original one with the same arguments.
macro_rules! pass_on {
    ($($function:ident => $method:ident($($name:ident: $argument:ty),*) -> $result:ty, or $default:expr;)*) => {$(
        unsafe extern "C" fn $function(_: *mut sqlite3_vfs, $($name: $argument),*) -> $result {
            let original = ORIGINAL.load(Ordering::Relaxed);
            // SAFETY: SQLite's own arguments, for the layer that they would have gone to.
            unsafe {
                match (*original).$method {
                    Some(method) => method(original, $($name),*),
                    None => $default,
                }
            }
        }
    )*};
}

type Symbol = Option<unsafe extern "C" fn(*mut sqlite3_vfs, *mut c_void, *const c_char)>;

pass_on! {
    full_pathname => xFullPathname(name: *const c_char, size: c_int, out: *mut c_char) -> c_int, or sqlite::SQLITE_IOERR;
    dl_open => xDlOpen(name: *const c_char) -> *mut c_void, or null_mut();
    dl_error => xDlError(size: c_int, message: *mut c_char) -> (), or ();
    dl_sym => xDlSym(library: *mut c_void, name: *const c_char) -> Symbol, or None;
    dl_close => xDlClose(library: *mut c_void) -> (), or ();
    randomness => xRandomness(size: c_int, out: *mut c_char) -> c_int, or 0;
    sleep => xSleep(micros: c_int) -> c_int, or 0;
    current_time => xCurrentTime(out: *mut f64) -> c_int, or sqlite::SQLITE_ERROR;
    get_last_error => xGetLastError(size: c_int, out: *mut c_char) -> c_int, or 0;
    current_time_int64 => xCurrentTimeInt64(out: *mut i64) -> c_int, or sqlite::SQLITE_ERROR;
    set_system_call => xSetSystemCall(name: *const c_char, call: sqlite::sqlite3_syscall_ptr) -> c_int, or sqlite::SQLITE_NOTFOUND;
    get_system_call => xGetSystemCall(name: *const c_char) -> sqlite::sqlite3_syscall_ptr, or None;
    next_system_call => xNextSystemCall(name: *const c_char) -> *const c_char, or std::ptr::null();
}
