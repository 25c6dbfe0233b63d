//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff: a pure function of the number of failures so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub initial: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(50),
            cap: Duration::from_secs(1),
        }
    }
}

impl Backoff {
    /// The wait after the `failures`th failure in a row: the initial wait, doubled each time up to the cap.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.initial.saturating_mul(1 << doublings).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap() {
        let delays = [0, 1, 2, 5, 6, u32::MAX].map(|n| Backoff::default().delay(n).as_millis());
        assert_eq!(delays, [50, 50, 100, 800, 1000, 1000]);
    }
}
