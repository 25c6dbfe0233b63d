//! What all descriptors have: reading and writing, flags, duplicates, an end.

use std::ffi::{c_int, c_long, c_uint, c_ulong, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{iovec, size_t, ssize_t};

use super::sockets::{receive, send};
use super::{Errno, next, returned};
use crate::context::{Context, current};
use crate::descriptor::{FIRST, Kind, Object, PLACES, owner_of};
use crate::host::Host;
use crate::lock;
use crate::scheduler::Scheduler;

pub(super) fn link() -> usize {
    read as *const () as usize
}

/// The current thread and its own open file of that number; `None` if it is the real machine's.
pub(super) fn own(descriptor: c_int) -> Option<(&'static Context, Result<Arc<Object>, Errno>)> {
    if descriptor < FIRST {
        return None;
    }
    let context = current()?;
    let object = lock(&context.host.descriptors).get(descriptor);
    Some((context, object))
}

/// The process that a descriptor belongs to, if it is not the current one: a thread of one process drops or wakes what
/// belongs to another where both share memory, as the one that drives the run does.
fn other_owner(context: &Context, descriptor: c_int) -> Option<Arc<Host>> {
    let own = context.host.place % PLACES;
    let place = owner_of(descriptor).filter(|place| *place != own)?;
    context.scheduler.lock().process_at(place)
}

/// The bytes at `at`.
///
/// # Safety
///
/// `length` bytes at `at` can be read for as long as the result is used.
pub(super) unsafe fn bytes<'a>(at: *const c_void, length: size_t) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(at.cast(), length) }
}

/// The bytes at `at`, to be written.
///
/// # Safety
///
/// `length` bytes at `at` belong to the caller alone for as long as the result is used.
pub(super) unsafe fn bytes_mut<'a>(at: *mut c_void, length: size_t) -> &'a mut [u8] {
    if length == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(at.cast(), length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(descriptor: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
    let Some((context, object)) = own(descriptor) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"read" as fn(c_int, *mut c_void, size_t) -> ssize_t)(descriptor, buffer, length)
        };
    };
    // SAFETY: the contract of `read`.
    let into = unsafe { bytes_mut(buffer, length) };
    returned(object.and_then(|object| match &object.kind {
        Kind::Counter(counter) => take_count(context, &object, counter, into),
        Kind::Timer(_, timer) => super::timers::take(context, &object, timer, into),
        _ => receive(context, &object, into, 0),
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
    let Some((context, object)) = own(descriptor) else {
        if super::files::is_refused(descriptor) {
            return returned(Err(Errno(libc::EIO)));
        }
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"write" as fn(c_int, *const c_void, size_t) -> ssize_t)(
                descriptor, buffer, length,
            )
        };
    };
    // SAFETY: the contract of `write`.
    let from = unsafe { bytes(buffer, length) };
    let other = object.is_err().then(|| other_owner(context, descriptor));
    if let Some(other) = other.flatten() {
        let object = lock(&other.descriptors).get(descriptor);
        return returned(object.and_then(|object| match &object.kind {
            Kind::Counter(counter) => count(&context.scheduler, &other, (&object, counter), from),
            _ => Err(Errno(libc::EBADF)),
        }));
    }
    returned(object.and_then(|object| match &object.kind {
        Kind::Counter(counter) => {
            count(&context.scheduler, &context.host, (&object, counter), from)
        }
        _ => send(context, &object, from, 0),
    }))
}

/// The parts of a vectored call that are not empty.
///
/// # Safety
///
/// `parts` points to `count` of them.
unsafe fn parts(parts: *const iovec, count: c_int) -> impl Iterator<Item = iovec> {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's promise.
    let all = (0..count).map(move |index| unsafe { parts.add(index).read() });
    all.filter(|part| part.iov_len > 0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn readv(descriptor: c_int, into: *const iovec, count: c_int) -> ssize_t {
    let Some((context, object)) = own(descriptor) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"readv" as fn(c_int, *const iovec, c_int) -> ssize_t)(descriptor, into, count)
        };
    };
    let all = || {
        let object = object?;
        let mut total = 0;
        // SAFETY: the contract of `readv`.
        for part in unsafe { parts(into, count) } {
            // Only the first part may be waited for.
            let flags = if total == 0 { 0 } else { libc::MSG_DONTWAIT };
            // SAFETY: the contract of `readv`.
            let into = unsafe { bytes_mut(part.iov_base, part.iov_len) };
            match receive(context, &object, into, flags) {
                Ok(received) => total += received,
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
            if total == 0 {
                break;
            }
        }
        Ok(total)
    };
    returned(all())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(descriptor: c_int, from: *const iovec, count: c_int) -> ssize_t {
    let Some((context, object)) = own(descriptor) else {
        if super::files::is_refused(descriptor) {
            return returned(Err(Errno(libc::EIO)));
        }
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"writev" as fn(c_int, *const iovec, c_int) -> ssize_t)(descriptor, from, count)
        };
    };
    let all = || {
        let object = object?;
        // SAFETY: the contract of `writev`.
        let parts = unsafe { parts(from, count) };
        // SAFETY: the contract of `writev`.
        let parts = parts.map(|part| unsafe { bytes(part.iov_base, part.iov_len) });
        let joined: Vec<u8> = parts.flatten().copied().collect();
        send(context, &object, &joined, 0)
    };
    returned(all())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    let Some(context) = (descriptor >= FIRST).then(current).flatten() else {
        // SAFETY: the caller's own argument.
        return unsafe { next!(c"close" as fn(c_int) -> c_int)(descriptor) };
    };
    let other = other_owner(context, descriptor);
    let owner = other.as_ref().unwrap_or(&context.host);
    let closed = lock(&owner.descriptors).close(descriptor);
    returned(closed.map(|object| {
        let Some(object) = object else { return 0 };
        match &object.kind {
            Kind::Socket | Kind::Datagram => {
                let id = object.id;
                let is_own = other.is_none();
                let of_own = is_own.then(|| context.on_kernel(move |kernel| kernel.close(id)));
                if of_own.is_none() && !owner.is_dead() {
                    context.on_kernel_of(owner, move |kernel| kernel.close(id));
                }
            }
            Kind::Pipe(pipe) => {
                pipe.shut_down(libc::SHUT_RDWR);
                owner.tell(&context.scheduler, pipe.other);
            }
            Kind::Counter(_) | Kind::Epoll(_) | Kind::Timer(..) => {}
        }
        0
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: c_long) -> c_int {
    let Some((context, object)) = own(descriptor) else {
        // SAFETY: the caller's own arguments; a variadic argument is passed as a plain one is.
        return unsafe {
            next!(c"fcntl" as fn(c_int, c_int, c_long) -> c_int)(descriptor, command, argument)
        };
    };
    returned(object.and_then(|object| match command {
        libc::F_GETFL if object.is_nonblocking() => Ok((libc::O_RDWR | libc::O_NONBLOCK) as usize),
        libc::F_GETFL => Ok(libc::O_RDWR as usize),
        libc::F_SETFL => {
            object.set_nonblocking(argument & c_long::from(libc::O_NONBLOCK) != 0);
            Ok(0)
        }
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => duplicate(context, descriptor),
        libc::F_GETFD => Ok(libc::FD_CLOEXEC as usize),
        libc::F_SETFD => Ok(0),
        _ => Err(Errno(libc::EINVAL)),
    }))
}

fn duplicate(context: &Context, descriptor: c_int) -> Result<usize, Errno> {
    let duplicate = lock(&context.host.descriptors).duplicate(descriptor);
    duplicate.map(|descriptor| descriptor as usize)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dup(descriptor: c_int) -> c_int {
    let Some((context, _)) = own(descriptor) else {
        // SAFETY: the caller's own argument.
        return unsafe { next!(c"dup" as fn(c_int) -> c_int)(descriptor) };
    };
    returned(duplicate(context, descriptor))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: c_long) -> c_int {
    let Some((_, object)) = own(descriptor) else {
        // SAFETY: the caller's own arguments; a variadic argument is passed as a plain one is.
        return unsafe {
            next!(c"ioctl" as fn(c_int, c_ulong, c_long) -> c_int)(descriptor, request, argument)
        };
    };
    returned(object.and_then(|object| match request {
        libc::FIONBIO => {
            // SAFETY: the contract of this request is that the argument points to an int.
            let is_nonblocking = unsafe { (argument as *const c_int).read() } != 0;
            object.set_nonblocking(is_nonblocking);
            Ok(0)
        }
        _ => Err(Errno(libc::ENOTTY)),
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn eventfd(start: c_uint, flags: c_int) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe { next!(c"eventfd" as fn(c_uint, c_int) -> c_int)(start, flags) };
    };
    if flags & libc::EFD_SEMAPHORE != 0 {
        return returned(Err(Errno(libc::EINVAL)));
    }
    let counter = Kind::Counter(AtomicU64::new(start.into()));
    let is_nonblocking = flags & libc::EFD_NONBLOCK != 0;
    let (descriptor, _) = lock(&context.host.descriptors).open(counter, is_nonblocking);
    descriptor
}

fn take_count(
    context: &Context,
    object: &Object,
    counter: &AtomicU64,
    into: &mut [u8],
) -> Result<usize, Errno> {
    let into = into.first_chunk_mut().ok_or(Errno(libc::EINVAL))?;
    loop {
        let seen = context.host.io_count();
        match counter.swap(0, Ordering::SeqCst) {
            0 if object.is_nonblocking() => return Err(Errno(libc::EAGAIN)),
            0 if context.host.is_dead() => return Err(Errno(libc::EBADF)),
            0 => drop(context.wait_for_io(seen, None)),
            count => {
                *into = count.to_ne_bytes();
                return Ok(into.len());
            }
        }
    }
}

fn count(
    scheduler: &Scheduler,
    host: &Host,
    (object, counter): (&Object, &AtomicU64),
    from: &[u8],
) -> Result<usize, Errno> {
    let from = from.first_chunk().ok_or(Errno(libc::EINVAL))?;
    counter.fetch_add(u64::from_ne_bytes(*from), Ordering::SeqCst);
    host.tell(scheduler, object.id);
    Ok(from.len())
}
