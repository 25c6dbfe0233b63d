//! Ctrl-C, or the signal with which a CI ends a job: the first ends a long command with what was found so
//! far, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a shell reports for a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// A flag that Ctrl-C and the like raise, from here on.
pub(super) fn on_request() -> &'static AtomicBool {
    static FLAG: AtomicBool = AtomicBool::new(false);
    let raise = || {
        if FLAG.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    };
    // Without the handler Ctrl-C ends the process at once, which is no reason not to begin.
    let _ = ctrlc::set_handler(raise);
    &FLAG
}
