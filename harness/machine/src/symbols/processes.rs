//! Processes and signals: a host has one process, on a computer with one processor, and nobody sends it a signal.

use std::ffi::{c_char, c_int, c_long};
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{
    cpu_set_t, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t, sigaction as Action, size_t,
};

use super::descriptors::bytes_mut;
use super::{Errno, next, returned};
use crate::context::{Context, current};

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

#[unsafe(no_mangle)]
unsafe extern "C" fn getpid() -> pid_t {
    match current() {
        Some(context) => context.host.process_id(),
        // SAFETY: no arguments.
        None => unsafe { next!(c"getpid" as fn() -> pid_t)() },
    }
}

const A_SIGNAL: &str = "a signal for a process";

/// The number of a process is the host's own: the real machine may have quite another one that is called so.
#[unsafe(no_mangle)]
unsafe extern "C" fn kill(process: pid_t, signal: c_int) -> c_int {
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe { next!(c"kill" as fn(pid_t, c_int) -> c_int)(process, signal) };
    };
    returned(match signal {
        // Whoever sends none asks whether the process is there.
        0 if process == context.host.process_id() => Ok(0),
        0 => Err(Errno(libc::ESRCH)),
        _ => Err(context.refuse(A_SIGNAL)),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn raise(signal: c_int) -> c_int {
    match current() {
        Some(context) => returned(Err(context.refuse(A_SIGNAL))),
        // SAFETY: the caller's own argument.
        None => unsafe { next!(c"raise" as fn(c_int) -> c_int)(signal) },
    }
}

/// Whether a thread of a run has called `exit`.
static HAS_EXITED: AtomicBool = AtomicBool::new(false);

/// An end of the whole test ends the run instead, and the thread waits for ever.
fn never_returns(context: &Context) -> ! {
    HAS_EXITED.store(true, Ordering::SeqCst);
    context.refuse("an end of its process by `exit`; let its main function return");
    context.wait_for_ever()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn exit(code: c_int) -> ! {
    match current() {
        Some(context) => never_returns(context),
        // SAFETY: the caller's own argument.
        None => unsafe { next!(c"exit" as fn(c_int) -> !)(code) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn _exit(code: c_int) -> ! {
    match current() {
        Some(context) => never_returns(context),
        // SAFETY: the caller's own argument.
        None => unsafe { next!(c"_exit" as fn(c_int) -> !)(code) },
    }
}

/// The standard library lets only the first thread exit that wants to, and every other one pause for ever. If that
/// first one was of a run, which has failed for it, this is the last of the test.
#[unsafe(no_mangle)]
unsafe extern "C" fn pause() -> c_int {
    const FAILED: c_int = 101;
    // SAFETY: no arguments, or a plain one.
    unsafe {
        if current().is_none() && HAS_EXITED.load(Ordering::SeqCst) {
            next!(c"_exit" as fn(c_int) -> !)(FAILED)
        }
        next!(c"pause" as fn() -> c_int)()
    }
}

/// How many threads a program starts must not depend on where it is tested.
#[unsafe(no_mangle)]
unsafe extern "C" fn sched_getaffinity(
    process: pid_t,
    size: size_t,
    processors: *mut cpu_set_t,
) -> c_int {
    if current().is_none() {
        // SAFETY: the caller's own arguments.
        return unsafe {
            next!(c"sched_getaffinity" as fn(pid_t, size_t, *mut cpu_set_t) -> c_int)(
                process, size, processors,
            )
        };
    }
    // SAFETY: the contract of `sched_getaffinity`: `size` bytes can be written.
    let set = unsafe { bytes_mut(processors.cast(), size) };
    set.fill(0);
    match set.first_mut() {
        Some(first) => {
            *first = 1;
            0
        }
        None => returned(Err(Errno(libc::EINVAL))),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sysconf(name: c_int) -> c_long {
    let is_processors = matches!(
        name,
        libc::_SC_NPROCESSORS_ONLN | libc::_SC_NPROCESSORS_CONF
    );
    if is_processors && current().is_some() {
        return 1;
    }
    // SAFETY: the caller's own argument.
    unsafe { next!(c"sysconf" as fn(c_int) -> c_long)(name) }
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
