//! Cores: all threads of a run stay on one, because they only ever wait for each other: a thread that begins or ends is
//! not to wait for the core of another run. Another process that a run waits for can be brought there as well, so that
//! neither of the two ever has to wake a core.
//!
//! Nothing of a run depends on where it runs. Where the operating system has no such call or refuses
//! it, and where more runs than cores are under way, the scheduler decides as it would have.

use std::sync::{LazyLock, Mutex};

use crate::lock;

/// The cores of this process, each with the number of runs that stay on it.
static CORES: LazyLock<Mutex<Vec<(usize, u32)>>> = LazyLock::new(|| {
    let own = system::allowed().into_iter().map(|core| (core, 0));
    Mutex::new(own.collect())
});

/// The core of one run, until it is dropped.
#[derive(Debug)]
pub struct Core(usize);

impl Core {
    /// Keeps the current thread, and those that it will start, on a core of its own; `None` if none is
    /// free.
    ///
    /// The core that the thread is on comes first: the scheduler has put it where other processes,
    /// such as a test runner's, leave room, and they cannot be seen from here.
    #[must_use = "the core is given back when this is dropped"]
    pub fn claim() -> Option<Core> {
        let mut cores = lock(&CORES);
        let (core, runs) = free(&mut cores, system::current())?;
        system::stay_on(*core)?;
        *runs += 1;
        Some(Core(*core))
    }
}

/// A core without a run, the current one if it has none.
fn free(cores: &mut [(usize, u32)], current: Option<usize>) -> Option<&mut (usize, u32)> {
    let free = cores.iter_mut().filter(|(_, runs)| *runs == 0);
    free.min_by_key(|(core, _)| current != Some(*core))
}

/// Has another process run where the current thread may, as far as the operating system allows it. On a thread of a run
/// this is the core of the run.
pub fn bring(process: u32) {
    system::bring(process);
}

impl Drop for Core {
    fn drop(&mut self) {
        for (core, runs) in &mut *lock(&CORES) {
            if *core == self.0 {
                *runs = runs.saturating_sub(1);
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

    /// The cores that the current thread may run on.
    pub(super) fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect()
    }

    /// The core that the current thread is on.
    pub(super) fn current() -> Option<usize> {
        Some(sched_getcpu())
    }

    /// `None` if the operating system refuses.
    pub(super) fn stay_on(core: usize) -> Option<()> {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).ok()
    }

    pub(super) fn bring(process: u32) {
        let process = Pid::from_raw(process.cast_signed());
        if let (Some(process), Ok(own)) = (process, sched_getaffinity(None)) {
            // Where it is refused the process stays where it was, and is only slower.
            let _ = sched_setaffinity(Some(process), &own);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn allowed() -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn current() -> Option<usize> {
        None
    }

    pub(super) fn stay_on(_: usize) -> Option<()> {
        None
    }

    pub(super) fn bring(_: u32) {}
}

#[cfg(test)]
mod tests {
    use super::free;

    #[test]
    fn a_run_stays_where_it_was_put_unless_another_is_there() {
        let chosen = |cores: &mut [(usize, u32)]| free(cores, Some(3)).map(|(core, _)| *core);
        assert_eq!(chosen(&mut [(0, 0), (1, 0), (3, 0)]), Some(3));
        assert_eq!(chosen(&mut [(0, 1), (1, 0), (3, 1)]), Some(1));
        assert_eq!(chosen(&mut [(0, 1), (1, 1), (3, 1)]), None);
    }
}
