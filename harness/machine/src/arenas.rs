//! Arenas: every thread of a run allocates from a part of the memory that no other thread takes from meanwhile.
//!
//! The GNU C library has eight arenas for each core, each behind a lock, and more threads than that share them. A run
//! has dozens of threads, of which one works. Runs beside each other, which share nothing, would wait for one another's
//! arenas all the time.

use std::sync::Once;

/// More arenas than a process has threads.
const PLENTY: libc::c_int = 1 << 16;

/// The variables by which whoever starts a process says how many arenas it has.
const VARIABLES: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", ""), ("GLIBC_TUNABLES", "arena_max")];

/// Lets the process make as many arenas as it has threads, unless whoever started it has said how many.
///
/// The C library decides once, when a process makes its ninth arena: this comes too late for a process that had as many
/// threads before its first run, which then is as fast as it would have been.
pub(crate) fn allow_one_for_each_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let is_said = VARIABLES.iter().any(|(name, part)| {
            let value = std::env::var(name).unwrap_or_default();
            !value.is_empty() && value.contains(part)
        });
        if !is_said {
            allow(PLENTY);
        }
    });
}

#[expect(unsafe_code, reason = "the C library's memory is set up by C")]
fn allow(count: libc::c_int) {
    // SAFETY: the call takes two numbers, and may be made at any time.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, count) };
}
