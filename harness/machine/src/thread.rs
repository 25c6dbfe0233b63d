//! A thread of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fiber::Fiber;
use crate::host::Host;
use crate::scheduler::Woken;

/// A thread's number within its run.
pub(crate) type ThreadId = u32;

/// A thread of a run.
pub(crate) struct Thread {
    pub(crate) id: ThreadId,
    pub(crate) host: Arc<Host>,
    pub(crate) fiber: Arc<Fiber>,
    /// Whether its last wait came to its deadline.
    is_past_deadline: AtomicBool,
}

impl Thread {
    pub(crate) fn new(id: ThreadId, host: Arc<Host>) -> Self {
        Thread {
            id,
            host,
            fiber: Arc::default(),
            is_past_deadline: AtomicBool::new(false),
        }
    }

    /// Its wait is over.
    pub(crate) fn note_woken(&self, woken: Woken) {
        let is_past_deadline = woken == Woken::ByDeadline;
        self.is_past_deadline
            .store(is_past_deadline, Ordering::Relaxed);
    }

    /// Why its last wait is over.
    pub(crate) fn woken(&self) -> Woken {
        match self.is_past_deadline.load(Ordering::Relaxed) {
            true => Woken::ByDeadline,
            false => Woken::ByEvent,
        }
    }
}
