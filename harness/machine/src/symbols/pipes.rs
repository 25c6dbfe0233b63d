//! Pipes, and pairs of connected sockets.

use std::ffi::{c_int, c_uint};

use libc::{off_t, size_t, ssize_t};

use super::descriptors::own;
use super::{Errno, next, returned};
use crate::context::{Context, current};
use crate::descriptor::{Direction, FIRST, Object};
use crate::lock;
use crate::pipe::Pipe;
use crate::scheduler::Woken;

pub(super) fn link() -> usize {
    pipe2 as *const () as usize
}

/// Opens two ends, and writes their numbers where the caller wants them.
///
/// # Safety
///
/// Two numbers can be written at `at`.
unsafe fn open(
    context: &Context,
    at: *mut c_int,
    is_nonblocking: bool,
    ends: fn([u32; 2]) -> [Pipe; 2],
) -> c_int {
    let opened = lock(&context.host.descriptors).open_pipe(ends, is_nonblocking);
    // SAFETY: the caller's promise.
    unsafe { at.cast::<[c_int; 2]>().write(opened) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pipe2(at: *mut c_int, flags: c_int) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe { next!(c"pipe2" as fn(*mut c_int, c_int) -> c_int)(at, flags) };
    };
    // SAFETY: the contract of `pipe2`.
    unsafe { open(context, at, flags & libc::O_NONBLOCK != 0, Pipe::one_way) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pipe(at: *mut c_int) -> c_int {
    // SAFETY: the caller's own argument.
    unsafe { pipe2(at, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn socketpair(
    domain: c_int,
    kind: c_int,
    protocol: c_int,
    at: *mut c_int,
) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"socketpair" as fn(c_int, c_int, c_int, *mut c_int) -> c_int)(
                domain, kind, protocol, at,
            )
        };
    };
    const FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    if domain != libc::AF_UNIX || kind & !FLAGS != libc::SOCK_STREAM {
        return returned(Err(
            context.refuse("a pair of sockets that is no stream of bytes")
        ));
    }
    // SAFETY: the contract of `socketpair`.
    unsafe { open(context, at, kind & libc::SOCK_NONBLOCK != 0, Pipe::both_ways) }
}

/// Makes `attempt` until it does not say that it would have to wait, unless the end is not to wait; tells the other
/// end if something has come of it.
fn waiting(
    context: &Context,
    (object, pipe): (&Object, &Pipe),
    direction: Direction,
    flags: c_int,
    mut attempt: impl FnMut() -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let may_wait = !object.is_nonblocking() && flags & libc::MSG_DONTWAIT == 0;
    let deadline = object.timeout(direction);
    let deadline = deadline.map(|left| context.now() + left);
    loop {
        let seen = context.host.io_count();
        match attempt() {
            Err(Errno(libc::EAGAIN)) if may_wait => {}
            result => {
                if result.is_ok_and(|count| count > 0) {
                    context.host.tell(&context.scheduler, pipe.other);
                }
                return result;
            }
        }
        if context.host.is_dead() {
            return Err(Errno(libc::EBADF));
        }
        let left = deadline.map(|deadline| deadline.saturating_sub(context.now()));
        if context.wait_for_io(seen, left) == Woken::ByDeadline {
            return Err(Errno(libc::EAGAIN));
        }
    }
}

pub(super) fn receive(
    context: &Context,
    (object, pipe): (&Object, &Pipe),
    into: &mut [u8],
    flags: c_int,
) -> Result<usize, Errno> {
    let peek = flags & libc::MSG_PEEK != 0;
    waiting(context, (object, pipe), Direction::Receive, flags, || {
        pipe.receive(into, peek)
    })
}

pub(super) fn send(
    context: &Context,
    (object, pipe): (&Object, &Pipe),
    from: &[u8],
    flags: c_int,
) -> Result<usize, Errno> {
    let may_wait = !object.is_nonblocking() && flags & libc::MSG_DONTWAIT == 0;
    let mut total = 0;
    loop {
        let rest = &from[total..];
        let sent = waiting(context, (object, pipe), Direction::Send, flags, || {
            pipe.send(rest)
        });
        match sent {
            Ok(count) => total += count,
            Err(error) if total == 0 => return Err(error),
            Err(_) => return Ok(total),
        }
        if total == from.len() || !may_wait {
            return Ok(total);
        }
    }
}

/// Copying from one descriptor to another inside the kernel: whoever tries that on one of the machine is told to
/// read and write instead, as on Linux where a file cannot do it.
fn is_copied_by_hand(one: c_int, other: c_int) -> bool {
    (one >= FIRST && own(one).is_some()) || (other >= FIRST && own(other).is_some())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn splice(
    from: c_int,
    from_at: *mut off_t,
    to: c_int,
    to_at: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    if is_copied_by_hand(from, to) {
        return returned(Err(Errno(libc::EINVAL)));
    }
    // SAFETY: the caller's own arguments.
    unsafe {
        next!(
            c"splice" as fn(c_int, *mut off_t, c_int, *mut off_t, size_t, c_uint) -> ssize_t
        )(from, from_at, to, to_at, length, flags)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(to: c_int, from: c_int, at: *mut off_t, length: size_t) -> ssize_t {
    if is_copied_by_hand(from, to) {
        return returned(Err(Errno(libc::EINVAL)));
    }
    // SAFETY: the caller's own arguments.
    unsafe {
        next!(c"sendfile64" as fn(c_int, c_int, *mut off_t, size_t) -> ssize_t)(to, from, at, length)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile(to: c_int, from: c_int, at: *mut off_t, length: size_t) -> ssize_t {
    // SAFETY: the caller's own arguments; both names are one function where offsets have 64 bits.
    unsafe { sendfile64(to, from, at, length) }
}
