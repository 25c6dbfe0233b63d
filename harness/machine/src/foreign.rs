//! Wake-ups from outside of a run.
//!
//! A lock in a static of the process may be held by a thread of another run, or of none. Whoever waits in a run is
//! noted here by address, so that such a thread's wake-up reaches it. When it does depends on the real machine;
//! `symbols::futex` therefore waits for locks in static memory in real time first, while virtual time stands still.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};

use crate::scheduler::Scheduler;

/// The runs of the process.
static RUNS: Mutex<Vec<Weak<Scheduler>>> = Mutex::new(Vec::new());
/// How many there are, so that a wake-up need not look where there is none.
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

/// From now on, wake-ups from outside reach the threads of `run`.
pub(crate) fn join(run: &Arc<Scheduler>) {
    let mut runs = spin(&RUNS);
    runs.retain(|own| own.strong_count() > 0);
    runs.push(Arc::downgrade(run));
    COUNT.store(runs.len(), Ordering::SeqCst);
}

/// The addresses at which threads of a run wait, each as often as threads of it do.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<Vec<usize>>);

impl Addresses {
    /// A thread of the run waits at `address`, until this is dropped.
    pub(crate) fn wait_at(&self, address: usize) -> Waiting<'_> {
        spin(&self.0).push(address);
        Waiting(self, address)
    }

    fn has(&self, address: usize) -> bool {
        spin(&self.0).contains(&address)
    }
}

/// A thread of a run waits at an address.
pub(crate) struct Waiting<'a>(&'a Addresses, usize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Waiting(Addresses(all), address) = self;
        let mut all = spin(all);
        if let Some(own) = all.iter().rposition(|own| own == address) {
            all.swap_remove(own);
        }
    }
}

/// Tells every run but `own` that a thread of another one has woken who waits at `address`.
pub(crate) fn wake(address: usize, own: Option<&Arc<Scheduler>>) {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return;
    }
    let runs: Vec<Arc<Scheduler>> = spin(&RUNS).iter().filter_map(Weak::upgrade).collect();
    let others = runs
        .iter()
        .filter(|run| own.is_none_or(|own| !Arc::ptr_eq(own, run)));
    for run in others.filter(|run| run.waited_at.has(address)) {
        run.wake_from_outside(address);
    }
}
