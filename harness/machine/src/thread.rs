//! A thread of a run: it works when it is told to, and waits in the kernel otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::host::Host;
use crate::symbols::futex;

/// A thread's number within its run.
pub(crate) type ThreadId = u32;

/// A thread of a run.
pub(crate) struct Thread {
    pub(crate) id: ThreadId,
    pub(crate) host: Arc<Host>,
    pub(crate) parker: Arc<Parker>,
}

impl Thread {
    pub(crate) fn new(id: ThreadId, host: Arc<Host>) -> Self {
        Thread {
            id,
            host,
            parker: Arc::default(),
        }
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
