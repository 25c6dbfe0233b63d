//! The machine under the services: an operating system of a simulated run, for ordinary code.
//!
//! A service runs on a [`Machine`] as a process does on a computer: on threads of its own, with a clock,
//! randomness, names, environment and sockets, all of which belong to the run. Nothing of it is written
//! for that. Time is virtual: it stands still while any thread works, and jumps to the next moment at which
//! something is due when all of them wait. One thread of a run works at a time, and gives way only where
//! it would wait, so that a run repeats with its seed.
//!
//! Reading order: `run` is a run as data; [`run()`] begins one and [`Machine`] starts hosts in it; `scheduler` decides which thread works and
//! when time moves, `thread` is one of them, `fiber` is how they take turns on one thread of the operating system, `stacks` what they stand on, `context` says which one the current thread is; `host` is a computer
//! with one process, `kernel` has its sockets, `descriptor` its numbers for them, `pipe` and `timer` are others of its descriptors, `epoll` tells which are ready; `clock`
//! is its system clock; `network` carries packets between hosts, as `link` says. `symbols` is how code reaches all of it: the functions of the C library.
//! `foreign` lets threads of other runs wake those of this one. `service` runs an async function as a host's process.
//! `termination` asks it to end. `cores` keeps a run on one core.
//!
//! What belongs to the process and not to a host is shared by all runs, and may let one of them differ from another:
//! - `Uuid::now_v7` keeps the last time and a counter in a static. `Uuid::new_v7(Timestamp::now(NoContext))` repeats.
//! - ahash and foldhash, which hashbrown's maps use unless they are told otherwise, take addresses for seeds, so that the
//!   order of such a map is another one in each run. Maps of the standard library repeat.
//! - Tokio's random choices (`select!`, `watch`) repeat in the runtime that [`Machine::start_service`] makes, unless
//!   [`lacks`] says otherwise. A runtime that a service makes itself is seeded from a counter of the process.
//! - async-nats names its inboxes by `nuid`, whose generator is a static that the first run seeds; without its default
//!   feature `nuid` it draws them from the run.
//! - Numbers that a process counts, such as `ThreadId` and the `Id`s of tokio's tasks and runtimes, go on counting.
//!
//! fastrand (of version 2) takes such a number for its seed. It is seeded for a process' first thread and for those that
//! have a name, as tokio's and sqlx's have.
//!
//! An allocator may ask for the time and for random bytes, as jemalloc and mimalloc do; what it gets is the run's, and no run gets
//! anything else for that.
//!
//! Not modelled: Unix sockets, signals, other processes, and disks (files are the machine's own). Only Linux with the GNU
//! C library is covered, on x86-64 and aarch64; `elsewhere` has the same names, and no run.

#[cfg_attr(
    not(simulated),
    expect(dead_code, reason = "there is no machine whose clock could be wrong")
)]
mod clock;
mod cores;
mod link;
mod run;

pub use clock::EPOCH;
pub use cores::{Core, bring};
pub use link::{Affected, Links, Traffic};
pub use run::{Ending, RunError, Settings, Usage};

#[cfg(not(simulated))]
mod elsewhere;
#[cfg(not(simulated))]
pub use elsewhere::*;

#[cfg(simulated)]
mod linux {
    pub use crate::context::{attached, elapsed, host, host_of, is_killed, living_host, outside};
    pub use crate::host::threads_begin;
    pub use crate::machine::{Bell, Machine, run};
    pub use crate::service::lacks;
    pub use crate::termination::{Terminated, terminated};
}
#[cfg(simulated)]
pub use linux::*;

/// Declares the modules that there are only where runs can be simulated.
macro_rules! simulated {
    ($(mod $module:ident;)*) => {
        $(#[cfg(simulated)] mod $module;)*
    };
}
simulated! {
    mod arenas;
    mod context;
    mod descriptor;
    mod epoll;
    mod fiber;
    mod foreign;
    mod host;
    mod kernel;
    mod machine;
    mod network;
    mod pipe;
    mod scheduler;
    mod service;
    mod stacks;
    mod symbols;
    mod termination;
    mod thread;
    mod timer;
}

/// Locks `mutex`, also after a panic of a thread that held it: what a run shares is changed in one step.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
