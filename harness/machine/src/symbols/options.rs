//! Options of sockets: those that have a meaning on this network are timeouts, and how long a connection lives without
//! an answer.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use libc::socklen_t;

use super::descriptors::own;
use super::sockets::call;
use super::{Errno, next, returned};
use crate::descriptor::{Direction, Kind};
use crate::kernel::Lifetime;

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

/// Whether an option says how long a connection lives without an answer.
fn is_of_lifetime(level: c_int, option: c_int) -> bool {
    match level {
        libc::SOL_SOCKET => option == libc::SO_KEEPALIVE,
        libc::IPPROTO_TCP => matches!(
            option,
            libc::TCP_KEEPIDLE | libc::TCP_KEEPINTVL | libc::TCP_KEEPCNT | libc::TCP_USER_TIMEOUT
        ),
        _ => false,
    }
}

/// Changes one of those options, within the limits of Linux (`tcp(7)`).
fn change(lifetime: &mut Lifetime, option: (c_int, c_int), value: c_int) -> Result<(), Errno> {
    let number = u32::try_from(value).map_err(|_| Errno(libc::EINVAL))?;
    let seconds = Duration::from_secs(number.into());
    let is_time = (1..=32_767).contains(&number);
    match option {
        (libc::SOL_SOCKET, _) => lifetime.keep_alive = number != 0,
        (_, libc::TCP_USER_TIMEOUT) => {
            lifetime.user_timeout = Duration::from_millis(number.into());
        }
        (_, libc::TCP_KEEPIDLE) if is_time => lifetime.idle = seconds,
        (_, libc::TCP_KEEPINTVL) if is_time => lifetime.interval = seconds,
        (_, libc::TCP_KEEPCNT) if (1..=127).contains(&number) => lifetime.probes = number,
        _ => return Err(Errno(libc::EINVAL)),
    }
    Ok(())
}

/// What one of those options is set to.
fn told(lifetime: &Lifetime, option: (c_int, c_int)) -> c_int {
    let number = match option {
        (libc::SOL_SOCKET, _) => lifetime.keep_alive.into(),
        (_, libc::TCP_USER_TIMEOUT) => lifetime.user_timeout.as_millis(),
        (_, libc::TCP_KEEPIDLE) => lifetime.idle.as_secs().into(),
        (_, libc::TCP_KEEPINTVL) => lifetime.interval.as_secs().into(),
        _ => lifetime.probes.into(),
    };
    c_int::try_from(number).unwrap_or(c_int::MAX)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn setsockopt(
    socket: c_int,
    level: c_int,
    option: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    let Some((context, object)) = own(socket) else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"setsockopt" as fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int)(
                socket, level, option, value, length,
            )
        };
    };
    returned(object.and_then(|object| {
        if matches!(object.kind, Kind::Socket) && is_of_lifetime(level, option) {
            // SAFETY: the contract of these options is that the value is an int.
            let value = unsafe { value.cast::<c_int>().read_unaligned() };
            let id = object.id;
            return call(context, move |kernel| {
                let mut lifetime = kernel.lifetime(id)?;
                change(&mut lifetime, (level, option), value)?;
                kernel.set_lifetime(id, lifetime).map(|()| 0)
            });
        }
        // Buffer sizes and Nagle's delay have no meaning on this network.
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
        Ok(0)
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
            libc::SO_ERROR if matches!(object.kind, Kind::Datagram | Kind::Pipe(_)) => 0,
            libc::SO_ERROR if level == libc::SOL_SOCKET => {
                let error = call(context, move |kernel| kernel.take_error(id))?;
                error.map_or(0, |error| error.0)
            }
            libc::SO_TYPE if level == libc::SOL_SOCKET => match object.kind {
                Kind::Datagram => libc::SOCK_DGRAM,
                _ => libc::SOCK_STREAM,
            },
            _ if matches!(object.kind, Kind::Socket) && is_of_lifetime(level, option) => {
                let lifetime = call(context, move |kernel| kernel.lifetime(id))?;
                told(&lifetime, (level, option))
            }
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
