//! The environment: each host has variables of its own, and none of the real process, which differ from one computer to
//! another. What lists all of them (`std::env::vars`) reads the real ones without a call.

use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

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
        match context.host.variable(name) {
            Some(value) => return value.as_ptr().cast_mut(),
            None if !context.host.is_driver() => return null_mut(),
            None => {}
        }
    }
    // SAFETY: the caller's own argument.
    unsafe { next!(c"getenv" as fn(*const c_char) -> *mut c_char)(name) }
}
