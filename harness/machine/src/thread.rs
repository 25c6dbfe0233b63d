//! A thread of a run.

use std::sync::Arc;

use crate::fiber::Fiber;
use crate::host::Host;

/// A thread's number within its run.
pub(crate) type ThreadId = u32;

/// A thread of a run.
pub(crate) struct Thread {
    pub(crate) id: ThreadId,
    pub(crate) host: Arc<Host>,
    pub(crate) fiber: Arc<Fiber>,
}

impl Thread {
    pub(crate) fn new(id: ThreadId, host: Arc<Host>) -> Self {
        Thread {
            id,
            host,
            fiber: Arc::default(),
        }
    }
}
