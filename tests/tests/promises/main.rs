//! The promises of the whole, one module each.
//!
//! Reading order: [`plans`], [`shrinking`] and [`determinism`] hold for any system, [`survey`] says
//! what faults are aimed at, [`quiet`] when a run is over,
//! [`defects`] and [`wrong_systems`] show that the properties bite, [`regressions`] that what was found
//! stays fixed, [`right_systems`] that what is right is not accused, [`misuse`] what a test that is wrong
//! is told, [`outcomes`] how a check ends, [`stories`] what a person reads, [`pages`] what a browser and other viewers get, [`structure`] who may name
//! whom, [`shop_over_nats`] that the shop's own broker keeps its word,
//! [`defects_over_nats`] that mistakes show over it. [`web`] is what a service needs to serve HTTP,
//! [`clock`] to know the time of day; [`contracts`] has releases side by side, [`sagas`] steps that are late, and both ask [`held`].
//! All of it needs no environment, and runs on SQLite but for the mistakes that only PostgreSQL lets happen.

mod clock;
mod contracts;
mod defects;
mod defects_over_nats;
mod determinism;
mod held;
mod misuse;
mod outcomes;
mod pages;
mod plans;
mod provoked;
mod quiet;
mod regressions;
mod right_systems;
mod sagas;
mod shop_over_nats;
mod shrinking;
mod stories;
mod structure;
mod survey;
mod web;
mod wrong_systems;

use stormglass_tests::pool;
