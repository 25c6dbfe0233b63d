//! The functions of the C library that a run answers itself.
//!
//! The standard library and the crates above it reach the operating system through these symbols. A
//! definition in the program comes before the C library's, so each is defined here, a file for each
//! part of the system: on a thread that belongs to a run it asks the run, on every other thread it
//! passes the call on, unchanged, to the next definition.
//!
//! All unsafe code of the machine is here. Not covered: what the C library calls inside itself
//! (`pthread_mutex_lock` sleeps in the kernel), and code that enters the kernel without it.

#![expect(
    unsafe_code,
    reason = "standing in for the C library is what makes ordinary code run in a simulation; every \
              function reads and writes through the pointers of its caller exactly as the original does, \
              and passes on what is not its own"
)]

mod addresses;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod environment;
pub(crate) mod files;
pub(crate) mod futex;
pub(crate) mod names;
pub(crate) mod options;
pub(crate) mod pipes;
pub(crate) mod processes;
pub(crate) mod random;
pub(crate) mod readiness;
pub(crate) mod sockets;
pub(crate) mod threads;
pub(crate) mod timers;

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The next definition of a symbol: the C library's own.
pub(crate) struct Next {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl Next {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Next {
            name,
            at: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Its address.
    ///
    /// # Panics
    ///
    /// If the program has no other definition, as one that is linked statically.
    pub(crate) fn address(&self) -> *mut c_void {
        let known = self.at.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: a name that ends in a null byte, and a handle that the linker defines.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        assert!(
            !found.is_null(),
            "{:?} is in no shared library: link the C library dynamically",
            self.name
        );
        self.at.store(found, Ordering::Relaxed);
        found
    }
}

/// The next definition of the function `name`; the caller, who is unsafe, sees to its type.
macro_rules! next {
    ($name:literal as fn($($argument:ty),* $(,)?) $(-> $result:ty)?) => {{
        static NEXT: $crate::symbols::Next = $crate::symbols::Next::new($name);
        std::mem::transmute::<
            *mut std::ffi::c_void,
            unsafe extern "C" fn($($argument),*) $(-> $result)?,
        >(NEXT.address())
    }};
}
pub(crate) use next;

/// What a function of the C library returns for `result`: the value, or -1 with `errno` set.
pub(crate) fn returned<T: TryFrom<i64>>(result: Result<usize, Errno>) -> T {
    let value = match result {
        Ok(value) => i64::try_from(value).unwrap_or(i64::MAX),
        Err(Errno(code)) => {
            // SAFETY: the calling thread's own `errno`.
            unsafe { *libc::__errno_location() = code };
            -1
        }
    };
    T::try_from(value).unwrap_or_else(|_| unreachable!("a result fits its type"))
}

/// An error of the operating system, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

/// Keeps the linker from leaving out a file of this folder in a program that names none of its
/// functions.
pub(crate) fn link() {
    std::hint::black_box([
        clock::link(),
        descriptors::link(),
        environment::link(),
        files::link(),
        futex::link(),
        names::link(),
        options::link(),
        pipes::link(),
        processes::link(),
        random::link(),
        readiness::link(),
        sockets::link(),
        threads::link(),
        timers::link(),
    ]);
}
