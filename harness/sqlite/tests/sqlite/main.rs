//! Databases of simulated hosts, by plain sqlx, under the eyes of a witness.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod commits;
mod locks;
mod stage;
mod statements;
