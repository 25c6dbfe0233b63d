//! Signals: which sockets of a host something has happened to, as turmoil-net tells by wakers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use crate::descriptor::ObjectId;
use crate::lock;

/// Sockets that something has happened to.
#[derive(Default)]
pub(super) struct Signals {
    sockets: Mutex<Vec<ObjectId>>,
    /// Whether there are any: a kernel asks far more often than there are.
    is_any: AtomicBool,
}

impl Signals {
    /// What tells that something has happened to `socket`.
    pub(super) fn waker(self: &Arc<Self>, socket: ObjectId) -> Waker {
        Waker::from(Arc::new(Signal {
            socket,
            signals: self.clone(),
        }))
    }

    /// Those since this was asked last, in the order in which it happened.
    pub(super) fn take(&self) -> Vec<ObjectId> {
        if !self.is_any.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut sockets = lock(&self.sockets);
        self.is_any.store(false, Ordering::SeqCst);
        std::mem::take(&mut *sockets)
    }
}

struct Signal {
    socket: ObjectId,
    signals: Arc<Signals>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        lock(&self.signals.sockets).push(self.socket);
        self.signals.is_any.store(true, Ordering::SeqCst);
    }
}
