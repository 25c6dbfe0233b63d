//! The operating system's locks of watched files, which are left out.
//!
//! SQLite's layer knows itself which connections of its process hold what, and asks the operating system for the sake of
//! other processes only. None of them has the files of a run; and to ask is most of what a transaction costs.

#![expect(unsafe_code, reason = "SQLite calls the operating system by C")]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::sync::OnceLock;

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3_syscall_ptr, sqlite3_vfs};

/// `fcntl`, as SQLite calls it: the third argument is a number or a pointer.
type Fcntl = unsafe extern "C" fn(c_int, c_int, *mut c_void) -> c_int;

/// The function that was called before.
static ORIGINAL: OnceLock<Fcntl> = OnceLock::new();

thread_local! {
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Puts itself between SQLite's layer for Unix and the operating system. A layer that has no such place is left as it is.
///
/// # Safety
///
/// `original` is that layer.
pub(super) unsafe fn install(original: *mut sqlite3_vfs) {
    // SAFETY: the caller's promise; `fcntl` is the name of a function of this type.
    unsafe {
        let (Some(get), Some(set)) = ((*original).xGetSystemCall, (*original).xSetSystemCall)
        else {
            return;
        };
        let Some(fcntl) = get(original, c"fcntl".as_ptr()) else {
            return;
        };
        ORIGINAL.get_or_init(|| transmute::<unsafe extern "C" fn(), Fcntl>(fcntl));
        let own: sqlite3_syscall_ptr =
            Some(transmute::<Fcntl, unsafe extern "C" fn()>(without_locks));
        set(original, c"fcntl".as_ptr(), own);
    }
}

/// Does `work`, which takes or gives back locks of a file of a run.
pub(crate) fn of_watched<T>(work: impl FnOnce() -> T) -> T {
    IS_WATCHED.set(true);
    let result = work();
    IS_WATCHED.set(false);
    result
}

unsafe extern "C" fn without_locks(
    descriptor: c_int,
    command: c_int,
    argument: *mut c_void,
) -> c_int {
    if command == libc::F_SETLK && IS_WATCHED.get() {
        return 0;
    }
    match ORIGINAL.get() {
        // SAFETY: the caller's own arguments.
        Some(original) => unsafe { original(descriptor, command, argument) },
        None => -1,
    }
}
