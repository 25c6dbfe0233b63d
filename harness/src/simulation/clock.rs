//! Virtual time: the one place that knows where it comes from.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static BETWEEN_TICKS: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Virtual time since the start of the run: the running host's own, which advances within a tick,
/// or that of the last tick while no host is running.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_else(|| BETWEEN_TICKS.get())
}

/// Sets the time that holds while no host is running.
pub(crate) fn set_between_ticks(now: Duration) {
    BETWEEN_TICKS.set(now);
}
