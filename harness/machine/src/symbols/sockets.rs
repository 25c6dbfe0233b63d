//! Sockets: TCP and UDP over IPv4, on the simulated network.

use std::ffi::{c_int, c_void};
use std::net::SocketAddr;
use std::sync::Arc;

use libc::{size_t, sockaddr, socklen_t, ssize_t};

use super::addresses::{read_address, write_address};
use super::descriptors::{bytes, bytes_mut, own};
use super::{Errno, next, pipes, returned};
use crate::context::{Context, current};
use crate::descriptor::{Direction, Kind, Object, ObjectId};
use crate::kernel::{self, Kernel};
use crate::lock;
use crate::scheduler::Woken;

pub(super) fn link() -> usize {
    socket as *const () as usize
}

#[unsafe(no_mangle)]
unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    const FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let is_internet = domain == libc::AF_INET || domain == libc::AF_INET6;
    let object = match kind & !FLAGS {
        libc::SOCK_STREAM => Some(Kind::Socket),
        libc::SOCK_DGRAM => Some(Kind::Datagram),
        _ => None,
    };
    match (current(), object) {
        (Some(context), Some(kind_of_object)) if is_internet => {
            let is_nonblocking = kind & libc::SOCK_NONBLOCK != 0;
            let descriptors = &context.host.descriptors;
            let (descriptor, object) = lock(descriptors).open(kind_of_object, is_nonblocking);
            let id = object.id;
            context.on_kernel(move |kernel| match object.kind {
                Kind::Datagram => kernel.open_datagram(id),
                _ => kernel.open(id),
            });
            descriptor
        }
        (Some(context), _) if domain == libc::AF_UNIX => {
            returned(Err(context.refuse("a Unix socket")))
        }
        (Some(context), _) => returned(Err(context.refuse("a socket that is neither TCP nor UDP"))),
        // SAFETY: the caller's own arguments.
        (None, _) => unsafe {
            next!(c"socket" as fn(c_int, c_int, c_int) -> c_int)(domain, kind, protocol)
        },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bind(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"bind" as fn(c_int, *const sockaddr, socklen_t) -> c_int)(
                socket, address, length,
            )
        };
    };
    // SAFETY: the contract of `bind`.
    let address = unsafe { read_address(address, length) };
    returned(object.and_then(|object| {
        let (id, address) = (object.id, address?);
        call(context, move |kernel| kernel.bind(id, address)).map(|()| 0)
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn listen(socket: c_int, backlog: c_int) -> c_int {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe { next!(c"listen" as fn(c_int, c_int) -> c_int)(socket, backlog) };
    };
    returned(object.and_then(|object| {
        let id = object.id;
        call(context, move |kernel| kernel.listen(id)).map(|()| 0)
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn connect(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"connect" as fn(c_int, *const sockaddr, socklen_t) -> c_int)(
                socket, address, length,
            )
        };
    };
    // SAFETY: the contract of `connect`.
    let address = unsafe { read_address(address, length) };
    returned(object.and_then(|object| {
        let (id, address) = (object.id, address?);
        loop {
            let seen = context.host.io_count();
            let connected = call(context, move |kernel| kernel.connect(id, address));
            match connected {
                Err(Errno(libc::EINPROGRESS | libc::EALREADY)) if !object.is_nonblocking() => {
                    context.wait_for_io(seen, None);
                }
                connected => return connected.map(|()| 0),
            }
        }
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn accept(socket: c_int, peer: *mut sockaddr, length: *mut socklen_t) -> c_int {
    // SAFETY: the caller's own arguments.
    unsafe { accept4(socket, peer, length, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    socket: c_int,
    peer: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"accept4" as fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int)(
                socket, peer, length, flags,
            )
        };
    };
    returned(object.and_then(|object| {
        let is_nonblocking = flags & libc::SOCK_NONBLOCK != 0;
        let descriptors = &context.host.descriptors;
        let child = lock(descriptors).create(Kind::Socket, is_nonblocking);
        let (id, child_id) = (object.id, child.id);
        let address = waiting(context, &object, Direction::Receive, 0, || {
            call(context, move |kernel| kernel.accept(id, child_id))
        })?;
        // SAFETY: the contract of `accept4`.
        unsafe { write_address(address, peer, length) };
        Ok(lock(descriptors).give(child) as usize)
    }))
}

/// A call of the kernel; a process that is dead has none.
pub(super) fn call<R: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&mut Kernel) -> Result<R, Errno> + Send + 'static,
) -> Result<R, Errno> {
    if context.host.is_dead() {
        return Err(Errno(libc::ENETDOWN));
    }
    let result = context.on_kernel(work);
    result.unwrap_or(Err(Errno(libc::ENETDOWN)))
}

/// Makes `attempt` until it does not say that it would have to wait, unless the socket is not to wait.
fn waiting<R>(
    context: &Context,
    object: &Object,
    direction: Direction,
    flags: c_int,
    mut attempt: impl FnMut() -> Result<R, Errno>,
) -> Result<R, Errno> {
    let may_wait = !object.is_nonblocking() && flags & libc::MSG_DONTWAIT == 0;
    let timeout = object.timeout(direction);
    let deadline = timeout.map(|left| context.now() + left);
    loop {
        let seen = context.host.io_count();
        match attempt() {
            Err(Errno(libc::EAGAIN)) if may_wait => {}
            result => return result,
        }
        // Asking is what makes the kernel tell.
        let id = object.id;
        let ready = context.on_kernel(move |kernel| kernel.readiness(id));
        if ready.unwrap_or(0) & direction.bits() != 0 {
            continue;
        }
        let left = deadline.map(|deadline| deadline.saturating_sub(context.now()));
        if context.wait_for_io(seen, left) == Woken::ByDeadline {
            return Err(Errno(libc::EAGAIN));
        }
    }
}

/// Receives into `into`, and waits for something to receive if the socket is to wait.
pub(super) fn receive(
    context: &Context,
    object: &Arc<Object>,
    into: &mut [u8],
    flags: c_int,
) -> Result<usize, Errno> {
    match object.kind {
        Kind::Socket => {}
        Kind::Pipe(ref pipe) => return pipes::receive(context, (object, pipe), into, flags),
        Kind::Datagram => return receive_from(context, object, into, flags).map(|own| own.0),
        _ => return Err(Errno(libc::EINVAL)),
    }
    let (id, peek) = (object.id, flags & libc::MSG_PEEK != 0);
    waiting(context, object, Direction::Receive, flags, || {
        if context.host.is_dead() {
            return Err(Errno(libc::ECONNRESET));
        }
        if context.is_main() {
            let received = kernel::here(|kernel| kernel.receive(id, into, peek));
            return received.unwrap_or(Err(Errno(libc::ENETDOWN)));
        }
        let length = into.len();
        let received = call(context, move |kernel| {
            let mut bytes = vec![0; length];
            let count = kernel.receive(id, &mut bytes, peek)?;
            bytes.truncate(count);
            Ok(bytes)
        })?;
        into[..received.len()].copy_from_slice(&received);
        Ok(received.len())
    })
}

/// Receives a datagram, and tells who has sent it.
fn receive_from(
    context: &Context,
    object: &Arc<Object>,
    into: &mut [u8],
    flags: c_int,
) -> Result<(usize, SocketAddr), Errno> {
    let (id, peek) = (object.id, flags & libc::MSG_PEEK != 0);
    waiting(context, object, Direction::Receive, flags, || {
        let length = into.len();
        let (bytes, from) = call(context, move |kernel| {
            let mut bytes = vec![0; length];
            let (count, from) = kernel.receive_datagram(id, &mut bytes, peek)?;
            bytes.truncate(count);
            Ok((bytes, from))
        })?;
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok((bytes.len(), from))
    })
}

/// Sends a datagram, to whom the socket is connected if nobody is named.
fn send_to(
    context: &Context,
    object: &Object,
    from: &[u8],
    to: Option<SocketAddr>,
) -> Result<usize, Errno> {
    let (id, from) = (object.id, from.to_vec());
    call(context, move |kernel| kernel.send_datagram(id, &from, to))
}

/// Sends all of `from` if the socket is to wait, else what there is room for.
pub(super) fn send(
    context: &Context,
    object: &Arc<Object>,
    from: &[u8],
    flags: c_int,
) -> Result<usize, Errno> {
    match object.kind {
        Kind::Socket => {}
        Kind::Pipe(ref pipe) => return pipes::send(context, (object, pipe), from, flags),
        Kind::Datagram => return send_to(context, object, from, None),
        _ => return Err(Errno(libc::EINVAL)),
    }
    let id = object.id;
    let mut total = 0;
    loop {
        let rest = &from[total..];
        let sent = waiting(context, object, Direction::Send, flags, || {
            if context.host.is_dead() {
                return Err(Errno(libc::EPIPE));
            }
            if context.is_main() {
                let sent = kernel::here(|kernel| kernel.send(id, rest));
                return sent.unwrap_or(Err(Errno(libc::ENETDOWN)));
            }
            let rest = rest.to_vec();
            call(context, move |kernel| kernel.send(id, &rest))
        });
        match sent {
            Ok(count) => total += count,
            Err(error) if total == 0 => return Err(error),
            Err(_) => return Ok(total),
        }
        let may_wait = !object.is_nonblocking() && flags & libc::MSG_DONTWAIT == 0;
        if total == from.len() || !may_wait {
            return Ok(total);
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recv(
    socket: c_int,
    into: *mut c_void,
    length: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's own arguments, and nobody asks who has sent.
    unsafe {
        recvfrom(
            socket,
            into,
            length,
            flags,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recvfrom(
    socket: c_int,
    into: *mut c_void,
    length: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> ssize_t {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(
                c"recvfrom"
                    as fn(
                        c_int,
                        *mut c_void,
                        size_t,
                        c_int,
                        *mut sockaddr,
                        *mut socklen_t,
                    ) -> ssize_t
            )(socket, into, length, flags, from, from_length)
        };
    };
    // SAFETY: the contract of `recvfrom`.
    let into = unsafe { bytes_mut(into, length) };
    returned(object.and_then(|object| match object.kind {
        Kind::Datagram => {
            let (count, sender) = receive_from(context, &object, into, flags)?;
            // SAFETY: the contract of `recvfrom`.
            unsafe { write_address(sender, from, from_length) };
            Ok(count)
        }
        _ => receive(context, &object, into, flags),
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    socket: c_int,
    from: *const c_void,
    length: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_length: socklen_t,
) -> ssize_t {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(
                c"sendto"
                    as fn(
                        c_int,
                        *const c_void,
                        size_t,
                        c_int,
                        *const sockaddr,
                        socklen_t,
                    ) -> ssize_t
            )(socket, from, length, flags, to, to_length)
        };
    };
    // SAFETY: the contract of `sendto`.
    let from = unsafe { bytes(from, length) };
    // SAFETY: the contract of `sendto`: null, or an address.
    let to = (!to.is_null()).then(|| unsafe { read_address(to, to_length) });
    returned(object.and_then(|object| match object.kind {
        Kind::Datagram => send_to(context, &object, from, to.transpose()?),
        _ => self::send(context, &object, from, flags),
    }))
}

#[unsafe(export_name = "send")]
unsafe extern "C" fn send_symbol(
    socket: c_int,
    from: *const c_void,
    length: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's own arguments, to whom the socket is connected.
    unsafe { sendto(socket, from, length, flags, std::ptr::null(), 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn shutdown(socket: c_int, how: c_int) -> c_int {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe { next!(c"shutdown" as fn(c_int, c_int) -> c_int)(socket, how) };
    };
    returned(object.and_then(|object| {
        let id = object.id;
        if let Kind::Pipe(pipe) = &object.kind {
            pipe.shut_down(how);
            for end in [id, pipe.other] {
                context.host.tell(&context.scheduler, end);
            }
            return Ok(0);
        }
        call(context, move |kernel| kernel.shut_down(id, how)).map(|()| 0)
    }))
}

/// Writes the address that the kernel tells of a socket.
///
/// # Safety
///
/// As for [`write_address`].
unsafe fn tell_address(
    (context, object): (&Context, Result<Arc<Object>, Errno>),
    at: *mut sockaddr,
    length: *mut socklen_t,
    ask: impl FnOnce(&mut Kernel, ObjectId) -> Result<SocketAddr, Errno> + Send + 'static,
) -> c_int {
    returned(object.and_then(|object| {
        let id = object.id;
        let address = call(context, move |kernel| ask(kernel, id))?;
        // SAFETY: the caller's promise.
        unsafe { write_address(address, at, length) };
        Ok(0)
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getsockname(
    socket: c_int,
    at: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's own arguments.
    unsafe {
        match own(socket) {
            Some(own) => tell_address(own, at, length, Kernel::local_address),
            None => next!(c"getsockname" as fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int)(
                socket, at, length,
            ),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getpeername(
    socket: c_int,
    at: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's own arguments.
    unsafe {
        match own(socket) {
            Some(own) => tell_address(own, at, length, Kernel::peer_address),
            None => next!(c"getpeername" as fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int)(
                socket, at, length,
            ),
        }
    }
}
