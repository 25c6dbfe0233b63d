//! The environment: each host has variables of its own.

use std::ffi::{CStr, c_char};

use super::next;
use crate::context::current;

pub(super) fn link() -> usize {
    getenv as *const () as usize
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    if let Some(context) = current() {
        // SAFETY: the contract of `getenv` is that `name` is a text that ends in a null byte.
        let name = unsafe { CStr::from_ptr(name) };
        if let Some(value) = context.host.variable(name) {
            return value.as_ptr().cast_mut();
        }
    }
    // SAFETY: the caller's own argument.
    unsafe { next!(c"getenv" as fn(*const c_char) -> *mut c_char)(name) }
}
