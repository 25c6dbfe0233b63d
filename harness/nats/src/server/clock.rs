//! The two clocks of a server's computer, read where the core is told the time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::moment::Moment;

/// The time since a server began to hold something, over all of its processes.
#[derive(Debug, Default)]
pub(super) struct Clock {
    origin: Option<Instant>,
    last: Duration,
}

impl Clock {
    /// The time now. What has passed never goes back.
    pub(super) fn now(&mut self) -> Moment {
        let instant = Instant::now();
        let origin = *self.origin.get_or_insert(instant);
        self.last = self.last.max(instant.saturating_duration_since(origin));
        Moment {
            elapsed: self.last,
            wall: wall(),
        }
    }

    /// Goes on after a process has started. Its clock may count from elsewhere, if the whole computer
    /// started.
    pub(super) fn resume(&mut self) {
        let instant = Instant::now();
        let behind = self
            .origin
            .is_some_and(|origin| instant.saturating_duration_since(origin) < self.last);
        if behind {
            self.origin = instant.checked_sub(self.last);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "on a simulated host this is the host's own clock, outside of one the real one is meant"
)]
fn wall() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
