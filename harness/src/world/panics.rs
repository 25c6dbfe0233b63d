//! Panics of services: kept off stderr, and told in the history.
//!
//! A service that panics at every message would otherwise print a backtrace for each of thousands of runs. Panics on all
//! other threads are told as before.

use std::sync::Once;

/// Keeps panics of runs off stderr, from the first call on. What a service says when it panics enters the history, as a
/// line of its log.
pub(crate) fn listen() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match stormglass_machine::host() {
            Some(_) => {
                let place = panic.location().map(|place| format!(", at {place}"));
                let place = place.unwrap_or_default();
                tracing::error!("panicked: {}{place}", panic_text(panic.payload()));
            }
            None => usual(panic),
        }));
    });
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}
