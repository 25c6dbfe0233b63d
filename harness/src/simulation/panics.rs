//! Panics on a run's thread: kept off stderr, and remembered for whoever has to tell about them.
//!
//! A service that panics at every message would otherwise print a backtrace for each of thousands of
//! runs. Where a panic ends a service, the history says so; where it ends a run, the error does.
//! Panics on all other threads are told as before.

use std::cell::{Cell, RefCell};
use std::panic::PanicHookInfo;
use std::sync::Once;

use super::running;
use crate::system::panic_text;

/// How tokio begins when it shuts a runtime down because a spawned task has panicked. Why that task
/// panicked is what has to be told.
const OF_A_RUNTIME: &str = "a spawned task panicked";

thread_local! {
    static IS_RUN: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Remembers the panics of the current thread until it is dropped.
pub(super) struct Remembering(());

pub(super) fn remember() -> Remembering {
    listen();
    IS_RUN.set(true);
    Remembering(())
}

/// Keeps panics of runs off stderr, from the first call on. What a service on a machine says when it panics enters the
/// history, as a line of its log.
pub(crate) fn listen() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if stormglass_machine::host().is_some() {
                return tracing::error!("panicked: {}", panic_text(panic.payload()));
            }
            if !IS_RUN.try_with(Cell::get).unwrap_or(false) {
                return usual(panic);
            }
            let told = told(panic);
            LAST.with(|last| {
                let mut last = last.borrow_mut();
                if last.is_none() || !told.contains(OF_A_RUNTIME) {
                    *last = Some(told);
                }
            });
        }));
    });
}

impl Drop for Remembering {
    fn drop(&mut self) {
        IS_RUN.set(false);
    }
}

/// The host, what was said, and where in the code.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let text = panic_text(panic.payload());
    let host = running::current_host();
    let host = host.as_deref().unwrap_or("unknown");
    let place = panic.location().map(|place| format!(", at {place}"));
    format!("{text} at host {host}{}", place.unwrap_or_default())
}

/// The last panic of this thread, if there was one.
pub(super) fn last() -> Option<String> {
    LAST.with(|last| last.borrow_mut().take())
}
