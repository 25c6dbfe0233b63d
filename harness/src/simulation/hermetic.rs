//! The hermetic thread: on it, time and randomness come from the run, not from the machine.
//!
//! Rust's standard library and the crates above it ask the C library for the time
//! (`clock_gettime`) and for random bytes (`getrandom`). This file defines both symbols for the
//! whole program: on a hermetic thread they answer from the run's clock and the seed's stream, on
//! every other thread they pass the call on. So `Instant::now`, `SystemTime::now`,
//! `HashMap`'s hash order and `Uuid::new_v4` repeat with the seed, in code that knows nothing of
//! the harness.
//!
//! Not covered: code that calls the kernel without the C library (crate getrandom 0.2), SQLite's
//! own `random()` and `CURRENT_TIMESTAMP` (it works on a thread of its own), PostgreSQL's `now()`,
//! addresses of memory, and statics that outlive a run: `Uuid::now_v7` keeps the last timestamp in
//! one, so use `Uuid::new_v7(Timestamp::now(NoContext))` instead.
#![expect(
    unsafe_code,
    reason = "replacing two symbols of the C library is what makes a thread hermetic; each block \
              writes only through the pointer and length that the caller passed, exactly as the \
              original does, and everything else is passed on to the original"
)]

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::clock::as_shown;
use crate::seed::Seed;

/// What the system clock shows when a run begins: the first second of 2026, UTC.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// What the monotonic clock shows when a run begins; not zero, because programs subtract from it.
const MONOTONIC_START: Duration = Duration::from_secs(1_000_000);

thread_local! {
    static RANDOM: RefCell<Option<ChaCha12Rng>> = const { RefCell::new(None) };
    static CLOCK: Cell<Option<fn() -> Duration>> = const { Cell::new(None) };
}

/// Makes the current thread hermetic until it is dropped.
pub(crate) struct Hermetic(());

/// The thread is not hermetic although it should be: the program's `clock_gettime` is not ours.
#[derive(Debug, thiserror::Error)]
#[error(
    "this program takes its time from the machine instead of the run: another library defines \
     `clock_gettime`, or the program is not linked by the usual linker"
)]
pub(crate) struct NotHermetic;

impl Hermetic {
    /// Time comes from `clock` (virtual time since the start of the run), randomness from `seed`.
    ///
    /// # Errors
    ///
    /// If the program was linked in a way that the standard library does not reach this file.
    #[expect(
        clippy::disallowed_methods,
        reason = "it asks whether the clock is the run's"
    )]
    pub(crate) fn enter(seed: Seed, clock: fn() -> Duration) -> Result<Self, NotHermetic> {
        // Naming the functions keeps the linker from dropping them in a downstream program.
        std::hint::black_box((
            clock_gettime as *const () as usize,
            getrandom as *const () as usize,
        ));
        RANDOM.with(|random| *random.borrow_mut() = Some(seed.stream("system")));
        CLOCK.with(|own| own.set(Some(clock)));
        let hermetic = Hermetic(());
        // The standard library draws the thread's hash keys once, at the first map; draw them now,
        // before anything that is not hermetic could be the first.
        std::hint::black_box(RandomState::new().hash_one(0));
        let now = SystemTime::UNIX_EPOCH + EPOCH + clock();
        if SystemTime::now() == now && Instant::now() == Instant::now() {
            Ok(hermetic)
        } else {
            Err(NotHermetic)
        }
    }
}

impl Drop for Hermetic {
    fn drop(&mut self) {
        CLOCK.with(|clock| clock.set(None));
        RANDOM.with(|random| *random.borrow_mut() = None);
    }
}

/// Runs `work` with the machine's own clock and randomness: for drivers that talk to a real
/// database and measure their own timeouts.
pub(crate) fn suspended<T>(work: impl FnOnce() -> T) -> T {
    struct Resume(Option<fn() -> Duration>, Option<ChaCha12Rng>);
    impl Drop for Resume {
        fn drop(&mut self) {
            CLOCK.with(|clock| clock.set(self.0.take()));
            RANDOM.with(|random| *random.borrow_mut() = self.1.take());
        }
    }
    let _resume = Resume(
        CLOCK.with(Cell::take),
        RANDOM.with(|random| random.borrow_mut().take()),
    );
    work()
}

/// The C library's `clock_gettime`, answered from the run's clock on a hermetic thread.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // The run's clock may itself ask for the time; that inner call goes to the kernel.
    let Some(clock) = CLOCK.try_with(Cell::take).ok().flatten() else {
        // SAFETY: the caller's own arguments, passed on to a function of the same contract.
        return unsafe { machine_clock_gettime(id, time) };
    };
    let now = match id {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => as_shown(EPOCH + clock()),
        _ => MONOTONIC_START + clock(),
    };
    CLOCK.with(|own| own.set(Some(clock)));
    let answer = libc::timespec {
        tv_sec: now.as_secs() as libc::time_t,
        tv_nsec: now.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the contract of `clock_gettime` is that `time` points to a writable timespec.
    unsafe { time.write(answer) };
    0
}

/// The C library's own `clock_gettime`, which need not enter the kernel; the system call where the
/// program has no other definition than ours.
///
/// # Safety
///
/// As for `clock_gettime`: `time` has to point to a writable timespec.
unsafe fn machine_clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    type ClockGettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> libc::c_int;
    static NEXT: AtomicPtr<libc::c_void> = AtomicPtr::new(std::ptr::null_mut());
    let mut next = NEXT.load(Ordering::Relaxed);
    if next.is_null() {
        // SAFETY: a symbol's name that ends in a null byte, and a handle that the linker defines.
        next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr()) };
        NEXT.store(next, Ordering::Relaxed);
    }
    if next.is_null() {
        // SAFETY: the caller's own arguments, passed on to the system call of the same contract.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) as libc::c_int };
    }
    // SAFETY: the next definition of `clock_gettime` has the C library's signature.
    let call = unsafe { std::mem::transmute::<*mut libc::c_void, ClockGettime>(next) };
    // SAFETY: the caller's own arguments.
    unsafe { call(id, time) }
}

/// The C library's `getrandom`, answered from the seed's stream on a hermetic thread.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    let drawn = RANDOM
        .try_with(|random| {
            let mut random = random.try_borrow_mut().ok()?;
            // SAFETY: the contract of `getrandom` is that `buffer` has `length` writable bytes.
            let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
            random.as_mut()?.fill_bytes(bytes);
            Some(())
        })
        .ok()
        .flatten();
    match drawn {
        Some(()) => length as libc::ssize_t,
        // SAFETY: the caller's own arguments, passed on to the system call of the same contract.
        None => unsafe {
            libc::syscall(libc::SYS_getrandom, buffer, length, flags) as libc::ssize_t
        },
    }
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

    fn observe(seed: u64) -> (Vec<i32>, SystemTime) {
        std::thread::spawn(move || {
            let _hermetic = Hermetic::enter(Seed(seed), || Duration::from_millis(5)).unwrap();
            let map: HashMap<i32, ()> = (0..50).map(|key| (key, ())).collect();
            (map.into_keys().collect(), SystemTime::now())
        })
        .join()
        .unwrap()
    }

    #[test]
    fn hash_order_and_time_repeat_with_the_seed() {
        assert_eq!(observe(1), observe(1));
        assert_ne!(observe(1).0, observe(2).0);
        let five_ms_in = SystemTime::UNIX_EPOCH + EPOCH + Duration::from_millis(5);
        assert_eq!(observe(1).1, five_ms_in);
    }

    #[test]
    fn suspended_work_sees_the_machine_and_draws_nothing_from_the_seed() {
        let with = |suspend: bool| {
            std::thread::spawn(move || {
                let _hermetic = Hermetic::enter(Seed(3), || Duration::ZERO).unwrap();
                if suspend {
                    let inside = suspended(SystemTime::now);
                    assert!(inside > SystemTime::UNIX_EPOCH + EPOCH);
                }
                let mut drawn = [0_u8; 8];
                // SAFETY: a pointer to eight writable bytes, and their number.
                unsafe { getrandom(drawn.as_mut_ptr().cast(), drawn.len(), 0) };
                drawn
            })
            .join()
            .unwrap()
        };
        assert_eq!(with(true), with(false));
    }
}
