//! Randomness: from the stream of the host instead of the operating system's.

use std::ffi::{c_uint, c_void};

use libc::{size_t, ssize_t};

use super::descriptors::bytes_mut;
use super::next;
use crate::context::current;

pub(super) fn link() -> usize {
    getrandom as *const () as usize
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getrandom(
    buffer: *mut c_void,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"getrandom" as fn(*mut c_void, size_t, c_uint) -> ssize_t)(buffer, length, flags)
        };
    };
    // SAFETY: the contract of `getrandom` is that `buffer` has `length` writable bytes.
    context.host.draw(unsafe { bytes_mut(buffer, length) });
    length as ssize_t
}
