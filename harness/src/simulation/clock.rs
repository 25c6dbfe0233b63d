//! Virtual time: the one place that knows where it comes from, and whose system clock is wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stormglass_machine::RunClock;

use super::{running, watch};

thread_local! {
    static BETWEEN_TICKS: Cell<Option<Duration>> = const { Cell::new(Some(Duration::ZERO)) };
    static SKEWS: RefCell<Vec<Skew>> = const { RefCell::new(Vec::new()) };
    static READERS: RefCell<BTreeSet<Arc<str>>> = const { RefCell::new(BTreeSet::new()) };
}

/// The clock of a hermetic thread that a run works on.
pub(crate) const OF_THE_RUN: RunClock = RunClock {
    elapsed: now,
    shown: as_shown,
};

/// How far the system clock of a host is off while a fault lasts.
struct Skew {
    fault: usize,
    host: Arc<str>,
    ahead_ms: i64,
    /// Whether the host has looked at its clock, and nobody was told.
    was_read: bool,
}

/// Virtual time since the start of the run: the running host's own, which advances within a tick,
/// or that of the last tick while no host is running.
pub(crate) fn now() -> Duration {
    if let Some(elapsed) = stormglass_machine::elapsed() {
        return elapsed;
    }
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

/// From here on the system clock of a host is so far ahead; behind, if negative.
pub(crate) fn set_wrong(fault: usize, host: &str, ahead_ms: i64) {
    let skew = Skew {
        fault,
        host: host.into(),
        ahead_ms,
        was_read: false,
    };
    SKEWS.with_borrow_mut(|skews| skews.push(skew));
}

/// From here on the clock that a fault has set wrong is right again.
pub(crate) fn set_right(fault: usize) {
    SKEWS.with_borrow_mut(|skews| skews.retain(|skew| skew.fault != fault));
}

/// The faults whose wrong clock was looked at since this was last asked.
pub(crate) fn misled() -> Vec<usize> {
    SKEWS.with_borrow_mut(|skews| {
        let read = skews.iter_mut().filter(|skew| skew.was_read);
        read.map(|skew| {
            skew.was_read = false;
            skew.fault
        })
        .collect()
    })
}

/// The hosts that have looked at their system clock.
pub(crate) fn readers() -> impl Iterator<Item = Arc<str>> {
    READERS.with_borrow(|readers| readers.clone()).into_iter()
}

/// What the running host's system clock shows when it is `time`. Time that only passes, as
/// [`Instant`](std::time::Instant) measures it, is right on every host.
fn as_shown(time: Duration) -> Duration {
    let Some(host) = running::current_host() else {
        return time;
    };
    SKEWS.with_borrow_mut(|skews| {
        let own = skews.iter_mut().filter(|skew| skew.host == host);
        let shown = own.fold(time, |time, skew| {
            skew.was_read = true;
            let off = Duration::from_millis(skew.ahead_ms.unsigned_abs());
            match skew.ahead_ms < 0 {
                true => time.saturating_sub(off),
                false => time.saturating_add(off),
            }
        });
        READERS.with_borrow_mut(|readers| readers.contains(&host) || readers.insert(host));
        shown
    })
}
