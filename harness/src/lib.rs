//! Stormglass: deterministic fault-injection tests for event-driven systems.
//!
//! Ordinary services (tokio, axum, reqwest, `sqlx::PgPool` and `SqlitePool`, async-nats) run on simulated machines, with
//! a real SQLite or PostgreSQL and a NATS server with JetStream, in virtual time, under faults that follow from one seed.
//! Properties are judged by the history of what was seen at databases, brokers and third parties, never by what
//! services claim. The same seed gives the same run, bit for bit.
//!
//! # A test
//!
//! Describe the system once and let [`System::check`] explore seeds:
//!
//! ```
//! use std::time::Duration;
//!
//! use async_nats::jetstream::{self, consumer::pull, message::PublishMessage, stream};
//! use futures::TryStreamExt;
//! use proptest::prelude::*;
//! use sqlx::SqlitePool;
//! use stormglass::checker::EffectOnce;
//! use stormglass::database::{Database, Probe};
//! use stormglass::{Group, System};
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
//!
//! // The service under test: counts every visit once, however often the broker delivers it.
//! async fn count(database: &str, nats: &str) -> Result<()> {
//!     let pool = SqlitePool::connect(database).await?;
//!     let jetstream = jetstream::new(async_nats::connect(nats).await?);
//!     let visits = stream::Config { name: "visits".into(), ..Default::default() };
//!     let counter = pull::Config {
//!         durable_name: Some("counter".into()),
//!         ack_wait: Duration::from_secs(2),
//!         ..Default::default()
//!     };
//!     let visits = jetstream.get_or_create_stream(visits).await?;
//!     let mut visits = visits.get_or_create_consumer("counter", counter).await?.messages().await?;
//!     while let Some(visit) = visits.try_next().await? {
//!         let insert = sqlx::query("INSERT INTO visits (id) VALUES ($1) ON CONFLICT DO NOTHING");
//!         insert.bind(std::str::from_utf8(&visit.payload)?).execute(&pool).await?;
//!         visit.ack().await?;
//!     }
//!     Ok(())
//! }
//!
//! // What its clients do.
//! async fn visit(visitor: u32) -> Result<()> {
//!     let jetstream = jetstream::new(async_nats::connect("nats://nats").await?);
//!     let id = format!("visit-{visitor}");
//!     let visit = PublishMessage::build().payload(id.clone().into()).message_id(id);
//!     jetstream.send_publish("visits", visit).await?.await?;
//!     Ok(())
//! }
//!
//! let visits = Database::new("visits", "CREATE TABLE visits (id TEXT PRIMARY KEY)")
//!     .probe(Probe::applied("SELECT id AS event_id FROM visits").by("counter"));
//! let green = System::new("visit counter")
//!     .sqlite(visits)
//!     .nats("nats")
//!     .host("counter", |machine| async move { count(machine.url("visits"), "nats://nats").await })
//!     .group(Group::new("counter", &["visits"]))
//!     .operations(any::<u32>, visit)
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
//! - [`System`] and [`Machine`]: how a system is described, and what its services are told when they start;
//! - [`database`]: databases and their [`database::Probe`]s;
//! - [`Nats`] and [`third_party`]: brokers, and whom services call outside;
//! - [`checker`]: the properties, and the trait to write one's own;
//! - [`plan`]: which faults there are, and how they are aimed;
//! - [`history`]: what a run leaves behind;
//! - [`conformance`]: whether a broker's profile keeps what it declares;
//! - [`explore`], [`shrink`], [`artefact`], [`regressions`], [`audit`]: the steps that [`System::check`]
//!   takes, for programs that want them one by one.
//!
//! For services that bring no client of a broker there is a simple one ([`Broker`]), with a Kafka-like or JetStream-like
//! profile ([`Profile`]).
//!
//! `STORMGLASS_SEEDS=1000` explores more seeds, `STORMGLASS_SEED=0x5eed04d2` one,
//! `STORMGLASS_REPLAY=FILE` replays an artefact, `STORMGLASS_POSTGRES=postgres://…` names the PostgreSQL server to use
//! instead of a private one, `STORMGLASS_DATABASE=postgres` moves databases that are declared for either engine to PostgreSQL.

pub mod artefact;
mod attempts;
pub mod audit;
pub mod broker;
pub mod check;
pub mod checker;
pub mod conformance;
pub mod database;
mod deployment;
mod event;
pub mod explore;
pub mod history;
mod machine;
mod message;
pub mod narrate;
mod nemesis;
pub mod plan;
pub mod regressions;
mod run;
mod seed;
pub mod shrink;
mod simple_broker;
pub mod simulation;
mod spelling;
mod stopwatch;
mod survey;
mod system;
pub mod third_party;
mod world;

pub use attempts::Attempts;
pub use broker::{Profile, Standing};
pub use machine::Machine;
pub use message::{
    CAUSATION_ID, CORRELATION_ID, EVENT_ID, EVENT_TYPE, Message, POISON, Position, SCHEMA_VERSION,
};
pub use run::Misuse;
pub use seed::{Seed, SeedParseError};
pub use simple_broker::{Broker, BrokerError, Delivery, PublishError, Subscription};
pub use system::{Group, Nats, System};
