//! Termination: how a process is asked to come to its end by itself.
//!
//! A signal cannot do that here. Whoever waits for one, be it by tokio's `signal` or by ctrlc, does so in statics of the
//! process that all runs share, so that a signal for one host would reach every other.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Task, Poll, Waker};

use crate::context::current;
use crate::host::Host;
use crate::lock;

/// Whether a process was asked to end, and who waits for that.
#[derive(Default)]
pub(crate) struct Termination(Mutex<State>);

#[derive(Default)]
struct State {
    is_asked: bool,
    /// Whether anything in the process would notice.
    is_awaited: bool,
    waiting: Vec<Waker>,
}

impl Termination {
    /// Forgets who waits: that keeps descriptors of the process open.
    pub(crate) fn forget(&self) {
        let waiting = std::mem::take(&mut lock(&self.0).waiting);
        drop(waiting);
    }

    /// Whether anything in the process would notice that it is asked to end.
    pub(crate) fn is_awaited(&self) -> bool {
        lock(&self.0).is_awaited
    }

    /// Asks the process to end; `false` if nothing in it would notice.
    pub(crate) fn ask(&self) -> bool {
        let mut state = lock(&self.0);
        if !state.is_awaited {
            return false;
        }
        state.is_asked = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        true
    }
}

/// Ends when the current host is asked to end by [`Machine::terminate`](crate::Machine::terminate): what a service
/// that takes a future for its graceful shutdown is given for it.
///
/// A host in which this was never called is killed instead. Outside of a host it never ends.
///
/// ```no_run
/// # async fn serve(shutdown: impl Future<Output = ()>) {}
/// # fn start(machine: &stormglass_machine::Machine) {
/// machine.start_service("orders", &[], || serve(stormglass_machine::terminated()));
/// # }
/// ```
pub fn terminated() -> Terminated {
    let host = current().map(|context| context.host.clone());
    if let Some(host) = &host {
        lock(&host.termination.0).is_awaited = true;
    }
    Terminated(host)
}

/// See [`terminated`].
pub struct Terminated(Option<Arc<Host>>);

impl std::fmt::Debug for Terminated {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Terminated")
    }
}

impl Future for Terminated {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        let Some(host) = &self.0 else {
            return Poll::Pending;
        };
        let mut state = lock(&host.termination.0);
        if state.is_asked {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|own| own.will_wake(task.waker())) {
            state.waiting.push(task.waker().clone());
        }
        Poll::Pending
    }
}
