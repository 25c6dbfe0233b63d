//! Watches: which folders are watched, by whom, and which of their files are locked.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stormglass_machine::living_host;

use crate::time::now;
use crate::witness::Witness;
use crate::{lock, vfs};

/// The folders that are watched.
static WATCHED: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether a witness is at work on the current thread.
    static WITNESSING: Cell<bool> = const { Cell::new(false) };
}

/// Watches the databases in `folder` and below, as far as threads of a run's hosts open them from now on.
///
/// Runs at work at once in one process are told apart by their folders.
///
/// # Errors
///
/// If there is no such folder.
///
/// # Panics
///
/// If SQLite refuses to be watched, which it has no documented reason for.
pub fn watch(folder: &Path, witness: Arc<dyn Witness>) -> io::Result<Watch> {
    vfs::install();
    let watched = Arc::new(Watched {
        folder: folder.canonicalize()?,
        witness,
        files: Mutex::default(),
        connections: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        panic: Mutex::default(),
    });
    lock(&WATCHED).push(watched.clone());
    Ok(Watch { watched })
}

/// Watches a folder for as long as it lives.
pub struct Watch {
    watched: Arc<Watched>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("folder", &self.watched.folder)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Holds the write lock of a file of the folder for `time`, in virtual time from now on, unless a connection
    /// has it: then from when it gives it back until the same moment.
    ///
    /// It is as if another process did it. Whoever wants to write meets `SQLITE_BUSY` once its own busy timeout is over,
    /// or at once if its transaction has read before; whoever reads is not kept. Does not shorten a lock that lasts
    /// longer. To be called on a thread of the run, such as the one that drives it.
    ///
    /// # Errors
    ///
    /// If the folder of `file` (relative to the watched one, or absolute) does not exist.
    pub fn lock(&self, file: &Path, time: Duration) -> io::Result<()> {
        let file = self.watched.folder.join(file);
        let name = file.file_name().unwrap_or_default();
        let folder = file.parent().unwrap_or(Path::new("/")).canonicalize()?;
        self.watched.file(&folder.join(name)).hold(time);
        Ok(())
    }

    /// Leaves a file of the folder no room, or gives it room again: neither it nor its journal and log can grow, and who
    /// makes them do so meets `SQLITE_FULL`. What they have already they can be overwritten in, as on a real disk.
    pub fn set_full(&self, file: &Path, is_full: bool) {
        let file = self.watched.file(&self.watched.folder.join(file));
        file.is_full.store(is_full, Ordering::SeqCst);
    }
}

impl Drop for Watch {
    /// Ends the watching.
    ///
    /// # Panics
    ///
    /// If the witness has panicked, unless the current thread panics already.
    fn drop(&mut self) {
        self.watched.is_over.store(true, Ordering::SeqCst);
        lock(&WATCHED).retain(|own| !Arc::ptr_eq(own, &self.watched));
        if let Some(panic) = lock(&self.watched.panic).take()
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

/// A folder that is watched.
pub(crate) struct Watched {
    folder: PathBuf,
    witness: Arc<dyn Witness>,
    files: Mutex<BTreeMap<PathBuf, Arc<File>>>,
    /// How many connections were opened.
    connections: AtomicU64,
    is_over: AtomicBool,
    /// What the witness has panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Watched {
    /// Who watches the folder that `file` is in, if anybody does.
    pub(crate) fn of(file: &Path) -> Option<Arc<Watched>> {
        let watched = lock(&WATCHED);
        let found = watched.iter().find(|own| file.starts_with(&own.folder));
        found.cloned()
    }

    pub(crate) fn file(&self, path: &Path) -> Arc<File> {
        let mut files = lock(&self.files);
        let file = files.entry(path.to_owned());
        let new = || {
            Arc::new(File {
                path: path.to_owned(),
                held_until: Mutex::default(),
                is_full: AtomicBool::new(false),
            })
        };
        file.or_insert_with(new).clone()
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Lets the witness say something, if there still is one.
    pub(crate) fn ask<T: Default>(&self, question: impl FnOnce(&dyn Witness) -> T) -> T {
        if self.is_over.load(Ordering::SeqCst) || is_witnessing() {
            return T::default();
        }
        struct AtWork;
        impl Drop for AtWork {
            fn drop(&mut self) {
                WITNESSING.set(false);
            }
        }
        WITNESSING.set(true);
        let _at_work = AtWork;
        // SQLite's own frames are below, which no panic may pass.
        catch_unwind(AssertUnwindSafe(|| question(&*self.witness))).unwrap_or_else(|panic| {
            self.is_over.store(true, Ordering::SeqCst);
            *lock(&self.panic) = Some(panic);
            T::default()
        })
    }
}

/// Whether a witness is at work on the current thread: what it opens is its own affair.
pub(crate) fn is_witnessing() -> bool {
    WITNESSING.get()
}

/// A database file, as all connections to it share it.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// Until when somebody outside of the run has the write lock.
    held_until: Mutex<Option<Instant>>,
    /// Whether there is no room for more.
    is_full: AtomicBool,
}

impl File {
    /// Holds the write lock for `time`.
    pub(crate) fn hold(&self, time: Duration) {
        let until = now().checked_add(time);
        // What cannot be expressed is never over.
        let until = until.unwrap_or_else(|| now() + Duration::from_secs(u64::from(u32::MAX)));
        let mut held = lock(&self.held_until);
        *held = (*held).max(Some(until));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::SeqCst)
    }

    pub(crate) fn is_held(&self) -> bool {
        let held = *lock(&self.held_until);
        // Virtual time is told on threads of a run only.
        held.is_some_and(|until| living_host().is_some() && now() < until)
    }
}
