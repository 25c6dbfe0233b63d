//! PostgreSQL on the machine, from outside: ordinary clients of a simulated server.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(
    clippy::disallowed_methods,
    reason = "threads and clocks are what the machine stands in for"
)]

mod clock;
mod clusters;
mod conformance;
mod endings;
mod faults;
mod locks;
mod named;
mod notifications;
mod reuse;
mod shop;
mod timeouts;
mod transactions;
