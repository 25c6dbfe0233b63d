//! The circuit breaker: what fails too often is left alone for a while, then tried with a few calls.
//!
//! It counts how calls end and says whether another may begin; it makes no call and knows no broker. Closed, it counts the
//! calls of the last `window` and opens when enough of them failed. Open, it lets none begin. Once `open_for` is over it is
//! half-open: as many probes as `probes` may begin; it closes when all of them have succeeded, and opens again when one has
//! failed. A call that began before the breaker last changed its state says nothing about the state that it is in now, so
//! how it ends is not counted (Nygard, Release It!, 2nd ed., "Circuit Breaker").
//!
//! It is our own for the sake of that last rule.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How long how a call ended counts.
    pub window: Duration,
    /// Of how few calls in the window nothing is concluded.
    pub minimum_volume: usize,
    /// Of a hundred calls in the window, how many have to fail for it to open.
    pub trip_percent: usize,
    /// How long it stays open.
    pub open_for: Duration,
    /// How many calls it admits before it closes again; at least one.
    pub probes: u32,
    /// How long a call may take: one that takes longer has failed. It has to be shorter than the patience of whoever waits for
    /// the call: a call that is given up says nothing.
    pub answer_within: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            minimum_volume: 5,
            trip_percent: 50,
            open_for: Duration::from_secs(5),
            probes: 2,
            answer_within: Duration::from_millis(500),
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was called works.
    Success,
    /// What was called does not work, or nobody can tell.
    Failure,
}

/// A circuit breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// How often the state has changed.
    era: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        /// When calls of the window ended and how, the oldest first.
        ended: VecDeque<(Instant, Outcome)>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        under_way: u32,
        succeeded: u32,
    },
}

/// Leave to make one call. Dropped without a word on how that ended, it was never given.
#[derive(Debug)]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    era: u64,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let inner = Inner {
            state: State::closed(),
            era: 0,
        };
        Self {
            settings,
            inner: Mutex::new(inner),
        }
    }

    /// Leave to make a call, or `None` if none may begin now.
    pub fn admit(&self) -> Option<Permit<'_>> {
        let mut inner = self.lock();
        if let State::Open { until } = inner.state
            && until <= Instant::now()
        {
            inner.turn(State::HalfOpen {
                under_way: 0,
                succeeded: 0,
            });
        }
        let is_admitted = match &mut inner.state {
            State::Closed { .. } => true,
            State::Open { .. } => false,
            State::HalfOpen {
                under_way,
                succeeded,
            } => {
                let is_left = *under_way + *succeeded < self.settings.probes.max(1);
                *under_way += u32::from(is_left);
                is_left
            }
        };
        let era = inner.era;
        is_admitted.then(|| Permit { breaker: self, era })
    }

    /// Whether no call may begin now.
    pub fn is_open(&self) -> bool {
        matches!(self.lock().state, State::Open { until } if Instant::now() < until)
    }

    fn ended(&self, outcome: Outcome) {
        let mut inner = self.lock();
        let now = Instant::now();
        match (&mut inner.state, outcome) {
            (State::Closed { ended }, _) => {
                ended.push_back((now, outcome));
                let is_old = |at: Instant| now.duration_since(at) > self.settings.window;
                while ended.pop_front_if(|(at, _)| is_old(*at)).is_some() {}
                if self.settings.trips(ended) {
                    inner.open(now + self.settings.open_for);
                }
            }
            (State::HalfOpen { .. }, Outcome::Failure) => {
                inner.open(now + self.settings.open_for);
            }
            (
                State::HalfOpen {
                    under_way,
                    succeeded,
                },
                Outcome::Success,
            ) => {
                *under_way -= 1;
                *succeeded += 1;
                if *succeeded == self.settings.probes.max(1) {
                    tracing::info!("circuit closed");
                    inner.turn(State::closed());
                }
            }
            (State::Open { .. }, _) => {}
        }
    }

    /// No code panics while it holds the lock, so a poisoned lock still guards a consistent state.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BreakerSettings {
    fn trips(&self, ended: &VecDeque<(Instant, Outcome)>) -> bool {
        let failures = ended.iter().filter(|(_, own)| *own == Outcome::Failure);
        let enough = ended.len() >= self.minimum_volume.max(1);
        enough && failures.count() * 100 >= ended.len() * self.trip_percent
    }
}

impl Inner {
    fn turn(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }

    fn open(&mut self, until: Instant) {
        tracing::warn!("circuit open");
        self.turn(State::Open { until });
    }
}

impl State {
    fn closed() -> Self {
        Self::Closed {
            ended: VecDeque::new(),
        }
    }
}

impl Permit<'_> {
    /// Says how the call ended.
    pub fn ended(self, outcome: Outcome) {
        let is_current = self.breaker.lock().era == self.era;
        if is_current {
            self.breaker.ended(outcome);
        }
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut inner = self.breaker.lock();
        let is_current = inner.era == self.era;
        if let State::HalfOpen { under_way, .. } = &mut inner.state
            && is_current
        {
            *under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::{Breaker, BreakerSettings, Outcome};

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings {
            window: 10 * SECOND,
            minimum_volume: 4,
            trip_percent: 50,
            open_for: 5 * SECOND,
            probes: 2,
            ..BreakerSettings::default()
        })
    }

    fn call(breaker: &Breaker, outcome: Outcome) {
        breaker.admit().expect("a call may begin").ended(outcome);
    }

    fn tripped() -> Breaker {
        let breaker = breaker();
        for _ in 0..4 {
            call(&breaker, Outcome::Failure);
        }
        assert!(breaker.admit().is_none());
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn opens_at_the_ratio_and_not_below_the_volume() {
        let breaker = breaker();
        for outcome in [Outcome::Failure, Outcome::Failure, Outcome::Success] {
            call(&breaker, outcome);
            assert!(!breaker.is_open());
        }
        call(&breaker, Outcome::Success);
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn stays_closed_below_the_ratio() {
        let breaker = breaker();
        for _ in 0..20 {
            call(&breaker, Outcome::Success);
            call(&breaker, Outcome::Success);
            call(&breaker, Outcome::Failure);
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_what_has_left_the_window() {
        let breaker = breaker();
        for _ in 0..3 {
            call(&breaker, Outcome::Failure);
        }
        advance(11 * SECOND).await;
        call(&breaker, Outcome::Failure);
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn admits_nothing_while_it_is_open_and_so_many_probes_afterwards() {
        let breaker = tripped();
        advance(5 * SECOND - Duration::from_millis(1)).await;
        assert!(breaker.admit().is_none());
        advance(Duration::from_millis(1)).await;
        let probes = [breaker.admit(), breaker.admit()];
        assert!(probes.iter().all(Option::is_some));
        assert!(breaker.admit().is_none());
        for probe in probes.into_iter().flatten() {
            probe.ended(Outcome::Success);
        }
        for _ in 0..3 {
            call(&breaker, Outcome::Failure);
        }
        assert!(!breaker.is_open(), "a closed breaker begins to count anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again() {
        let breaker = tripped();
        advance(5 * SECOND).await;
        call(&breaker, Outcome::Success);
        call(&breaker, Outcome::Failure);
        assert!(breaker.is_open());
        advance(5 * SECOND).await;
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_it_changed_its_state_does_not_count() {
        let breaker = breaker();
        let early = breaker.admit().unwrap();
        let late = breaker.admit().unwrap();
        for _ in 0..4 {
            call(&breaker, Outcome::Failure);
        }
        early.ended(Outcome::Success);
        assert!(breaker.is_open());
        advance(5 * SECOND).await;
        let probe = breaker.admit().unwrap();
        late.ended(Outcome::Failure);
        assert!(!breaker.is_open());
        probe.ended(Outcome::Success);
        call(&breaker, Outcome::Success);
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_leaves_its_place() {
        let breaker = tripped();
        advance(5 * SECOND).await;
        drop((breaker.admit(), breaker.admit()));
        assert!(breaker.admit().is_some());
    }
}
