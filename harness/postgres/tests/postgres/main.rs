//! PostgreSQL on the machine, from outside: ordinary clients of a simulated server.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shop;
mod transactions;
