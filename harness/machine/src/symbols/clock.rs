//! The clock: what time it is, and how to let it pass.

use std::ffi::{c_int, c_long, c_uint};
use std::time::Duration;

use libc::{clockid_t, time_t, timespec, timeval};

use super::next;
use crate::clock::Asked;
use crate::context::{Context, current};

pub(super) fn link() -> usize {
    clock_gettime as *const () as usize
}

pub(super) fn as_timespec(time: Duration) -> timespec {
    timespec {
        tv_sec: time.as_secs() as time_t,
        tv_nsec: time.subsec_nanos() as c_long,
    }
}

/// A span of time that a caller asks for; what is no span is none.
///
/// # Safety
///
/// `time` points to a timespec.
pub(super) unsafe fn span(time: *const timespec) -> Duration {
    // SAFETY: the caller's promise.
    let time = unsafe { time.read() };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: clockid_t, time: *mut timespec) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"clock_gettime" as fn(clockid_t, *mut timespec) -> c_int)(id, time)
        };
    };
    let now = shown(context, asked(id));
    // SAFETY: the contract of `clock_gettime` is that `time` points to a writable timespec.
    unsafe { time.write(as_timespec(now)) };
    0
}

/// Every clock that is not the system clock only measures how much time passes.
pub(super) fn asked(id: clockid_t) -> Asked {
    match id {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Asked::System,
        _ => Asked::Monotonic,
    }
}

pub(super) fn shown(context: &Context, asked: Asked) -> Duration {
    match asked {
        Asked::System => context.read_clock(),
        Asked::Monotonic => context.monotonic_clock(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut libc::timezone) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"gettimeofday" as fn(*mut timeval, *mut libc::timezone) -> c_int)(time, zone)
        };
    };
    let now = context.read_clock();
    let now = timeval {
        tv_sec: now.as_secs() as time_t,
        tv_usec: now.subsec_micros() as libc::suseconds_t,
    };
    // SAFETY: the contract of `gettimeofday` is that `time` points to a writable timeval.
    unsafe { time.write(now) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn time(at: *mut time_t) -> time_t {
    let Some(context) = current() else {
        // SAFETY: the caller's own argument.
        return unsafe { next!(c"time" as fn(*mut time_t) -> time_t)(at) };
    };
    let now = context.read_clock().as_secs() as time_t;
    if !at.is_null() {
        // SAFETY: the contract of `time` is that a pointer that is not null can be written to.
        unsafe { at.write(now) };
    }
    now
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(wanted: *const timespec, left: *mut timespec) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"nanosleep" as fn(*const timespec, *mut timespec) -> c_int)(wanted, left)
        };
    };
    // SAFETY: the contract of `nanosleep` is that `wanted` points to a timespec.
    context.sleep(unsafe { span(wanted) });
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    id: clockid_t,
    flags: c_int,
    wanted: *const timespec,
    left: *mut timespec,
) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(
                c"clock_nanosleep" as fn(clockid_t, c_int, *const timespec, *mut timespec) -> c_int
            )(id, flags, wanted, left)
        };
    };
    // SAFETY: the contract of `clock_nanosleep` is that `wanted` points to a timespec.
    let wanted = unsafe { span(wanted) };
    let is_a_moment = flags & libc::TIMER_ABSTIME != 0;
    let passed = match is_a_moment {
        true => shown(context, asked(id)),
        false => Duration::ZERO,
    };
    context.sleep(wanted.saturating_sub(passed));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn usleep(micros: c_uint) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own argument.
        return unsafe { next!(c"usleep" as fn(c_uint) -> c_int)(micros) };
    };
    context.sleep(Duration::from_micros(micros.into()));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sleep(seconds: c_uint) -> c_uint {
    let Some(context) = current() else {
        // SAFETY: the caller's own argument.
        return unsafe { next!(c"sleep" as fn(c_uint) -> c_uint)(seconds) };
    };
    context.sleep(Duration::from_secs(seconds.into()));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sched_yield() -> c_int {
    let Some(context) = current() else {
        // SAFETY: no arguments.
        return unsafe { next!(c"sched_yield" as fn() -> c_int)() };
    };
    context.give_way();
    0
}
