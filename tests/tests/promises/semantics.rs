//! What a fault does to a service: one small service for each fault, and what it may see of it.
//!
//! Every service here is written for its test and has nothing to do with the reference system.
//! [`stage`] runs them; a service speaks through `tracing`, whose lines are in the history, but what
//! it did is read from the broker's log, the databases and the ledgers.

mod broker;
mod clocks;
mod database;
mod process;
mod stage;
mod stops;
mod third_party;
