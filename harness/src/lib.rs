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
//! use axum::extract::{Path, State};
//! use axum::routing::put;
//! use proptest::prelude::*;
//! use sqlx::SqlitePool;
//! use stormglass::System;
//! use stormglass::checker::EffectOnce;
//! use stormglass::database::{Database, Probe};
//!
//! // The service under test: counts every visit once, however often it is told of it.
//! async fn count(database: String) -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = SqlitePool::connect(&database).await?;
//!     let routes = axum::Router::new().route("/visits/{id}", put(visit)).with_state(pool);
//!     let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
//!     Ok(axum::serve(listener, routes).await?)
//! }
//!
//! async fn visit(State(pool): State<SqlitePool>, Path(id): Path<i64>) -> Result<(), String> {
//!     let insert = sqlx::query("INSERT INTO visits (id) VALUES ($1) ON CONFLICT DO NOTHING");
//!     insert.bind(id).execute(&pool).await.map(drop).map_err(|error| error.to_string())
//! }
//!
//! // What its clients do.
//! async fn tell(visitor: u32) -> Result<(), reqwest::Error> {
//!     let put = || reqwest::Client::new().put(format!("http://counter/visits/{visitor}")).send();
//!     put().await?;
//!     put().await.map(drop)
//! }
//!
//! let visits = Database::new("visits", "CREATE TABLE visits (id INTEGER PRIMARY KEY)")
//!     .probe(Probe::applied("SELECT id AS event_id FROM visits").by("counter"));
//! let green = System::new("visit counter")
//!     .sqlite(visits)
//!     .host("counter", |machine| async move { count(machine.url("visits").to_owned()).await })
//!     .operations(any::<u32>, tell)
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
//! - [`explore`], [`shrink`], [`artefact`], [`regressions`], [`audit`]: the steps that [`System::check`]
//!   takes, for programs that want them one by one.
//!
//! Services that bring no client of their own may also be written against this crate's ports instead
//! ([`System::ported_host`], [`Host`]): a simple broker with a Kafka-like profile, and a pool with the interface of sqlx's.
//!
//! `STORMGLASS_SEEDS=1000` explores more seeds, `STORMGLASS_SEED=0x5eed04d2` one,
//! `STORMGLASS_REPLAY=FILE` replays an artefact, `STORMGLASS_POSTGRES=postgres://…` names the PostgreSQL server to use
//! instead of a private one, `STORMGLASS_DATABASE=postgres://…` moves ported systems that use `sqlx::Any` to PostgreSQL.

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
