//! Virtual time, by the calls that the machine answers to threads of a run.

#![expect(
    clippy::disallowed_methods,
    reason = "on a thread of a run these are virtual, and nobody else calls them"
)]

use std::time::{Duration, Instant};

use stormglass_machine::living_host;

/// Now, in virtual time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets virtual time pass; the real machine's time is none of a run's business.
pub(crate) fn sleep(time: Duration) {
    if !time.is_zero() && living_host().is_some() {
        std::thread::sleep(time);
    }
}
