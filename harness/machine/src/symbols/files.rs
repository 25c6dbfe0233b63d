//! Files: the real machine's, but a process that has been killed changes none of them any more.
//!
//! What its destructors still do is thereby not seen by anybody, and a database that it left in the middle of a
//! transaction looks as it does after a real kill.

use std::ffi::{c_char, c_int, c_void};

use libc::{mode_t, off_t, size_t, ssize_t};

use super::{Errno, next, returned};
use crate::context::is_killed;

pub(super) fn link() -> usize {
    pwrite as *const () as usize
}

/// Whether the current thread's process is dead; its last words may still be printed.
pub(super) fn is_refused(descriptor: c_int) -> bool {
    let is_output = descriptor == libc::STDOUT_FILENO || descriptor == libc::STDERR_FILENO;
    !is_output && is_killed()
}

fn refused<T: TryFrom<i64>>() -> T {
    returned(Err(Errno(libc::EIO)))
}

/// Whether opening a file would make one, or empty it, for a process that is dead.
fn is_change(flags: c_int) -> bool {
    flags & (libc::O_CREAT | libc::O_TRUNC) != 0 && is_killed()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    if is_change(flags) {
        return refused();
    }
    // SAFETY: the caller's own arguments; a variadic argument is passed as a plain one is.
    unsafe { next!(c"open" as fn(*const c_char, c_int, mode_t) -> c_int)(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    if is_change(flags) {
        return refused();
    }
    // SAFETY: as for `open`.
    unsafe { next!(c"open64" as fn(*const c_char, c_int, mode_t) -> c_int)(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    if is_killed() {
        return refused();
    }
    // SAFETY: the caller's own arguments.
    unsafe { next!(c"mkdir" as fn(*const c_char, mode_t) -> c_int)(path, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    if is_killed() {
        return refused();
    }
    // SAFETY: the caller's own argument.
    unsafe { next!(c"rmdir" as fn(*const c_char) -> c_int)(path) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(
    file: c_int,
    from: *const c_void,
    length: size_t,
    at: off_t,
) -> ssize_t {
    if is_killed() {
        return refused();
    }
    // SAFETY: the caller's own arguments.
    unsafe {
        next!(c"pwrite" as fn(c_int, *const c_void, size_t, off_t) -> ssize_t)(
            file, from, length, at,
        )
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    file: c_int,
    from: *const c_void,
    length: size_t,
    at: off_t,
) -> ssize_t {
    // SAFETY: the caller's own arguments; both names are one function where offsets have 64 bits.
    unsafe { pwrite(file, from, length, at) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(file: c_int, length: off_t) -> c_int {
    if is_killed() {
        return refused();
    }
    // SAFETY: the caller's own arguments.
    unsafe { next!(c"ftruncate" as fn(c_int, off_t) -> c_int)(file, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(file: c_int, length: off_t) -> c_int {
    // SAFETY: the caller's own arguments; both names are one function where offsets have 64 bits.
    unsafe { ftruncate(file, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    if is_killed() {
        return refused();
    }
    // SAFETY: the caller's own argument.
    unsafe { next!(c"unlink" as fn(*const c_char) -> c_int)(path) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    if is_killed() {
        return refused();
    }
    // SAFETY: the caller's own arguments.
    unsafe { next!(c"unlinkat" as fn(c_int, *const c_char, c_int) -> c_int)(folder, path, flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    if is_killed() {
        return refused();
    }
    // SAFETY: the caller's own arguments.
    unsafe { next!(c"rename" as fn(*const c_char, *const c_char) -> c_int)(from, to) }
}
