//! Virtual time: the one place that knows where it comes from.

use std::cell::Cell;
use std::time::Duration;

use super::watch;

thread_local! {
    static BETWEEN_TICKS: Cell<Option<Duration>> = const { Cell::new(Some(Duration::ZERO)) };
}

/// Virtual time since the start of the run: the running host's own, which advances within a tick,
/// or that of the last tick while no host is running.
pub(crate) fn now() -> Duration {
    watch::asked_for_the_time();
    BETWEEN_TICKS
        .get()
        .or_else(turmoil::sim_elapsed)
        .unwrap_or_default()
}

/// From here on no host is running, and the time is this. A host that is being dropped or started
/// has a clock of its own already or still, which does not tell the time.
pub(crate) fn set_between_ticks(now: Duration) {
    BETWEEN_TICKS.set(Some(now));
}

/// From here on hosts are running, each with its own time.
pub(crate) fn set_within_tick() {
    BETWEEN_TICKS.set(None);
}
