//! Addresses, as the C library passes them.

use std::ffi::c_int;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{sockaddr, socklen_t};

use super::Errno;

/// The address that a caller passes; addresses of IPv6 that mean one of IPv4 are taken for it.
///
/// # Safety
///
/// `at` points to an address of `length` bytes.
pub(super) unsafe fn read_address(
    at: *const sockaddr,
    length: socklen_t,
) -> Result<SocketAddr, Errno> {
    let length = length as usize;
    // SAFETY: the caller's promise.
    let family = c_int::from(unsafe { (*at).sa_family });
    match family {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family says that it is one, and it is long enough.
            let own = unsafe { at.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(own.sin_addr.s_addr));
            Ok(SocketAddr::from((ip, u16::from_be(own.sin_port))))
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: the family says that it is one, and it is long enough.
            let own = unsafe { at.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(own.sin6_addr.s6_addr);
            let ip = match ip {
                Ipv6Addr::UNSPECIFIED => Ipv4Addr::UNSPECIFIED,
                Ipv6Addr::LOCALHOST => Ipv4Addr::LOCALHOST,
                _ => ip.to_ipv4_mapped().ok_or(Errno(libc::ENETUNREACH))?,
            };
            Ok(SocketAddr::from((ip, u16::from_be(own.sin6_port))))
        }
        _ => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// Writes an address where a caller wants it, as much of it as there is room for.
///
/// # Safety
///
/// `at` is null, or `length` points to the number of bytes that can be written there.
pub(super) unsafe fn write_address(address: SocketAddr, at: *mut sockaddr, length: *mut socklen_t) {
    let SocketAddr::V4(address) = address else {
        return;
    };
    if at.is_null() || length.is_null() {
        return;
    }
    let own = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    };
    let size = size_of_val(&own);
    // SAFETY: the caller's promise, and no more bytes than there is room for.
    unsafe {
        let room = (length.read() as usize).min(size);
        at.cast::<u8>().copy_from((&raw const own).cast(), room);
        length.write(size as socklen_t);
    }
}
