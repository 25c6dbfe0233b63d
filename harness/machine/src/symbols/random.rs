//! Randomness: from the stream of the host, or of the hermetic thread, instead of the operating system's.

use std::ffi::{c_uint, c_void};

use libc::{size_t, ssize_t};

use super::descriptors::bytes_mut;
use super::next;
use crate::context::current;
use crate::hermetic;

pub(super) fn link() -> usize {
    getrandom as *const () as usize
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getrandom(
    buffer: *mut c_void,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    // SAFETY: the contract of `getrandom` is that `buffer` has `length` writable bytes.
    let bytes = unsafe { bytes_mut(buffer, length) };
    let is_drawn = match current() {
        Some(context) => {
            context.host.draw(bytes);
            true
        }
        None => hermetic::draw(bytes),
    };
    if !is_drawn {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"getrandom" as fn(*mut c_void, size_t, c_uint) -> ssize_t)(buffer, length, flags)
        };
    }
    length as ssize_t
}
