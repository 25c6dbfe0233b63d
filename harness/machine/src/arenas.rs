//! Arenas: every thread of a run allocates from a part of the memory that no other thread takes from meanwhile.
//!
//! The GNU C library has eight arenas for each core, each behind a lock, and more threads than that share them. A run
//! has dozens of threads, of which one works. Runs beside each other, which share nothing, would wait for one another's
//! arenas all the time.
//!
//! A thread has the arena of one that has ended, which may have needed far more. What is free at an arena's end is given
//! back, or else each of them would grow to what the largest thread of any run has needed.

use std::sync::Once;

/// What the C library is told, and the variable and the tunable by which whoever starts a process says it instead.
const OPTIONS: [(libc::c_int, libc::c_int, [&str; 2]); 3] = [
    // More arenas than a process has threads.
    (libc::M_ARENA_MAX, 1 << 16, ["MALLOC_ARENA_MAX", "arena_max"]),
    // How much may be free at the end of an arena, in bytes. The C library begins with a quarter of it, and then allows
    // more and more.
    (libc::M_TRIM_THRESHOLD, 512 << 10, ["MALLOC_TRIM_THRESHOLD_", "trim_threshold"]),
    // How large a block has to be to get memory of its own: where the C library ends by itself, unless it is told
    // anything.
    (libc::M_MMAP_THRESHOLD, 32 << 20, ["MALLOC_MMAP_THRESHOLD_", "mmap_threshold"]),
];

/// Lets the process make as many arenas as it has threads, and keeps them small, as far as whoever started it has not said
/// otherwise.
///
/// The C library decides once, when a process makes its ninth arena: this comes too late for a process that had as many
/// threads before its first run, which then is as fast as it would have been.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tunables = std::env::var("GLIBC_TUNABLES").unwrap_or_default();
        for (option, value, [variable, tunable]) in OPTIONS {
            let is_said = std::env::var_os(variable).is_some_and(|value| !value.is_empty());
            if !is_said && !tunables.contains(tunable) {
                set(option, value);
            }
        }
    });
}

#[expect(unsafe_code, reason = "the C library's memory is set up by C")]
fn set(option: libc::c_int, value: libc::c_int) {
    // SAFETY: the call takes two numbers, and may be made at any time.
    unsafe { libc::mallopt(option, value) };
}
