//! Processes and signals: a host has one process, and nobody sends it a signal.

use std::ffi::{c_char, c_int};

use libc::{pid_t, posix_spawn_file_actions_t, posix_spawnattr_t, sigaction as Action};

use super::{next, returned};
use crate::context::current;

pub(super) fn link() -> usize {
    fork as *const () as usize
}

const ANOTHER_PROCESS: &str = "another process";

#[unsafe(no_mangle)]
unsafe extern "C" fn fork() -> pid_t {
    match current() {
        Some(context) => returned(Err(context.refuse(ANOTHER_PROCESS))),
        // SAFETY: no arguments.
        None => unsafe { next!(c"fork" as fn() -> pid_t)() },
    }
}

type Spawn = unsafe extern "C" fn(
    *mut pid_t,
    *const c_char,
    *const posix_spawn_file_actions_t,
    *const posix_spawnattr_t,
    *const *mut c_char,
    *const *mut c_char,
) -> c_int;

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawn(
    process: *mut pid_t,
    path: *const c_char,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
) -> c_int {
    static NEXT: super::Next = super::Next::new(c"posix_spawn");
    // SAFETY: the C library declares the function with this type.
    let spawn = unsafe { std::mem::transmute::<*mut std::ffi::c_void, Spawn>(NEXT.address()) };
    match current() {
        Some(context) => context.refuse(ANOTHER_PROCESS).0,
        // SAFETY: the caller's own arguments.
        None => unsafe { spawn(process, path, actions, attributes, arguments, environment) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    process: *mut pid_t,
    file: *const c_char,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
) -> c_int {
    static NEXT: super::Next = super::Next::new(c"posix_spawnp");
    // SAFETY: the C library declares the function with this type.
    let spawn = unsafe { std::mem::transmute::<*mut std::ffi::c_void, Spawn>(NEXT.address()) };
    match current() {
        Some(context) => context.refuse(ANOTHER_PROCESS).0,
        // SAFETY: the caller's own arguments.
        None => unsafe { spawn(process, file, actions, attributes, arguments, environment) },
    }
}

/// A service that waits for a signal, such as the one to shut down, waits as long as it lives.
#[unsafe(no_mangle)]
unsafe extern "C" fn sigaction(signal: c_int, action: *const Action, old: *mut Action) -> c_int {
    if current().is_some() && !action.is_null() {
        if !old.is_null() {
            // SAFETY: the contract of `sigaction`: room for an action, which is plain data.
            unsafe { old.write(std::mem::zeroed()) };
        }
        return 0;
    }
    // SAFETY: the caller's own arguments.
    unsafe {
        next!(c"sigaction" as fn(c_int, *const Action, *mut Action) -> c_int)(signal, action, old)
    }
}
