//! The pace: at most so many rows a second, so that a broker that has just come back is not met at once with all that has waited.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::shutdown::Shutdown;

/// When the next row may be handed over.
pub(super) struct Pace {
    /// Between two rows; `None` where nobody asks for less than what is possible.
    gap: Option<Duration>,
    due: Option<Instant>,
}

impl Pace {
    /// So many rows a second, with equal gaps between them.
    pub(super) fn of(per_second: Option<NonZeroU32>) -> Self {
        let gap = per_second.map(|rows| Duration::from_secs(1) / rows.get());
        Self { gap, due: None }
    }

    /// Waits until a row may be handed over, or somebody says that it is time to stop.
    pub(super) async fn turn(&self, shutdown: &Shutdown) {
        if let Some(due) = self.due.filter(|due| *due > Instant::now()) {
            shutdown.unless_it_comes(sleep_until(due)).await;
        }
    }

    /// A row is handed over now.
    pub(super) fn took_its_turn(&mut self) {
        self.due = self.gap.map(|gap| Instant::now() + gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long so many rows take.
    async fn lasts(rows: u32, per_second: Option<u32>) -> Duration {
        let (mut pace, begun) = (
            Pace::of(per_second.and_then(NonZeroU32::new)),
            Instant::now(),
        );
        for _ in 0..rows {
            pace.turn(&Shutdown::never()).await;
            pace.took_its_turn();
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn rows_come_at_the_rate_and_the_first_at_once() {
        let short = lasts(1, Some(4)).await;
        assert_eq!(short, Duration::ZERO);
        let long = lasts(41, Some(4)).await;
        assert!(
            long >= Duration::from_secs(10) && long < Duration::from_millis(10_100),
            "{long:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_earns_no_burst() {
        let mut pace = Pace::of(NonZeroU32::new(4));
        pace.took_its_turn();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        for _ in 0..3 {
            pace.turn(&Shutdown::never()).await;
            pace.took_its_turn();
        }
        assert!(begun.elapsed() >= Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_without_a_rate() {
        assert_eq!(lasts(1_000, None).await, Duration::ZERO);
    }
}
