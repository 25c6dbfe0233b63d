//! Write-ahead logs in memory: what SQLite writes to a log is kept by the process instead of by the operating system.
//!
//! A run writes its logs page by page and reads them more often still, and nobody but SQLite looks at them. Each such
//! call is one of the operating system's otherwise, which finds a page, clears it and gives it back after the run.
//! As on disk, a process that has been killed changes nothing any more.

#![expect(
    unsafe_code,
    reason = "SQLite's interface to the operating system is one of C"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fs::Metadata;
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3_file, sqlite3_io_methods};
use stormglass_machine::is_killed;

use crate::lock;

/// The folders whose logs are in memory.
static FOLDERS: Mutex<Vec<Arc<Folder>>> = Mutex::new(Vec::new());

/// Room that earlier logs have had.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How many logs' room is kept for later ones, and how much of each.
const SPARE_MAX: usize = 64;
const ROOM_MAX: usize = 4 << 20;

/// What a file of SQLite's layer for Unix says of its sectors, which a log in memory says as well.
const SECTOR: c_int = 4096;

/// Keeps the logs of databases in `folder` and below in memory, those that are opened from now on.
///
/// Every connection of this process that opens such a database by SQLite's default layer shares them. A log that a
/// file holds already is taken in; on disk it stays as it was. Whoever reads a `-wal` file by other means than
/// SQLite does not see what is in memory.
///
/// # Errors
///
/// If there is no such folder.
///
/// # Panics
///
/// As [`watch`](crate::watch).
pub fn keep_logs_in_memory(folder: &Path) -> io::Result<LogsInMemory> {
    super::install();
    let folder = Arc::new(Folder {
        path: folder.canonicalize()?,
        logs: Mutex::default(),
    });
    lock(&FOLDERS).push(folder.clone());
    Ok(LogsInMemory { folder })
}

/// Keeps the logs of a folder in memory for as long as it lives; connections that are still open afterwards keep theirs.
#[derive(Debug)]
pub struct LogsInMemory {
    folder: Arc<Folder>,
}

impl Drop for LogsInMemory {
    fn drop(&mut self) {
        lock(&FOLDERS).retain(|own| !Arc::ptr_eq(own, &self.folder));
    }
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    logs: Mutex<BTreeMap<PathBuf, Arc<Log>>>,
}

impl Folder {
    fn of(file: &Path) -> Option<Arc<Folder>> {
        let folders = lock(&FOLDERS);
        let found = folders.iter().find(|own| file.starts_with(&own.path));
        found.cloned()
    }
}

/// The log of a database, as all connections to it share it.
#[derive(Debug)]
pub(super) struct Log {
    database: Option<Identity>,
    content: Mutex<Vec<u8>>,
}

/// Which file a database is: one that has taken another's name has a log of its own.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
    /// A number may be given again.
    created: Option<SystemTime>,
}

impl Identity {
    fn of(file: &Metadata) -> Self {
        Identity {
            device: file.dev(),
            number: file.ino(),
            created: file.created().ok(),
        }
    }
}

impl Log {
    /// The log that is called `name`, if it is kept in memory.
    ///
    /// # Safety
    ///
    /// `name` is what SQLite gives to `xOpen` for a log.
    pub(super) unsafe fn opened(name: *const c_char) -> Option<Arc<Log>> {
        // SAFETY: the name of a log leads to the one of its database, and both end in a null byte.
        let (path, database) =
            unsafe { (path(name), path(sqlite::sqlite3_filename_database(name))) };
        let folder = Folder::of(path)?;
        let database = std::fs::metadata(database).ok().as_ref().map(Identity::of);
        let mut logs = lock(&folder.logs);
        if let Some(known) = logs.get(path)
            && known.database == database
        {
            return Some(known.clone());
        }
        if is_killed() {
            return None;
        }
        let mut content = lock(&SPARE).pop().unwrap_or_default();
        if let Ok(mut file) = std::fs::File::open(path) {
            io::Read::read_to_end(&mut file, &mut content).ok()?;
        }
        let log = Arc::new(Log {
            database,
            content: Mutex::new(content),
        });
        logs.insert(path.to_owned(), log.clone());
        Some(log)
    }

    /// Whether there is something in a log of this name in memory: SQLite's layer for Unix calls an empty file none.
    ///
    /// # Safety
    ///
    /// `name` ends in a null byte.
    pub(super) unsafe fn exists(name: *const c_char) -> bool {
        // SAFETY: the caller's promise.
        let path = unsafe { path(name) };
        let is_full = |own: Arc<Folder>| {
            let logs = lock(&own.logs);
            let own = logs.get(path);
            own.is_some_and(|own| !lock(&own.content).is_empty())
        };
        may_be_log(path) && Folder::of(path).is_some_and(is_full)
    }

    /// Forgets the log of this name; whether there was one.
    ///
    /// # Safety
    ///
    /// As [`Log::exists`].
    pub(super) unsafe fn delete(name: *const c_char) -> bool {
        // SAFETY: the caller's promise.
        let path = unsafe { path(name) };
        may_be_log(path)
            && !is_killed()
            && Folder::of(path).is_some_and(|own| lock(&own.logs).remove(path).is_some())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let mut content = std::mem::take(&mut *lock(&self.content));
        let mut spare = lock(&SPARE);
        if spare.len() < SPARE_MAX && content.capacity() <= ROOM_MAX {
            content.clear();
            spare.push(content);
        }
    }
}

/// Whether the log of the database `name` is kept in memory.
///
/// # Safety
///
/// `name` is null or ends in a null byte.
pub(super) unsafe fn is_kept_for(name: *const c_char) -> bool {
    // SAFETY: the caller's promise.
    !name.is_null() && Folder::of(unsafe { path(name) }).is_some()
}

/// # Safety
///
/// `name` ends in a null byte, which it does for as long as the path is used.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: the caller's promise.
    Path::new(OsStr::from_bytes(
        unsafe { CStr::from_ptr(name) }.to_bytes(),
    ))
}

/// SQLite's name for a log is its database's with this ending (<https://sqlite.org/walformat.html>).
fn may_be_log(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"-wal")
}

/// A log that a connection has open.
#[repr(C)]
struct OpenLog {
    base: sqlite3_file,
    log: ManuallyDrop<Arc<Log>>,
}

/// How much room an open log takes.
pub(super) const SIZE: c_int = size_of::<OpenLog>() as c_int;

/// Opens `log`.
///
/// # Safety
///
/// `file` has room for [`SIZE`] bytes.
pub(super) unsafe fn open(file: *mut sqlite3_file, log: Arc<Log>) {
    // SAFETY: the caller's promise.
    unsafe {
        file.cast::<OpenLog>().write(OpenLog {
            base: sqlite3_file { pMethods: &METHODS },
            log: ManuallyDrop::new(log),
        });
    }
}

/// The methods that SQLite calls of a log.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_nothing),
    xUnlock: Some(lock_nothing),
    xCheckReservedLock: Some(is_never_locked),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Does `work` with what is in a log.
///
/// # Safety
///
/// `file` was opened by [`open`] and not closed.
unsafe fn with<R>(file: *mut sqlite3_file, work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // SAFETY: the caller's promise.
    let own = unsafe { &*file.cast::<OpenLog>() };
    work(&mut lock(&own.log.content))
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: written by `open`, and not used again: without methods the file is closed.
    unsafe {
        ManuallyDrop::drop(&mut (*file.cast::<OpenLog>()).log);
        (*file).pMethods = std::ptr::null();
    }
    sqlite::SQLITE_OK
}

/// A place in a log as SQLite gives it: it is never negative.
fn place(at: i64) -> usize {
    usize::try_from(at).unwrap_or(0)
}

/// Fills `wanted` with what stands at a place, with zeros where there is nothing; whether it was all there.
fn take(content: &[u8], at: usize, wanted: &mut [u8]) -> bool {
    let there = content.get(at..).unwrap_or_default();
    let (found, missing) = wanted.split_at_mut(there.len().min(wanted.len()));
    found.copy_from_slice(&there[..found.len()]);
    missing.fill(0);
    missing.is_empty()
}

/// Puts `written` at a place, over what is there.
fn put(content: &mut Vec<u8>, at: usize, written: &[u8]) {
    if content.len() < at {
        content.resize(at, 0);
    }
    let (over, further) = written.split_at(written.len().min(content.len() - at));
    content[at..at + over.len()].copy_from_slice(over);
    content.extend_from_slice(further);
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    buffer: *mut c_void,
    length: c_int,
    at: i64,
) -> c_int {
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the contract of `xRead` is that there is room for `length` bytes.
    let is_all = unsafe {
        let wanted = std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length);
        with(file, |content| take(content, place(at), wanted))
    };
    match is_all {
        true => sqlite::SQLITE_OK,
        false => sqlite::SQLITE_IOERR_SHORT_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    buffer: *const c_void,
    length: c_int,
    at: i64,
) -> c_int {
    if is_killed() {
        return sqlite::SQLITE_IOERR_WRITE;
    }
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the contract of `xWrite` is that `buffer` has `length` readable bytes.
    unsafe {
        let written = std::slice::from_raw_parts(buffer.cast::<u8>(), length);
        with(file, |content| put(content, place(at), written));
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    if is_killed() {
        return sqlite::SQLITE_IOERR_TRUNCATE;
    }
    // SAFETY: SQLite calls this with files that `open` has opened, as below.
    unsafe { with(file, |content| content.truncate(place(size))) };
    sqlite::SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: the contract of `xFileSize`: room for a number.
    unsafe {
        *out = with(file, |content| {
            i64::try_from(content.len()).unwrap_or(i64::MAX)
        })
    };
    sqlite::SQLITE_OK
}

unsafe extern "C" fn sync(_: *mut sqlite3_file, _: c_int) -> c_int {
    sqlite::SQLITE_OK
}

unsafe extern "C" fn lock_nothing(_: *mut sqlite3_file, _: c_int) -> c_int {
    sqlite::SQLITE_OK
}

unsafe extern "C" fn is_never_locked(_: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: the contract of `xCheckReservedLock`: room for a number.
    unsafe { *out = 0 };
    sqlite::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    sqlite::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    SECTOR
}

unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    sqlite::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

#[cfg(test)]
mod tests {
    use super::{put, take};

    #[test]
    fn what_is_not_there_is_read_as_zeros() {
        let mut wanted = [9; 4];
        assert!(take(&[1, 2, 3, 4, 5], 1, &mut wanted));
        assert_eq!(wanted, [2, 3, 4, 5]);
        assert!(!take(&[1, 2, 3, 4, 5], 3, &mut wanted));
        assert_eq!(wanted, [4, 5, 0, 0]);
        assert!(!take(&[1, 2, 3, 4, 5], 7, &mut wanted));
        assert_eq!(wanted, [0; 4]);
    }

    #[test]
    fn what_is_written_takes_the_place_of_what_was_there() {
        let mut content = vec![1, 2, 3];
        put(&mut content, 1, &[7]);
        assert_eq!(content, [1, 7, 3]);
        put(&mut content, 2, &[8, 9]);
        assert_eq!(content, [1, 7, 8, 9]);
        put(&mut content, 6, &[5]);
        assert_eq!(content, [1, 7, 8, 9, 0, 0, 5]);
    }
}
