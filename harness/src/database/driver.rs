//! The driver bridge: real database calls, made while virtual time stands still.
//!
//! sqlx works with other threads (SQLite) or real sockets (PostgreSQL). Awaiting either inside the
//! simulation would let virtual time run ahead by however long the machine took. So a driver call
//! is polled to completion on the simulation's thread, with the machine's own clock.

use std::pin::pin;
use std::sync::LazyLock;

use futures_lite::future::{block_on, poll_once};
use stormglass_machine::{outside, suspended};
use tokio::runtime::{Builder, Runtime};

/// The runtime that carries real sockets; its own thread never runs code of the system.
static REAL_IO: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("stormglass-io")
        .enable_all()
        .build()
        .expect("a thread for real sockets can be started")
});

/// Starts the thread that carries real sockets. It belongs to all runs, so none of them may be the one
/// that starts it, on a core of its own.
pub(super) fn start() {
    LazyLock::force(&REAL_IO);
}

/// How often a call is looked at before the thread goes to sleep over it. Most statements are answered
/// within microseconds, sooner than a sleeping thread wakes up.
const LOOKS: u32 = 40;

/// Completes `call` before it returns; virtual time does not move.
pub(crate) fn complete<F: Future>(call: F) -> F::Output {
    outside(|| {
        suspended(|| {
            let _real_io = REAL_IO.enter();
            // The surrounding simulated task has a budget of socket polls that only its own scheduler
            // renews; a driver call that used it up would wait for ever.
            let mut call = pin!(tokio::task::unconstrained(call));
            for _ in 0..LOOKS {
                if let Some(answer) = block_on(poll_once(call.as_mut())) {
                    return answer;
                }
                // The driver's thread may need this core.
                std::thread::yield_now();
            }
            block_on(call)
        })
    })
}
