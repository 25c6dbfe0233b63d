//! Wake-ups from outside of a run.
//!
//! A lock in a static of the process may be held by a thread of another run, or of none. Whoever waits in a run is
//! noted here by address, so that such a thread's wake-up reaches it. When it does depends on the real machine;
//! `symbols::futex` therefore waits for locks in static memory in real time first, while virtual time stands still.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};

use crate::scheduler::Scheduler;

/// The runs whose threads wait, by address, each as often as threads of it wait there.
static WAITING: Mutex<BTreeMap<usize, Vec<Weak<Scheduler>>>> = Mutex::new(BTreeMap::new());
/// How many addresses are waited at, so that most wake-ups need not look.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Locks what threads of several runs, or of none, lock for a moment, without ever waiting in the kernel: that,
/// and giving it back, would be a wait and a wake-up of a run.
pub(crate) fn spin<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
        }
    }
}

/// A thread of a run waits at an address, until this is dropped.
pub(crate) struct Waiting {
    address: usize,
    run: Weak<Scheduler>,
}

impl Waiting {
    pub(crate) fn at(address: usize, run: &Arc<Scheduler>) -> Self {
        let run = Arc::downgrade(run);
        let mut waiting = spin(&WAITING);
        waiting.entry(address).or_default().push(run.clone());
        COUNT.store(waiting.len(), Ordering::SeqCst);
        Waiting { address, run }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = spin(&WAITING);
        if let Some(runs) = waiting.get_mut(&self.address) {
            if let Some(own) = runs.iter().position(|run| run.ptr_eq(&self.run)) {
                runs.swap_remove(own);
            }
            if runs.is_empty() {
                waiting.remove(&self.address);
            }
        }
        COUNT.store(waiting.len(), Ordering::SeqCst);
    }
}

/// Tells every run but `own` that a thread of another one has woken who waits at `address`.
pub(crate) fn wake(address: usize, own: Option<&Arc<Scheduler>>) {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return;
    }
    let runs: Vec<Arc<Scheduler>> = match spin(&WAITING).get(&address) {
        Some(runs) => runs.iter().filter_map(Weak::upgrade).collect(),
        None => return,
    };
    let others = runs
        .iter()
        .filter(|run| own.is_none_or(|own| !Arc::ptr_eq(own, run)));
    for run in others {
        run.wake_from_outside(address);
    }
}
