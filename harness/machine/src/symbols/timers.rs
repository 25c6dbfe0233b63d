//! Timers that are descriptors.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use libc::{clockid_t, itimerspec, timespec};

use super::clock::{as_timespec, asked, shown, span};
use super::descriptors::own;
use super::{Errno, next, returned};
use crate::context::{Context, current};
use crate::descriptor::{Kind, Object};
use crate::clock::Asked;
use crate::lock;
use crate::timer::{Setting, Timer};

pub(super) fn link() -> usize {
    timerfd_create as *const () as usize
}

#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_create(clock: clockid_t, flags: c_int) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"timerfd_create" as fn(clockid_t, c_int) -> c_int)(clock, flags)
        };
    };
    let timer = Kind::Timer(asked(clock), Timer::default());
    let is_nonblocking = flags & libc::TFD_NONBLOCK != 0;
    lock(&context.host.descriptors).open(timer, is_nonblocking).0
}

/// How a timer is set, as its caller is to see it: what is left until it is due.
fn as_seen(setting: Setting, context: &Context) -> itimerspec {
    let left = setting.next.map_or(Duration::ZERO, |next| {
        // Zero would say that it is not armed.
        next.saturating_sub(context.now())
            .max(Duration::from_nanos(1))
    });
    itimerspec {
        it_interval: as_timespec(setting.interval),
        it_value: as_timespec(left),
    }
}

/// The timer that a descriptor stands for.
fn timer(object: &Object) -> Result<(Asked, &Timer), Errno> {
    match &object.kind {
        Kind::Timer(asked, timer) => Ok((*asked, timer)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_settime(
    descriptor: c_int,
    flags: c_int,
    wanted: *const itimerspec,
    before: *mut itimerspec,
) -> c_int {
    let Some((context, object)) = own(descriptor) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(
                c"timerfd_settime"
                    as fn(c_int, c_int, *const itimerspec, *mut itimerspec) -> c_int
            )(descriptor, flags, wanted, before)
        };
    };
    let set = || {
        let object = object?;
        let (clock, timer) = timer(&object)?;
        // SAFETY: the contract of `timerfd_settime`: how the timer is to be set.
        let (value, interval) = unsafe {
            let value: *const timespec = &raw const (*wanted).it_value;
            (span(value), span(&raw const (*wanted).it_interval))
        };
        let left = match flags & libc::TFD_TIMER_ABSTIME != 0 {
            true => value.saturating_sub(shown(context, clock)),
            false => value,
        };
        let next = (!value.is_zero()).then(|| context.now() + left);
        let earlier = timer.set(Setting { next, interval });
        if !before.is_null() {
            // SAFETY: the contract of `timerfd_settime`: null, or room for how the timer was set.
            unsafe { before.write(as_seen(earlier, context)) };
        }
        arm(context, &object, timer);
        Ok(0)
    };
    returned(set())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn timerfd_gettime(descriptor: c_int, at: *mut itimerspec) -> c_int {
    let Some((context, object)) = own(descriptor) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"timerfd_gettime" as fn(c_int, *mut itimerspec) -> c_int)(descriptor, at)
        };
    };
    returned(object.and_then(|object| {
        let setting = timer(&object)?.1.setting();
        // SAFETY: the contract of `timerfd_gettime`: room for how the timer is set.
        unsafe { at.write(as_seen(setting, context)) };
        Ok(0)
    }))
}

/// Sees to it that the host hears of the timer when it is due.
fn arm(context: &Context, object: &Object, timer: &Timer) {
    if let Some(at) = timer.setting().next {
        let mut schedule = context.scheduler.lock();
        schedule.tell_at(&context.host, at, object.id);
    }
}

/// Reads how often the time of a timer has come, and waits until it has if the descriptor is to wait.
pub(super) fn take(
    context: &Context,
    object: &Arc<Object>,
    timer: &Timer,
    into: &mut [u8],
) -> Result<usize, Errno> {
    let into = into.first_chunk_mut().ok_or(Errno(libc::EINVAL))?;
    loop {
        let seen = context.host.io_count();
        match timer.take(context.now()) {
            0 if object.is_nonblocking() => return Err(Errno(libc::EAGAIN)),
            0 if context.host.is_dead() => return Err(Errno(libc::EBADF)),
            0 => drop(context.wait_for_io(seen, None)),
            count => {
                arm(context, object, timer);
                *into = count.to_ne_bytes();
                return Ok(into.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{FromRawFd, OwnedFd};

    use super::*;
    use crate::{Ending, Machine, Settings, run};

    const SECOND: Duration = Duration::from_secs(1);

    fn on_a_host(work: fn()) {
        let drive = move |machine: &Machine| {
            machine.start("host", &[], work);
            assert_eq!(machine.wait_for_end("host"), Some(Ending::Returned));
        };
        run(Settings::of([1; 32]), drive).unwrap();
    }

    fn set(timer: c_int, flags: c_int, value: Duration, interval: Duration) -> itimerspec {
        let wanted = itimerspec {
            it_interval: as_timespec(interval),
            it_value: as_timespec(value),
        };
        // SAFETY: a structure that is plain data, and two that outlive the call.
        unsafe {
            let mut before = std::mem::zeroed();
            let result = timerfd_settime(timer, flags, &raw const wanted, &raw mut before);
            assert_eq!(result, 0);
            before
        }
    }

    fn read(timer: c_int) -> Option<u64> {
        let mut count = [0; 8];
        // SAFETY: eight bytes that can be written.
        let read = unsafe { libc::read(timer, count.as_mut_ptr().cast(), 8) };
        (read == 8).then_some(u64::from_ne_bytes(count))
    }

    #[test]
    fn a_timer_is_waited_for_in_virtual_time() {
        on_a_host(|| {
            // SAFETY: plain arguments, and a descriptor that is new.
            let timer = unsafe { timerfd_create(libc::CLOCK_MONOTONIC, 0) };
            let _owner = unsafe { OwnedFd::from_raw_fd(timer) };
            set(timer, 0, SECOND, 2 * SECOND);
            assert_eq!((read(timer), crate::elapsed()), (Some(1), Some(SECOND)));
            assert_eq!((read(timer), crate::elapsed()), (Some(1), Some(3 * SECOND)));
            let context = current().unwrap();
            context.sleep(5 * SECOND);
            assert_eq!(read(timer), Some(2));
            let mut event = libc::pollfd {
                fd: timer,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one structure, which outlives the call.
            let mut poll = || unsafe { libc::poll(&raw mut event, 1, 500) };
            assert_eq!(poll(), 0);
            assert_eq!(poll(), 1);
            assert_eq!(crate::elapsed(), Some(9 * SECOND));
            let before = set(timer, 0, Duration::ZERO, Duration::ZERO);
            assert_eq!(before.it_interval.tv_sec, 2);
            assert_eq!(poll(), 0);
        });
    }

    #[test]
    fn a_timer_may_be_set_to_a_moment_of_either_clock() {
        on_a_host(|| {
            for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME] {
                // SAFETY: plain arguments, and a descriptor that is new.
                let timer = unsafe { timerfd_create(clock, libc::TFD_NONBLOCK) };
                let _owner = unsafe { OwnedFd::from_raw_fd(timer) };
                let context = current().unwrap();
                let moment = shown(context, asked(clock)) + SECOND;
                set(timer, libc::TFD_TIMER_ABSTIME, moment, Duration::ZERO);
                context.sleep(SECOND / 2);
                assert_eq!(read(timer), None);
                // SAFETY: a structure that is plain data and outlives the call.
                let left = unsafe {
                    let mut left = std::mem::zeroed();
                    assert_eq!(timerfd_gettime(timer, &raw mut left), 0);
                    left
                };
                assert_eq!(left.it_value.tv_nsec, 500_000_000);
                context.sleep(SECOND / 2);
                assert_eq!([read(timer), read(timer)], [Some(1), None]);
            }
        });
    }
}
