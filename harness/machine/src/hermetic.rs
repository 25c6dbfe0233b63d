//! The hermetic thread: one that belongs to no host, but takes its time and its randomness from a run all the same.
//!
//! `symbols` asks here for the time and for random bytes where the current thread is none of the machine. So `Instant::now`,
//! `SystemTime::now`, the hash order of a `HashMap` and `Uuid::new_v4` repeat with a seed there, too, in
//! code that knows nothing of that.
//!
//! Not covered: everything else that the machine answers on its own threads; the sleeps and sockets of a hermetic thread
//! are the real machine's.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use crate::clock::{EPOCH, MONOTONIC_START};

thread_local! {
    static RANDOM: RefCell<Option<ChaCha12Rng>> = const { RefCell::new(None) };
    static CLOCK: Cell<Option<RunClock>> = const { Cell::new(None) };
}

/// Where a hermetic thread takes its time from.
#[derive(Clone, Copy, Debug)]
pub struct RunClock {
    /// Virtual time since the start of the run.
    pub elapsed: fn() -> Duration,
    /// What the system clock shows when it is that time since 1970: the same, if the clock is right.
    pub shown: fn(Duration) -> Duration,
}

/// Makes the current thread hermetic until it is dropped.
#[derive(Debug)]
pub struct Hermetic(());

/// The thread is not hermetic although it should be: the program's `clock_gettime` is not this package's.
#[derive(Debug, thiserror::Error)]
#[error(
    "this program takes its time from the machine instead of the run: another library defines \
     `clock_gettime`, or the program is not linked by the usual linker"
)]
pub struct NotHermetic;

impl Hermetic {
    /// Makes time come from `clock`, and random bytes from `random`.
    ///
    /// # Errors
    ///
    /// If the program was linked in a way that the standard library does not reach this package, and on other
    /// systems than Linux with the GNU C library.
    #[expect(
        clippy::disallowed_methods,
        reason = "it asks whether the clock is the run's"
    )]
    pub fn enter(random: ChaCha12Rng, clock: RunClock) -> Result<Self, NotHermetic> {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        crate::symbols::link();
        RANDOM.set(Some(random));
        CLOCK.set(Some(clock));
        let hermetic = Hermetic(());
        // The standard library draws the thread's hash keys once, at the first map; draw them now,
        // before anything that is not hermetic could be the first.
        std::hint::black_box(RandomState::new().hash_one(0));
        let now = SystemTime::UNIX_EPOCH + EPOCH + (clock.elapsed)();
        if SystemTime::now() == now && Instant::now() == Instant::now() {
            Ok(hermetic)
        } else {
            Err(NotHermetic)
        }
    }
}

impl Drop for Hermetic {
    fn drop(&mut self) {
        CLOCK.set(None);
        RANDOM.set(None);
    }
}

/// Runs `work` with the machine's own clock and randomness, as if the thread were not hermetic: for drivers that talk
/// to a real database and measure their own timeouts.
pub fn suspended<T>(work: impl FnOnce() -> T) -> T {
    struct Resume(Option<RunClock>, Option<ChaCha12Rng>);
    impl Drop for Resume {
        fn drop(&mut self) {
            CLOCK.set(self.0.take());
            RANDOM.set(self.1.take());
        }
    }
    let _resume = Resume(CLOCK.take(), RANDOM.take());
    work()
}

/// Which of its clocks a computer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The system clock, which shows the time since 1970 and may be wrong.
    System,
    Monotonic,
}

/// What a clock of a hermetic thread shows. `None` on any other
/// thread, and while the clock itself is asked.
pub(crate) fn now(asked: Asked) -> Option<Duration> {
    // The run's clock may itself ask for the time; that inner call goes to the real machine.
    let clock = CLOCK.try_with(Cell::take).ok().flatten()?;
    let now = match asked {
        Asked::System => (clock.shown)(EPOCH + (clock.elapsed)()),
        Asked::Monotonic => MONOTONIC_START + (clock.elapsed)(),
    };
    CLOCK.set(Some(clock));
    Some(now)
}

/// Fills `bytes` from the stream of a hermetic thread; `false` on any other thread.
pub(crate) fn draw(bytes: &mut [u8]) -> bool {
    let draw = |random: &RefCell<Option<ChaCha12Rng>>| {
        let mut random = random.try_borrow_mut().ok()?;
        random.as_mut()?.fill_bytes(bytes);
        Some(())
    };
    RANDOM.try_with(draw).ok().flatten().is_some()
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "that they repeat is what is tested"
    )]

    use super::*;
    use std::collections::HashMap;

    use rand_chacha::rand_core::SeedableRng;

    const RIGHT: RunClock = RunClock {
        elapsed: || Duration::from_millis(5),
        shown: |time| time,
    };

    /// What `look` sees on a hermetic thread.
    fn on_a_hermetic_thread<T: Send + 'static>(
        seed: u64,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        std::thread::spawn(move || {
            let random = ChaCha12Rng::seed_from_u64(seed);
            let _hermetic = Hermetic::enter(random, RIGHT).unwrap();
            look()
        })
        .join()
        .unwrap()
    }

    fn order_of_hashes() -> Vec<i32> {
        let map: HashMap<i32, ()> = (0..50).map(|key| (key, ())).collect();
        map.into_keys().collect()
    }

    #[test]
    fn hash_order_and_time_repeat_with_the_seed() {
        let order = |seed| on_a_hermetic_thread(seed, order_of_hashes);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let five_ms_in = SystemTime::UNIX_EPOCH + EPOCH + Duration::from_millis(5);
        assert_eq!(on_a_hermetic_thread(1, SystemTime::now), five_ms_in);
    }

    #[test]
    fn suspended_work_sees_the_machine_and_draws_nothing_from_the_seed() {
        let with = |suspend: bool| {
            on_a_hermetic_thread(3, move || {
                if suspend {
                    let inside = suspended(SystemTime::now);
                    assert!(inside > SystemTime::UNIX_EPOCH + EPOCH);
                    let mut drawn = [0; 8];
                    assert!(!suspended(|| draw(&mut drawn)));
                }
                let mut drawn = [0; 8];
                assert!(draw(&mut drawn));
                drawn
            })
        };
        assert_eq!(with(true), with(false));
    }
}
