//! Threads: one that a thread of a run starts belongs to the run, and to the same host.

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use libc::{pthread_attr_t, pthread_key_t, pthread_t};

use super::next;
use crate::context::{Context, current, enter};
use crate::stacks::{self, Stack};

pub(super) fn link() -> usize {
    pthread_create as *const () as usize
}

type Main = extern "C" fn(*mut c_void) -> *mut c_void;

unsafe extern "C" {
    fn pthread_attr_getdetachstate(attributes: *const pthread_attr_t, state: *mut c_int) -> c_int;
}

/// What a new thread begins with.
struct Start {
    main: Main,
    argument: *mut c_void,
    context: Box<Context>,
}

/// Runs `work` on the current thread as the one of `context`.
pub(crate) fn within<T>(context: &Context, work: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            enter(None);
        }
    }
    // SAFETY: it is taken back before the borrow ends, and nobody keeps what `current` tells beyond one call.
    let own = unsafe { std::mem::transmute::<&Context, &'static Context>(context) };
    enter(Some(own));
    let _leave = Leave;
    work()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    main: Main,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the C library declares the function with this type.
    let create = unsafe {
        next!(
            c"pthread_create"
                as fn(*mut pthread_t, *const pthread_attr_t, Main, *mut c_void) -> c_int
        )
    };
    let Some(context) = current() else {
        // SAFETY: the caller's own arguments.
        return unsafe { create(thread, attributes, main, argument) };
    };
    let child = context.child();
    let id = child.thread.id;
    let start = Box::into_raw(Box::new(Start {
        main,
        argument,
        context: Box::new(child),
    }));
    stacks::join_over(false);
    // SAFETY: the caller's own attributes, if any.
    let own = unsafe { Attributes::like(attributes) };
    // SAFETY: `begin` takes the box that it is given.
    let result = unsafe { create(thread, &raw const own.attributes, begin, start.cast()) };
    if result == 0 {
        // SAFETY: the call has succeeded, and so has written there.
        let handle = unsafe { thread.read() };
        context.scheduler.lock().name(handle, id);
        if let Some(stack) = own.stack {
            stack.belongs_to(handle, own.is_detached);
        }
    } else {
        own.stack.into_iter().for_each(Stack::give_back);
        // SAFETY: no thread was started, so the box is still ours.
        drop(unsafe { Box::from_raw(start) });
        context.scheduler.lock().withdraw(id);
    }
    result
}

/// What a thread of a run is made with: what its maker asked for, on a stack from [`stacks`].
struct Attributes {
    attributes: pthread_attr_t,
    /// `None` if its maker has chosen the memory, or if there is none left: the C library sees to it then.
    stack: Option<Stack>,
    is_detached: bool,
}

impl Attributes {
    /// # Safety
    ///
    /// `asked` is null or points to attributes, which are there as long as these.
    unsafe fn like(asked: *const pthread_attr_t) -> Self {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the caller's promise.
        let mut attributes = unsafe {
            if asked.is_null() {
                libc::pthread_attr_init(attributes.as_mut_ptr());
            } else {
                attributes.write(asked.read());
            }
            attributes.assume_init()
        };
        let mut state = libc::PTHREAD_CREATE_JOINABLE;
        // SAFETY: attributes that are set up, and room for a number.
        unsafe { pthread_attr_getdetachstate(&raw const attributes, &raw mut state) };
        let stack = stacks::size_asked(&attributes).and_then(|size| Stack::take(size).ok());
        if let Some(stack) = &stack {
            stack.set_up(&mut attributes);
        }
        Attributes {
            attributes,
            stack,
            is_detached: state == libc::PTHREAD_CREATE_DETACHED,
        }
    }
}

extern "C" fn begin(start: *mut c_void) -> *mut c_void {
    // SAFETY: what `pthread_create` has boxed for this thread.
    let start = *unsafe { Box::from_raw(start.cast::<Start>()) };
    let context = Box::into_raw(start.context);
    // SAFETY: it lives until `end`, the last code of this thread.
    let own: &'static Context = unsafe { &*context };
    // SAFETY: a key that exists, for a value that `end` frees.
    unsafe { libc::pthread_setspecific(at_end(), context.cast()) };
    let mut result = std::ptr::null_mut();
    own.scheduler.carrier.lend(&own.thread.fiber, || {
        own.serve_until_own_turn();
        enter(Some(own));
        let kept = own.host.thread_begins();
        result = (start.main)(start.argument);
        drop(kept);
    });
    result
}

/// The key whose destructor ends a thread of a run, after those of its thread-local variables.
fn at_end() -> pthread_key_t {
    static KEY: OnceLock<pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: room for a key, and a function of the right type.
        let result = unsafe { libc::pthread_key_create(&raw mut key, Some(end)) };
        assert_eq!(result, 0, "the process has a key left");
        key
    })
}

/// The last code of a thread: others go on.
unsafe extern "C" fn end(context: *mut c_void) {
    // SAFETY: what `begin` has stored.
    let context = unsafe { Box::from_raw(context.cast::<Context>()) };
    let (scheduler, thread) = (context.scheduler.clone(), context.thread.clone());
    enter(None);
    drop(context);
    // SAFETY: no arguments.
    stacks::end(unsafe { libc::pthread_self() });
    scheduler.leave(&thread);
}

/// The first sign of a thread of the standard library after it has got its number there; one without a name gives none.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setname_np(thread: pthread_t, name: *const c_char) -> c_int {
    // SAFETY: no arguments.
    let is_own = thread == unsafe { libc::pthread_self() };
    if let Some(context) = current().filter(|_| is_own) {
        context.host.seed_fastrand();
        // The C library would name the carrier.
        return 0;
    }
    // SAFETY: the caller's own arguments.
    unsafe {
        next!(c"pthread_setname_np" as fn(pthread_t, *const c_char) -> c_int)(thread, name)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> c_int {
    if let Some(context) = current() {
        context.wait_for_end(thread);
    }
    // SAFETY: the caller's own arguments; a thread of the run is at its very end now.
    let outcome = unsafe { really_join(thread, result) };
    if outcome == 0 {
        stacks::joined(thread);
    }
    outcome
}

/// # Safety
///
/// As for the C library's `pthread_join`.
pub(crate) unsafe fn really_join(thread: pthread_t, result: *mut *mut c_void) -> c_int {
    // SAFETY: the C library declares the function with this type; the arguments are the caller's.
    unsafe { next!(c"pthread_join" as fn(pthread_t, *mut *mut c_void) -> c_int)(thread, result) }
}

/// A thread whose stack is used again stays one that can be joined: that is how its end is seen.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_detach(thread: pthread_t) -> c_int {
    if stacks::detach(thread) {
        return 0;
    }
    // SAFETY: the caller's own argument.
    unsafe { next!(c"pthread_detach" as fn(pthread_t) -> c_int)(thread) }
}

/// The standard library asks where the guard of a thread's stack is, to tell an overflow from other faults; the C library
/// knows none of a stack that it has not mapped.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getattr_np(
    thread: pthread_t,
    attributes: *mut pthread_attr_t,
) -> c_int {
    // SAFETY: the caller's own arguments.
    let result = unsafe {
        next!(c"pthread_getattr_np" as fn(pthread_t, *mut pthread_attr_t) -> c_int)(
            thread, attributes,
        )
    };
    if result == 0
        && let Some(guard) = stacks::guard_of(thread)
    {
        // SAFETY: the call has succeeded, and so has set them up.
        unsafe { libc::pthread_attr_setguardsize(attributes, guard) };
    }
    result
}
