//! The machine, from outside: ordinary programs that run on it.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(
    clippy::disallowed_methods,
    reason = "threads, sleeps and clocks are what the machine stands in for"
)]

mod allocator;
mod arenas;
mod conformance;
mod driving;
mod echo;
mod faults;
mod leaks;
mod limits;
mod names;
mod shared;
mod sqlite;
mod stacks;
mod statics;
mod timeouts;
