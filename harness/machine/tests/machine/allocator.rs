//! The allocator of these tests: asks for the time with each call, as allocators do that give memory back after a while.
//!
//! So whatever the machine does while it has something locked must not ask the machine in its turn.

#![expect(unsafe_code, reason = "an allocator hands out memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::time::Instant;

struct AsksForTheTime;

#[global_allocator]
static ALLOCATOR: AsksForTheTime = AsksForTheTime;

// SAFETY: all memory is the system's allocator's, and to ask for the time allocates nothing.
unsafe impl GlobalAlloc for AsksForTheTime {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _now = Instant::now();
        // SAFETY: the caller's own argument.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let _now = Instant::now();
        // SAFETY: the caller's own arguments.
        unsafe { System.dealloc(memory, layout) }
    }
}
