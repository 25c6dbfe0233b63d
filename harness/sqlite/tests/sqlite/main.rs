//! Databases of simulated hosts, by plain sqlx, under the eyes of a witness.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod commits;
mod kills;
mod locks;
mod repeats;
mod stage;
mod statements;
