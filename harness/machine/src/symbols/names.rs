//! Names: every host of the run is known to every other.

use std::ffi::{CStr, c_char, c_int};
use std::net::{Ipv4Addr, SocketAddr};

use libc::{addrinfo, sockaddr, socklen_t};

use super::addresses::write_address;
use super::{Errno, next, returned};
use crate::context::current;

pub(super) fn link() -> usize {
    getaddrinfo as *const () as usize
}

/// An answer and the address that it points to, in one piece; `info` comes first, so that a pointer to
/// it is one to the whole.
#[repr(C)]
struct Answer {
    info: addrinfo,
    address: libc::sockaddr_in,
}

/// What an answer of ours has for its canonical name.
static OURS: u8 = 0;

fn is_ours(info: &addrinfo) -> bool {
    std::ptr::eq(info.ai_canonname.cast(), &raw const OURS)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    answer: *mut *mut addrinfo,
) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(
                c"getaddrinfo"
                    as fn(
                        *const c_char,
                        *const c_char,
                        *const addrinfo,
                        *mut *mut addrinfo,
                    ) -> c_int
            )(node, service, hints, answer)
        };
    };
    let text = |text: *const c_char| {
        // SAFETY: the contract of `getaddrinfo`: null, or a text that ends in a null byte.
        let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) });
        text.and_then(|text| text.to_str().ok())
    };
    let addresses = match text(node) {
        None | Some("localhost") => vec![Ipv4Addr::LOCALHOST],
        Some(name) => {
            let known = context.scheduler.lock().network.lookup(name);
            match name.parse() {
                Ok(address) if known.is_empty() => vec![address],
                _ => known,
            }
        }
    };
    let port = text(service).map_or(Ok(0), str::parse::<u16>);
    let Ok(port) = port else {
        return libc::EAI_SERVICE;
    };
    // SAFETY: the contract of `getaddrinfo`: null, or a pointer to hints.
    let wanted = (!hints.is_null()).then(|| unsafe { (*hints).ai_socktype });
    let mut first = std::ptr::null_mut();
    for address in addresses.iter().rev() {
        let mut found = answer_of(SocketAddr::from((*address, port)), wanted.unwrap_or(0));
        found.info.ai_next = first;
        first = Box::into_raw(found).cast();
    }
    if first.is_null() {
        return libc::EAI_NONAME;
    }
    // SAFETY: the contract of `getaddrinfo` is that `answer` can be written to.
    unsafe { answer.write(first) };
    0
}

/// One address, for sockets of a kind, or of TCP if it is zero.
fn answer_of(address: SocketAddr, kind: c_int) -> Box<Answer> {
    // SAFETY: both structures are plain data, for which zeros are a value.
    let mut found: Box<Answer> = Box::new(unsafe { std::mem::zeroed() });
    let mut length = size_of::<libc::sockaddr_in>() as socklen_t;
    let at = (&raw mut found.address).cast::<sockaddr>();
    // SAFETY: room for an IPv4 address.
    unsafe { write_address(address, at, &raw mut length) };
    found.info.ai_family = libc::AF_INET;
    found.info.ai_socktype = match kind {
        0 => libc::SOCK_STREAM,
        kind => kind,
    };
    found.info.ai_addrlen = length;
    found.info.ai_addr = at;
    found.info.ai_canonname = (&raw const OURS).cast_mut().cast();
    found
}

#[unsafe(no_mangle)]
unsafe extern "C" fn freeaddrinfo(info: *mut addrinfo) {
    // SAFETY: the contract of `freeaddrinfo`: what `getaddrinfo` has answered.
    if info.is_null() || !is_ours(unsafe { &*info }) {
        // SAFETY: the caller's own argument.
        return unsafe { next!(c"freeaddrinfo" as fn(*mut addrinfo))(info) };
    }
    let mut next = info;
    while !next.is_null() {
        // SAFETY: it is ours, so it is an `Answer` that was boxed, and so is the one that comes after it.
        let own = unsafe { Box::from_raw(next.cast::<Answer>()) };
        next = own.info.ai_next;
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gethostname(into: *mut c_char, length: libc::size_t) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"gethostname" as fn(*mut c_char, libc::size_t) -> c_int)(into, length)
        };
    };
    let name = context.host.name.as_bytes();
    if name.len() >= length {
        return returned(Err(Errno(libc::ENAMETOOLONG)));
    }
    // SAFETY: the contract of `gethostname`: `length` bytes can be written, which the name and its end fit into.
    unsafe {
        into.cast::<u8>().copy_from(name.as_ptr(), name.len());
        into.add(name.len()).write(0);
    }
    0
}
