//! Options of sockets: those that have a meaning on this network are timeouts.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use libc::socklen_t;

use super::descriptors::own;
use super::sockets::call;
use super::{next, returned};
use crate::descriptor::{Direction, Kind};

pub(super) fn link() -> usize {
    setsockopt as *const () as usize
}

/// Which way a socket option sets the timeout of, if it does.
fn timeout_of(option: c_int) -> Option<Direction> {
    match option {
        libc::SO_RCVTIMEO => Some(Direction::Receive),
        libc::SO_SNDTIMEO => Some(Direction::Send),
        _ => None,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn setsockopt(
    socket: c_int,
    level: c_int,
    option: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    let Some((_, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"setsockopt" as fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int)(
                socket, level, option, value, length,
            )
        };
    };
    returned(object.map(|object| {
        // Buffer sizes, keep-alive and Nagle's delay have no meaning on this network.
        if let Some(direction) = timeout_of(option)
            && level == libc::SOL_SOCKET
        {
            // SAFETY: the contract of this option is that the value is a timeval.
            let time = unsafe { value.cast::<libc::timeval>().read_unaligned() };
            let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
            let micros = Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0));
            let timeout = seconds + micros;
            object.set_timeout(direction, (!timeout.is_zero()).then_some(timeout));
        }
        0
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    socket: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"getsockopt" as fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int)(
                socket, level, option, value, length,
            )
        };
    };
    returned(object.and_then(|object| {
        let id = object.id;
        let answer: c_int = match option {
            libc::SO_ERROR if matches!(object.kind, Kind::Datagram) => 0,
            libc::SO_ERROR if level == libc::SOL_SOCKET => {
                let error = call(context, move |kernel| kernel.take_error(id))?;
                error.map_or(0, |error| error.0)
            }
            libc::SO_TYPE if level == libc::SOL_SOCKET => match object.kind {
                Kind::Datagram => libc::SOCK_DGRAM,
                _ => libc::SOCK_STREAM,
            },
            _ => 0,
        };
        // SAFETY: the contract of `getsockopt`, and no more bytes than there is room for.
        unsafe {
            if timeout_of(option).is_some() && level == libc::SOL_SOCKET {
                let timeout = timeout_of(option).and_then(|own| object.timeout(own));
                let timeout = timeout.unwrap_or_default();
                let timeout = libc::timeval {
                    tv_sec: timeout.as_secs() as libc::time_t,
                    tv_usec: timeout.subsec_micros() as libc::suseconds_t,
                };
                value.cast::<libc::timeval>().write_unaligned(timeout);
                length.write(size_of_val(&timeout) as socklen_t);
            } else {
                value.cast::<c_int>().write_unaligned(answer);
                length.write(size_of_val(&answer) as socklen_t);
            }
        }
        Ok(0)
    }))
}
