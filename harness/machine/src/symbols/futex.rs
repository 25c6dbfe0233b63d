//! The futex: where the standard library's and parking_lot's locks, channels and parked threads wait.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libc::timespec;

use super::random::getrandom;
use super::{Errno, next, returned};
use crate::context::{Context, current};
use crate::foreign;
use crate::scheduler::Woken;

pub(super) fn link() -> usize {
    syscall as *const () as usize
}

/// The operation without its flags.
const OPERATION: c_int = !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);

type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;

fn real() -> Syscall {
    static NEXT: super::Next = super::Next::new(c"syscall");
    // SAFETY: the C library declares the function with this type.
    unsafe { std::mem::transmute::<*mut c_void, Syscall>(NEXT.address()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_getrandom {
        // SAFETY: the caller's own arguments, in the order of the system call.
        return unsafe { getrandom(a as *mut c_void, b as usize, c as c_uint) } as c_long;
    }
    let operation = b as c_int;
    let is_wake = matches!(
        operation & OPERATION,
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET
    );
    if number == libc::SYS_futex
        && let Some(context) = current()
    {
        match operation & OPERATION {
            libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
                // SAFETY: the arguments of a futex wait.
                return returned(unsafe { wait(context, a as usize, operation, c, d as usize) });
            }
            _ if is_wake => {
                let most = usize::try_from(c).unwrap_or(0);
                let woken = context.wake(a as usize, most);
                if woken > 0 {
                    return woken as c_long;
                }
            }
            _ => {}
        }
    } else if number == libc::SYS_futex && is_wake {
        foreign::wake(a as usize, None);
    }
    // SAFETY: the caller's own arguments.
    unsafe { real()(number, a, b, c, d, e, f) }
}

/// Waits until the futex at `address` is woken.
///
/// # Safety
///
/// `address` is that of a futex, `timeout` that of a timespec, or zero.
unsafe fn wait(
    context: &Context,
    address: usize,
    operation: c_int,
    expected: c_long,
    timeout: usize,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise; a futex is an aligned u32.
    let word = unsafe { &*(address as *const AtomicU32) };
    if word.load(Ordering::SeqCst) != expected as u32 {
        return Err(Errno(libc::EAGAIN));
    }
    if is_static(address) && wait_really(word, expected as u32) {
        return Ok(0);
    }
    let left = (timeout != 0).then(|| {
        // SAFETY: the caller's promise.
        let time = unsafe { (timeout as *const timespec).read() };
        let span = Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        );
        let passed = match operation {
            _ if operation & OPERATION == libc::FUTEX_WAIT => Duration::ZERO,
            _ if operation & libc::FUTEX_CLOCK_REALTIME != 0 => context.wall_clock(),
            _ => context.monotonic_clock(),
        };
        span.saturating_sub(passed)
    });
    match context.wait_for_futex(address, left) {
        Woken::ByEvent => Ok(0),
        Woken::ByDeadline => Err(Errno(libc::ETIMEDOUT)),
    }
}

/// How long, in real time, a lock in static memory is waited for: another run holds it for a moment only. A
/// thread of the same run that holds it would be waited for in vain.
const PATIENCE: Duration = Duration::from_millis(100);

/// Whether `address` is in the program's static memory, which all runs share.
fn is_static(address: usize) -> bool {
    unsafe extern "C" {
        static __executable_start: u8;
        static _end: u8;
    }
    (&raw const __executable_start as usize..&raw const _end as usize).contains(&address)
}

/// Waits in real time until `word` is not `expected` any more; `false` if it still is.
fn wait_really(word: &AtomicU32, expected: u32) -> bool {
    for _ in 0..PATIENCE.as_millis() {
        if word.load(Ordering::SeqCst) != expected {
            return true;
        }
        pause(Duration::from_millis(1));
    }
    false
}

/// Lets real time pass.
pub(crate) fn pause(time: Duration) {
    let time = timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos() as c_long,
    };
    // SAFETY: a timespec that outlives the call, and nobody who asks what is left of it.
    unsafe {
        next!(c"nanosleep" as fn(*const timespec, *mut timespec) -> c_int)(
            &raw const time,
            std::ptr::null_mut(),
        );
    }
}

/// Sleeps in the kernel until `word` is not `expected` any more: how the machine itself parks a thread.
pub(crate) fn park(word: &AtomicU32, expected: u32) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let none = std::ptr::null::<timespec>();
    // SAFETY: an aligned u32 that outlives the call, and no timeout.
    unsafe { real()(libc::SYS_futex, word.as_ptr(), operation, expected, none) };
}

/// Wakes the thread that sleeps on `word` in the kernel.
pub(crate) fn unpark(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: an aligned u32.
    unsafe { real()(libc::SYS_futex, word.as_ptr(), operation, 1) };
}
