//! Stormglass: deterministic fault-injection tests for event-driven systems.
//!
//! Real services (tokio, sqlx on a real SQLite or PostgreSQL) run on a simulated network with a
//! simulated message broker, in virtual time, under faults that follow from one seed. Properties
//! are judged by the history of what happened at the services' ports, never by what they claim.
//! The same seed gives the same run, bit for bit.
//!
//! # A test
//!
//! Describe the system once and let [`System::check`] explore seeds:
//!
//! ```
//! use std::convert::Infallible;
//! use proptest::prelude::*;
//! use sqlx::Sqlite;
//! use stormglass::checker::EffectOnce;
//! use stormglass::database::{Database, Probe};
//! use stormglass::{EVENT_ID, Group, Host, Message, System};
//!
//! // The service under test: counts every visit once, whatever the broker delivers twice.
//! async fn count(host: Host) -> Result<(), Box<dyn std::error::Error>> {
//!     let database = host.database::<Sqlite>("visits")?;
//!     let mut visits = host.broker().subscribe("counter", &["visits"]).await?;
//!     loop {
//!         let visit = visits.next().await?;
//!         sqlx::query("INSERT INTO visits (id) VALUES ($1) ON CONFLICT DO NOTHING")
//!             .bind(visit.message().event_id())
//!             .execute(&database)
//!             .await?;
//!         visit.ack().await?;
//!     }
//! }
//!
//! let green = System::new("visit counter")
//!     .topic("visits", 2)
//!     .group(Group::new("counter", &["visits"]))
//!     .database(
//!         Database::new("visits", "CREATE TABLE visits (id TEXT PRIMARY KEY)")
//!             .probe(Probe::applied("SELECT id AS event_id FROM visits").by("counter")),
//!     )
//!     .ported_host("counter", count)
//!     .ported_operations(any::<u32>, |client: Host, visitor: u32| async move {
//!         let id = format!("visit-{visitor}");
//!         let visit = Message::new("visits", &id, "hello").header(EVENT_ID, &id);
//!         client.broker().publish(visit).await.map(drop)
//!     })
//!     .property(EffectOnce)
//!     .try_check();
//! assert!(green.is_ok(), "{}", green.unwrap_err());
//! ```
//!
//! A service that ends, with an error or without, is started again after a second, as a supervisor
//! would; so `?` is a way to handle what the broker or the database refuse.
//!
//! # What to read
//!
//! - [`System`] and [`Host`]: how a system is described, and what its services are handed;
//! - [`database`]: databases, [`database::Probe`]s and the pool that mirrors sqlx's;
//! - [`checker`]: the properties, and the trait to write one's own;
//! - [`plan`]: which faults there are, and how they are aimed;
//! - [`history`]: what a run leaves behind;
//! - [`explore`], [`shrink`], [`artefact`], [`regressions`], [`audit`]: the steps that [`System::check`]
//!   takes, for programs that want them one by one.
//!
//! `STORMGLASS_SEEDS=1000` explores more seeds, `STORMGLASS_SEED=0x5eed04d2` one,
//! `STORMGLASS_REPLAY=FILE` replays an artefact, `STORMGLASS_DATABASE=postgres://…` moves systems
//! that use `sqlx::Any` to PostgreSQL.

pub mod artefact;
mod attempts;
pub mod audit;
pub mod broker;
pub mod check;
pub mod checker;
pub mod database;
mod deployment;
pub mod explore;
mod external;
pub mod history;
mod message;
pub mod narrate;
mod nemesis;
pub mod plan;
pub mod regressions;
mod seed;
pub mod shrink;
pub mod simulation;
mod stopwatch;
mod survey;
mod system;
pub mod third_party;

pub use attempts::Attempts;
pub use broker::{Broker, BrokerError, Delivery, Profile, PublishError, Subscription};
pub use deployment::Machine;
pub use external::{External, ExternalError};
pub use message::{CAUSATION_ID, CORRELATION_ID, EVENT_ID, EVENT_TYPE, Message, POISON, Position};
pub use seed::{Seed, SeedParseError};
pub use simulation::Host;
pub use system::{Group, Misuse, Nats, System};
