//! A thread of a run: it works when it is told to, and waits in the kernel otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::host::Host;
use crate::symbols::futex;

/// A thread's number within its run.
pub(crate) type ThreadId = u32;

/// A thread of a run.
pub(crate) struct Thread {
    pub(crate) id: ThreadId,
    pub(crate) host: Arc<Host>,
    pub(crate) parker: Arc<Parker>,
    /// The number by which the real machine's kernel knows it; zero before it has begun.
    kernel_id: AtomicI32,
}

impl Thread {
    pub(crate) fn new(id: ThreadId, host: Arc<Host>) -> Self {
        Thread {
            id,
            host,
            parker: Arc::default(),
            kernel_id: AtomicI32::new(0),
        }
    }

    /// It is the current thread of the real machine.
    pub(crate) fn begins(&self) {
        let id = rustix::thread::gettid().as_raw_nonzero().get();
        self.kernel_id.store(id, Ordering::Relaxed);
    }

    /// The system call of the real machine that it is in, by its number; `None` if it is in none, or if that cannot be
    /// told.
    pub(crate) fn system_call(&self) -> Option<i64> {
        let id = self.kernel_id.load(Ordering::Relaxed);
        let told = std::fs::read_to_string(format!("/proc/self/task/{id}/syscall")).ok()?;
        let number = told.split(' ').next()?.parse().ok()?;
        // A number below zero says that it waits for something else, such as a page of memory.
        Some(number).filter(|number| *number >= 0)
    }
}

/// Where one thread waits for another.
#[derive(Default)]
pub(crate) struct Parker(AtomicU32);

impl Parker {
    /// Lets the thread that waits here, or will, go on once.
    pub(crate) fn unpark(&self) {
        self.0.store(1, Ordering::SeqCst);
        futex::unpark(&self.0);
    }

    /// Waits until the current thread may go on.
    pub(crate) fn park(&self) {
        while self.0.swap(0, Ordering::SeqCst) == 0 {
            futex::park(&self.0, 0);
        }
    }
}
