//! Databases of simulated hosts, by plain sqlx, under the eyes of a witness.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod commits;
mod exotic;
mod kills;
mod locks;
mod logs;
mod neighbours;
mod raw;
mod repeats;
mod stage;
mod statements;
