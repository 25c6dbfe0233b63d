//! A service: an async function as the main function of a process, on a tokio runtime of its own.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::host::Host;
use crate::{kernel, lock};

/// What this build lacks for runs to repeat; `None` if it lacks nothing.
///
/// Tokio draws the order in which `select!` looks at its branches, and that in which a `watch` channel wakes its
/// receivers, from a generator that it seeds from a counter of the process. Only its unstable interface lets the seed
/// be set.
pub fn lacks() -> Option<&'static str> {
    match cfg!(tokio_unstable) {
        true => None,
        false => Some(
            "tokio's own random choices (`select!`, `watch`) do not repeat without `--cfg tokio_unstable`: put \
             `rustflags = [\"--cfg\", \"tokio_unstable\"]` under `[build]` in .cargo/config.toml",
        ),
    }
}

/// Lets tokio make what its runtimes share outside of any run: a pair of sockets for signals, which it keeps for as
/// long as the test lives.
pub(crate) fn prepare() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(Builder::new_current_thread().enable_all().build()));
}

/// Runs `service` until it ends or its process is killed.
pub(crate) fn block_on(host: &Arc<Host>, service: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    #[cfg(tokio_unstable)]
    {
        let mut seed = [0; 32];
        host.draw(&mut seed);
        builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed));
    }
    let runtime = builder.build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime for {}: {error}", host.name));
    // Destructors of what is not finished find the runtime that they belong to, as in any process that ends.
    let _entered = runtime.enter();
    let local = LocalSet::new();
    let service = pin!(service);
    local.block_on(&runtime, UntilKilled { host, service });
    // The process has come to its end. A runtime drops its tasks in an order that follows from how many tasks the real
    // process has ever had, so that nobody may see in which order they close what they have.
    kernel::close_here();
    host.set_dead();
}

struct UntilKilled<'a, F> {
    host: &'a Host,
    service: Pin<&'a mut F>,
}

impl<F: Future<Output = ()>> Future for UntilKilled<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        if self.host.is_dead() {
            return Poll::Ready(());
        }
        *lock(&self.host.root) = Some(task.waker().clone());
        self.service.as_mut().poll(task)
    }
}

impl<F> Drop for UntilKilled<'_, F> {
    fn drop(&mut self) {
        // The waker keeps the runtime's descriptors open, which are to be closed by their own process.
        lock(&self.host.root).take();
    }
}
