//! Orders, payments, inventory, shipping and notifications, coupled by events.
//!
//! Read it in this order. The patterns:
//! - [`event`], [`correlation`], [`partition_key`]: what is published, in which chain, in which order;
//! - [`registry`]: which versions of that there are, and which may be added;
//! - [`publishing`], and [`relay`] or [`cdc`]: how an event gets from a transaction to the broker, and what becomes of one that cannot;
//! - [`replay`] and [`operations`]: how it gets there again, or goes without effect, when an operator asks;
//!   [`retention`]: when it is forgotten;
//! - [`consumer`], [`inbox`], [`discarded`], [`retry`], [`dead_letter`]: how an event gets to its effect, once;
//! - [`monitor`] and [`alert`]: when people are told that something is wrong;
//! - [`saga`]: what becomes of an order when one of its steps is refused or not answered;
//! - [`journal`]: what changed, and why; [`telemetry`]: the same as a trace, for a collector.
//!
//! The services, each with a database of its own: [`gateway`] and [`order`], [`inventory`], [`payment`], [`shipping`],
//! [`notification`]; those that came later, for which none of the others was changed: [`search`], [`sms`],
//! [`webhook`], [`analytics`]. They are coupled by events, or as the [`monolith`] or the [`synchronous`] shop that they are compared
//! with. Where no event is needed: [`customers`] and
//! [`authorisation`]. What they need from the world: [`ports`], put together in [`environment`]; how they end: [`shutdown`].
//!
//! Nothing here listens on a socket or reads configuration, and only an adapter names a product: that is a deployment's
//! part, such as the command beside this library, which runs the whole shop.

pub mod alert;
pub mod analytics;
pub mod authorisation;
pub mod cdc;
pub mod clock;
pub mod consumer;
pub mod correlation;
pub mod customers;
pub mod database;
pub mod dead_letter;
pub mod discarded;
pub mod environment;
pub mod event;
mod fingerprint;
pub mod gateway;
pub mod identifiers;
pub mod inbox;
pub mod inventory;
pub mod journal;
pub mod monitor;
pub mod monolith;
pub mod notification;
pub mod operations;
pub mod order;
pub mod partition_key;
pub mod payment;
pub mod ports;
pub mod publishing;
pub mod registry;
pub mod relay;
pub mod replay;
pub mod retention;
pub mod retry;
pub mod saga;
pub mod schema;
pub mod search;
pub mod shipping;
pub mod shutdown;
pub mod sms;
pub mod synchronous;
pub mod telemetry;
pub mod webhook;

pub use database::Database;
pub use environment::{Environment, Settings};
pub use schema::{Engine, migrate};
pub use shutdown::Shutdown;
pub use telemetry::Telemetry;
