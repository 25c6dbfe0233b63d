//! SQLite, as all runs of the process share it.

#![expect(unsafe_code, reason = "SQLite keeps it for a whole process")]

use std::sync::Once;

/// Leaves SQLite's count of its memory out, if nothing of this process has opened a database yet.
///
/// It is kept under one lock for every connection of the process, taken with each allocation, so that
/// runs on different cores wait for one another (`SQLITE_CONFIG_MEMSTATUS`). Nothing of a run reads it.
pub(super) fn share_no_count() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the option takes one int. SQLite refuses the call, and changes nothing, once it is
        // initialised; `Once` keeps the harness from making it twice at a time.
        unsafe {
            libsqlite3_sys::sqlite3_config(libsqlite3_sys::SQLITE_CONFIG_MEMSTATUS, 0);
        }
    });
}
