//! The system clock of a computer, which may be wrong. Its monotonic clock never is.

use std::time::Duration;

/// Virtual time since the start of the run.
pub(crate) type Moment = Duration;

/// What the system clock shows when a run begins: the first second of 2026, UTC.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// What the monotonic clock shows when a run begins; not zero, because programs subtract from it.
pub(crate) const MONOTONIC_START: Duration = Duration::from_secs(1_000_000);

/// Which of its clocks a computer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The system clock, which shows the time since 1970 and may be wrong.
    System,
    Monotonic,
}

/// How wrong a system clock is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    /// By how many nanoseconds it was ahead at `since`.
    ahead: i64,
    since: Moment,
    /// How many nanoseconds it gains in a second, times a thousand: parts in a million.
    gain_ppm: i32,
}

impl Clock {
    fn ahead(&self, now: Moment) -> i64 {
        let passed = i64::try_from(now.saturating_sub(self.since).as_micros()).unwrap_or(i64::MAX);
        let gained = passed.saturating_mul(self.gain_ppm.into()) / 1000;
        self.ahead.saturating_add(gained)
    }

    /// Puts it forward, or back.
    pub(crate) fn step(&mut self, now: Moment, by_ms: i64) {
        self.ahead = self
            .ahead(now)
            .saturating_add(by_ms.saturating_mul(1_000_000));
        self.since = now;
    }

    /// Makes it run too fast, or too slowly, from now on.
    pub(crate) fn drift(&mut self, now: Moment, gain_ppm: i32) {
        self.ahead = self.ahead(now);
        self.since = now;
        self.gain_ppm = gain_ppm;
    }

    /// What it shows, as a span since 1970; not before that.
    pub(crate) fn shows(&self, now: Moment) -> Duration {
        let ahead = self.ahead(now);
        let wrong = Duration::from_nanos(ahead.unsigned_abs());
        match ahead < 0 {
            true => (EPOCH + now).saturating_sub(wrong),
            false => EPOCH + now + wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Moment = Duration::from_secs(1);

    #[test]
    fn a_step_stays_and_a_drift_grows() {
        let mut clock = Clock::default();
        assert_eq!(clock.shows(SECOND), EPOCH + SECOND);
        clock.step(SECOND, -500);
        assert_eq!(
            clock.shows(SECOND * 2),
            EPOCH + Duration::from_millis(1_500)
        );
        clock.drift(SECOND * 2, 1_000);
        let later = SECOND * 12;
        assert_eq!(
            clock.shows(later),
            EPOCH + later - Duration::from_millis(490)
        );
        clock.drift(later, 0);
        assert_eq!(
            clock.shows(later * 2),
            EPOCH + later * 2 - Duration::from_millis(490)
        );
    }

    #[test]
    fn no_clock_shows_a_time_before_1970() {
        let mut clock = Clock::default();
        clock.step(Duration::ZERO, i64::MIN);
        assert_eq!(clock.shows(SECOND), Duration::ZERO);
    }
}
