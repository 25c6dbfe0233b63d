//! Readiness: epoll and poll.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use libc::{epoll_event, nfds_t, pollfd};

use super::descriptors::own;
use super::{Errno, next, returned};
use crate::context::{Context, current};
use crate::descriptor::{FIRST, Kind, Object};
use crate::epoll::{Epoll, Ready};
use crate::lock;
use crate::scheduler::Woken;

pub(super) fn link() -> usize {
    epoll_wait as *const () as usize
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own argument.
        return unsafe { next!(c"epoll_create1" as fn(c_int) -> c_int)(flags) };
    };
    let mut descriptors = lock(&context.host.descriptors);
    descriptors.open(Kind::Epoll(Epoll::default()), false).0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    descriptor: c_int,
    event: *mut epoll_event,
) -> c_int {
    let Some((context, object)) = own(epoll) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"epoll_ctl" as fn(c_int, c_int, c_int, *mut epoll_event) -> c_int)(
                epoll, operation, descriptor, event,
            )
        };
    };
    let control = || {
        let object = object?;
        let Kind::Epoll(epoll) = &object.kind else {
            return Err(Errno(libc::EINVAL));
        };
        // A descriptor of the real machine, such as a signal's pipe, is never ready in a run.
        if descriptor < FIRST {
            return Ok(0);
        }
        let target = lock(&context.host.descriptors).get(descriptor)?;
        if operation == libc::EPOLL_CTL_DEL {
            return epoll.remove(descriptor, &target).map(|()| 0);
        }
        // SAFETY: the contract of `epoll_ctl` is that `event` points to an event.
        let event = unsafe { event.read_unaligned() };
        let (events, data) = (event.events, event.u64);
        match operation {
            libc::EPOLL_CTL_ADD => epoll.add(descriptor, &target, events, data)?,
            libc::EPOLL_CTL_MOD => epoll.modify(descriptor, &target, events, data)?,
            _ => return Err(Errno(libc::EINVAL)),
        }
        Ok(0)
    };
    returned(control())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout_ms: c_int,
) -> c_int {
    let Some((context, object)) = own(epoll) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"epoll_wait" as fn(c_int, *mut epoll_event, c_int, c_int) -> c_int)(
                epoll, events, most, timeout_ms,
            )
        };
    };
    let most = usize::try_from(most).unwrap_or(0);
    let told = object.and_then(|object| wait_for_events(context, &object, most, timeout_ms));
    returned(told.map(|told| {
        for (index, ready) in told.iter().enumerate() {
            let event = epoll_event {
                events: ready.events,
                u64: ready.data,
            };
            // SAFETY: the contract of `epoll_wait`: room for `most` events.
            unsafe { events.add(index).write_unaligned(event) };
        }
        told.len()
    }))
}

/// How long a timeout in milliseconds is; `None` if there is none.
fn timeout(ms: c_int) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

fn wait_for_events(
    context: &Context,
    object: &Arc<Object>,
    most: usize,
    timeout_ms: c_int,
) -> Result<Vec<Ready>, Errno> {
    let mut seen = context.host.io_count();
    let told = collect(context, object, most)?;
    if !told.is_empty() {
        return Ok(told);
    }
    if timeout_ms == 0 {
        context.give_way();
        return collect(context, object, most);
    }
    let deadline = timeout(timeout_ms).map(|left| context.now() + left);
    loop {
        if context.host.is_dead() {
            if context.is_main() && context.host.tell_root() {
                return Ok(Vec::new());
            }
            // Nobody can end a loop of its own.
            context.wait_for_ever();
        }
        let left = deadline.map(|deadline| deadline.saturating_sub(context.now()));
        let woken = context.wait_for_io(seen, left);
        seen = context.host.io_count();
        let told = collect(context, object, most)?;
        if !told.is_empty() || woken == Woken::ByDeadline {
            return Ok(told);
        }
    }
}

fn collect(context: &Context, object: &Arc<Object>, most: usize) -> Result<Vec<Ready>, Errno> {
    if !matches!(object.kind, Kind::Epoll(_)) {
        return Err(Errno(libc::EINVAL));
    }
    let object = object.clone();
    let told = context.on_kernel(move |kernel| {
        kernel.look_again();
        let Kind::Epoll(epoll) = &object.kind else {
            return Vec::new();
        };
        epoll.collect(most, |object| kernel.readiness_of(object))
    });
    Ok(told.unwrap_or_default())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn poll(wanted: *mut pollfd, count: nfds_t, timeout_ms: c_int) -> c_int {
    let is_own = |wanted: &[pollfd]| wanted.iter().any(|own| own.fd >= FIRST);
    let length = usize::try_from(count).unwrap_or(0);
    let all = || match length {
        0 => &mut [][..],
        // SAFETY: the contract of `poll`: `count` structures.
        _ => unsafe { std::slice::from_raw_parts_mut(wanted, length) },
    };
    let context = match current() {
        Some(context) if is_own(all()) || length == 0 => context,
        _ => {
            // SAFETY: the caller's own arguments.
            return unsafe {
                next!(c"poll" as fn(*mut pollfd, nfds_t, c_int) -> c_int)(wanted, count, timeout_ms)
            };
        }
    };
    let deadline = timeout(timeout_ms).map(|left| context.now() + left);
    loop {
        let seen = context.host.io_count();
        let ready = look(context, all());
        let left = deadline.map(|deadline| deadline.saturating_sub(context.now()));
        if ready > 0 || left == Some(Duration::ZERO) || context.host.is_dead() {
            return returned(Ok(ready));
        }
        context.wait_for_io(seen, left);
    }
}

/// Fills in what each descriptor is ready for; the number of those that are.
fn look(context: &Context, wanted: &mut [pollfd]) -> usize {
    let mut ready = 0;
    for own in wanted {
        let object = lock(&context.host.descriptors).get(own.fd);
        let bits = match object {
            Ok(object) => context
                .on_kernel(move |kernel| {
                    kernel.look_again();
                    kernel.readiness_of(&object)
                })
                .unwrap_or(0),
            Err(_) => libc::POLLNVAL as u32,
        };
        let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
        // Both interfaces have the same bits.
        own.revents = (bits as i16) & (own.events | always);
        ready += usize::from(own.revents != 0);
    }
    ready
}
