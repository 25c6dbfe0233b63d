//! Arenas: every thread of a run allocates from a part of the memory that no other thread takes from meanwhile.
//!
//! The GNU C library has eight arenas for each core, each behind a lock, and more threads than that share them. A run
//! has dozens of threads, of which one works. Runs beside each other, which share nothing, would wait for one another's
//! arenas all the time.
//!
//! A thread has the arena of one that has ended, which may have needed far more. What is free at an arena's end is given
//! back, or else each of them would grow to what the largest thread of any run has needed.

use std::sync::Once;

/// More arenas than a process has threads.
const PLENTY: libc::c_int = 1 << 16;
/// How much may be free at the end of an arena, in bytes. The C library begins with half as much, and then allows more
/// and more.
const MOST_FREE: libc::c_int = 256 << 10;

/// The variables by which whoever starts a process says how many arenas it has.
const OF_COUNT: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", ""), ("GLIBC_TUNABLES", "arena_max")];
/// Those that say how much may be free.
const OF_FREE: [(&str, &str); 2] = [
    ("MALLOC_TRIM_THRESHOLD_", ""),
    ("GLIBC_TUNABLES", "trim_threshold"),
];

/// Lets the process make as many arenas as it has threads, and keeps them small, unless whoever started it has said what
/// it wants.
///
/// The C library decides once, when a process makes its ninth arena: this comes too late for a process that had as many
/// threads before its first run, which then is as fast as it would have been.
pub(crate) fn allow_one_for_each_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set(libc::M_ARENA_MAX, PLENTY, OF_COUNT);
        set(libc::M_TRIM_THRESHOLD, MOST_FREE, OF_FREE);
    });
}

#[expect(unsafe_code, reason = "the C library's memory is set up by C")]
fn set(option: libc::c_int, value: libc::c_int, said_by: [(&str, &str); 2]) {
    let is_said = said_by.iter().any(|(name, part)| {
        let value = std::env::var(name).unwrap_or_default();
        !value.is_empty() && value.contains(part)
    });
    if !is_said {
        // SAFETY: the call takes two numbers, and may be made at any time.
        unsafe { libc::mallopt(option, value) };
    }
}
