//! Scratch folders: where the database files of one run live, in memory where the machine has it.
//!
//! A name is made of the process and a count, never of random bytes: a run must not depend on what
//! other runs left there. Each folder holds a locked file, and one whose lock nobody holds belongs to
//! a process that was killed: it is removed by the next process that makes one.

use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every folder's name begins with.
const PREFIX: &str = "stormglass-";
/// The file whose lock says that the folder is in use.
const LOCK: &str = "in-use";

/// A folder of one's own, removed with everything in it when it is dropped.
pub(super) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// A new folder.
    ///
    /// # Errors
    ///
    /// If neither memory-backed storage nor the folder for temporary files can be written.
    pub(super) fn create() -> std::io::Result<Self> {
        let memory = Path::new("/dev/shm");
        static SWEEP: Once = Once::new();
        SWEEP.call_once(|| {
            for base in [memory, &std::env::temp_dir()] {
                remove_abandoned(base);
            }
        });
        create_in(memory).or_else(|_| {
            let base = std::env::temp_dir();
            create_in(&base).map_err(|error| {
                let base = base.display();
                Error::new(
                    error.kind(),
                    format!("no scratch folder in {base}: {error}"),
                )
            })
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by a later process.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn create_in(base: &Path) -> std::io::Result<Scratch> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = base.join(format!("{PREFIX}{process}-{count}"));
        match std::fs::create_dir(&path) {
            Ok(()) => {}
            // Left by a process of the same number, or by one that sees other process numbers.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        let lock = match File::create(path.join(LOCK)) {
            Ok(lock) => lock,
            // Somebody who tidies up was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Some(own) = held(path, lock)? {
            return Ok(own);
        }
    }
}

/// The folder at `path`, whose file to lock is `lock`; `None` if somebody who tidies up took it for abandoned before it was
/// locked.
fn held(path: PathBuf, lock: File) -> std::io::Result<Option<Scratch>> {
    match lock.try_lock() {
        // Whoever removes a folder holds its lock until it is gone.
        Ok(()) if path.join(LOCK).exists() => Ok(Some(Scratch { path, _lock: lock })),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a folder of this name was made by [`create_in`].
fn is_ours(name: &str) -> bool {
    let numbers = name
        .strip_prefix(PREFIX)
        .and_then(|own| own.split_once('-'));
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
}

/// Removes the folders of processes that were killed.
fn remove_abandoned(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        if !is_ours(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // Another process may be removing it as well.
        let _ = match File::open(entry.path().join(LOCK)) {
            Ok(lock) if lock.try_lock().is_ok() => std::fs::remove_dir_all(entry.path()),
            Ok(_) => Ok(()),
            // Left by a process that was killed when it made or removed it; one that holds anything is not removed.
            Err(_) => std::fs::remove_dir(entry.path()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, Scratch, create_in, held, remove_abandoned};

    #[test]
    fn a_folder_goes_with_its_owner_and_no_other_one() {
        let first = Scratch::create().unwrap();
        let second = Scratch::create().unwrap();
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
        assert!(second.path().exists());
    }

    #[test]
    fn only_what_nobody_holds_is_abandoned() {
        let base = tempfile::tempdir().unwrap();
        let held = create_in(base.path()).unwrap();
        let killed = base.path().join(format!("{PREFIX}0-0"));
        std::fs::create_dir(&killed).unwrap();
        std::fs::write(killed.join(super::LOCK), "").unwrap();
        let unfinished = base.path().join(format!("{PREFIX}0-1"));
        std::fs::create_dir(&unfinished).unwrap();
        let foreign = ["somebody-elses", "stormglass-postgres-1-0", "stormglass-1"];
        let foreign = foreign.map(|name| base.path().join(name));
        for own in &foreign {
            std::fs::create_dir(own).unwrap();
        }
        remove_abandoned(base.path());
        assert!(held.path().exists());
        assert!(!killed.exists());
        assert!(!unfinished.exists());
        assert!(foreign.iter().all(|own| own.exists()));
    }

    #[test]
    fn a_folder_that_was_taken_for_abandoned_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join(format!("{PREFIX}0-1"));
        let made = || {
            std::fs::create_dir(&path).unwrap();
            std::fs::File::create(path.join(super::LOCK)).unwrap()
        };
        let lock = made();
        remove_abandoned(base.path());
        assert!(held(path.clone(), lock).unwrap().is_none());
        let lock = made();
        let other = std::fs::File::open(path.join(super::LOCK)).unwrap();
        other.lock().unwrap();
        assert!(held(path.clone(), lock).unwrap().is_none());
        drop(other);
        let lock = std::fs::File::open(path.join(super::LOCK)).unwrap();
        assert!(held(path.clone(), lock).unwrap().is_some());
    }

    #[test]
    fn a_name_that_is_taken_is_passed_over() {
        let base = tempfile::tempdir().unwrap();
        for count in 0..2_000 {
            let taken = format!("{PREFIX}{}-{count}", std::process::id());
            std::fs::create_dir(base.path().join(taken)).unwrap();
        }
        assert!(create_in(base.path()).unwrap().path().exists());
    }
}
