//! Stacks: a thread of a run has that of one which has ended.
//!
//! A run has dozens of threads, and lives for milliseconds. The operating system would map, clear and unmap megabytes for
//! each of them, and hold up the threads of all other runs meanwhile, because a process has one map of its memory.

#![expect(
    unsafe_code,
    reason = "memory for stacks is mapped and handed to threads by the C library; one is used again once the thread that \
              had it was joined"
)]

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr::null_mut;
use std::sync::Mutex;

use libc::{pthread_attr_t, pthread_t};

use crate::foreign::spin;
use crate::symbols::threads::really_join;

/// How many stacks are kept that no thread has. Each holds as much memory as some thread has ever used of it.
const MOST_FREE: usize = 256;

/// What threads of runs have, as long as they were not joined.
static STACKS: Mutex<Stacks> = Mutex::new(Stacks {
    free: Vec::new(),
    taken: BTreeMap::new(),
    over: Vec::new(),
});

/// What lies below a stack, in bytes, so that whoever grows beyond it is stopped: a page.
fn guard() -> usize {
    // SAFETY: a question without pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    size.unsigned_abs().try_into().unwrap_or(usize::MAX)
}

struct Stacks {
    free: Vec<Stack>,
    /// By the C library's names of the threads.
    taken: BTreeMap<pthread_t, Taken>,
    /// Threads that nobody else will join, and that are at their end.
    over: Vec<pthread_t>,
}

/// The stack of a thread.
struct Taken {
    stack: Stack,
    is_detached: bool,
    is_over: bool,
}

/// Memory for the stack of one thread.
pub(crate) struct Stack {
    /// Where it begins, above its guard.
    start: usize,
    size: usize,
}

impl Stack {
    /// One of at least `size` bytes.
    pub(crate) fn take(size: usize) -> io::Result<Stack> {
        let size = size.checked_next_multiple_of(guard());
        let size = size.ok_or(io::ErrorKind::OutOfMemory)?;
        let mut stacks = spin(&STACKS);
        if let Some(own) = stacks.free.iter().rposition(|own| own.size == size) {
            return Ok(stacks.free.swap_remove(own));
        }
        drop(stacks);
        Stack::map(size)
    }

    fn map(size: usize) -> io::Result<Stack> {
        let whole = size.saturating_add(guard());
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        let may = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: memory that nobody has, at an address that the operating system chooses.
        let start = unsafe { libc::mmap(null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Stack {
            start: start.expose_provenance() + guard(),
            size,
        };
        // SAFETY: what was mapped just now; that it is not to be made of huge pages is advice.
        let result = unsafe {
            libc::madvise(start, whole, libc::MADV_NOHUGEPAGE);
            libc::mprotect(stack.memory(), size, may)
        };
        if result != 0 {
            let error = io::Error::last_os_error();
            stack.unmap();
            return Err(error);
        }
        Ok(stack)
    }

    fn memory(&self) -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(self.start)
    }

    fn unmap(self) {
        let start = std::ptr::with_exposed_provenance_mut(self.start - guard());
        // SAFETY: what `map` has mapped, and no thread has.
        unsafe { libc::munmap(start, self.size + guard()) };
    }

    /// Sets up `attributes` for a thread that has this stack, and is joined by [`join_over`] if by nobody else.
    pub(crate) fn set_up(&self, attributes: &mut pthread_attr_t) -> c_int {
        // SAFETY: attributes that are set up, and memory for a stack.
        unsafe {
            libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_JOINABLE);
            libc::pthread_attr_setstack(attributes, self.memory(), self.size)
        }
    }

    /// The stack is that of `thread` until it is joined.
    pub(crate) fn belongs_to(self, thread: pthread_t, is_detached: bool) {
        let taken = Taken {
            stack: self,
            is_detached,
            is_over: false,
        };
        spin(&STACKS).taken.insert(thread, taken);
    }

    /// No thread has it any more.
    pub(crate) fn give_back(self) {
        let mut stacks = spin(&STACKS);
        if stacks.free.len() < MOST_FREE {
            stacks.free.push(self);
        } else {
            drop(stacks);
            self.unmap();
        }
    }
}

impl Stacks {
    /// Notes something about `thread`, which is to be joined once it was detached and is at its end; `false` if its stack
    /// is not from here.
    fn note(&mut self, thread: pthread_t, change: impl FnOnce(&mut Taken)) -> bool {
        let Some(taken) = self.taken.get_mut(&thread) else {
            return false;
        };
        let was_both = taken.is_detached && taken.is_over;
        change(taken);
        if taken.is_detached && taken.is_over && !was_both {
            self.over.push(thread);
        }
        true
    }
}

/// How large a stack `attributes` ask for; `None` if they ask for more than a size.
pub(crate) fn size_asked(attributes: &pthread_attr_t) -> Option<usize> {
    let (mut start, mut size, mut below) = (null_mut(), 0, 0);
    // SAFETY: attributes that are set up, and room for what is told of them.
    let has_memory = unsafe {
        libc::pthread_attr_getstack(attributes, &raw mut start, &raw mut size);
        libc::pthread_attr_getguardsize(attributes, &raw mut below);
        // The C library tells where a stack begins by subtraction, from nothing if it was given none.
        start.addr().wrapping_add(size) != 0
    };
    if has_memory || below > guard() {
        return None;
    }
    // SAFETY: as above.
    let result = unsafe { libc::pthread_attr_getstacksize(attributes, &raw mut size) };
    (result == 0).then_some(size)
}

/// How many bytes below the stack of `thread` stop whoever grows beyond it; `None` if its stack is not from here.
pub(crate) fn guard_of(thread: pthread_t) -> Option<usize> {
    spin(&STACKS).taken.contains_key(&thread).then_some(guard())
}

/// Nobody will join `thread`; `false` if its stack is not from here.
pub(crate) fn detach(thread: pthread_t) -> bool {
    spin(&STACKS).note(thread, |own| own.is_detached = true)
}

/// The code of `thread` has come to its end.
pub(crate) fn end(thread: pthread_t) {
    spin(&STACKS).note(thread, |own| own.is_over = true);
}

/// `thread` was joined.
pub(crate) fn joined(thread: pthread_t) {
    let taken = spin(&STACKS).taken.remove(&thread);
    if let Some(taken) = taken {
        taken.stack.give_back();
    }
}

/// Joins the threads that have come to their end and that nobody else joins: with `waits` all, and else those that are
/// gone already.
pub(crate) fn join_over(waits: bool) {
    let over = std::mem::take(&mut spin(&STACKS).over);
    let join = |thread: pthread_t| {
        // SAFETY: a thread that can be joined, and that nobody else has joined.
        let result = unsafe {
            if waits {
                really_join(thread, null_mut())
            } else {
                libc::pthread_tryjoin_np(thread, null_mut())
            }
        };
        result == 0
    };
    let (gone, left): (Vec<_>, Vec<_>) = over.into_iter().partition(|thread| join(*thread));
    gone.into_iter().for_each(joined);
    spin(&STACKS).over.extend(left);
}
