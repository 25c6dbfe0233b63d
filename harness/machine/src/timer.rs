//! A timer that is a descriptor: it counts how often its time has come.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Moment;
use crate::lock;

/// A `timerfd`.
#[derive(Default)]
pub(crate) struct Timer(Mutex<Setting>);

/// When a timer is due.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setting {
    /// When it is due next; `None` if it is not armed.
    pub(crate) next: Option<Moment>,
    /// After how long it is due again, if it is.
    pub(crate) interval: Duration,
}

impl Timer {
    /// Sets it, and tells how it was set.
    pub(crate) fn set(&self, setting: Setting) -> Setting {
        std::mem::replace(&mut *lock(&self.0), setting)
    }

    pub(crate) fn setting(&self) -> Setting {
        *lock(&self.0)
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.setting().next.is_some_and(|next| next <= now)
    }

    /// How often its time has come since this was asked, which is not told again.
    pub(crate) fn take(&self, now: Moment) -> u64 {
        let mut setting = lock(&self.0);
        let Some(next) = setting.next.filter(|next| *next <= now) else {
            return 0;
        };
        let interval = setting.interval;
        let more = (now - next).as_nanos().checked_div(interval.as_nanos());
        let count = more.map_or(1, |more| u64::try_from(more).unwrap_or(u64::MAX - 1) + 1);
        let passed = interval.as_nanos().saturating_mul(count.into());
        let passed = Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX));
        setting.next = (!interval.is_zero()).then(|| next + passed);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timer_counts_what_nobody_has_asked_for() {
        let timer = Timer::default();
        assert_eq!(timer.take(SECOND), 0);
        timer.set(Setting {
            next: Some(SECOND),
            interval: SECOND,
        });
        assert!(!timer.is_due(SECOND / 2));
        assert_eq!(timer.take(SECOND / 2), 0);
        assert_eq!(timer.take(SECOND * 7 / 2), 3);
        assert_eq!(timer.setting().next, Some(SECOND * 4));
        timer.set(Setting {
            next: Some(SECOND),
            interval: Duration::ZERO,
        });
        assert_eq!([timer.take(SECOND * 5), timer.take(SECOND * 5)], [1, 0]);
    }
}
