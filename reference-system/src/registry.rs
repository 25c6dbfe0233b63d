//! The schema registry: which versions of which contracts there are, and whether a new one may be let in.
//!
//! It speaks the HTTP interface of Confluent Schema Registry, for schemas of the type `JSON`, on a database of its own. Who
//! publishes asks it before; it never sees an event. Not here: other types of schemas, references between documents,
//! contexts, modes of operation, and who may register what.
//!
//! Reading order: [`compatibility`] the rules, `subjects` what is stored, `problem` what goes wrong, `api` the interface,
//! [`client`] the other side of it.

mod api;
pub mod client;
pub mod compatibility;
mod problem;
mod subjects;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::database::Database;
use crate::schema::Engine;
use crate::shutdown::Shutdown;

use compatibility::{AsModeSays, Scope};
use subjects::Subjects;

pub use client::RegistryClient;

/// The script that creates the registry's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => include_str!("../migrations/sqlite/registry.sql"),
        Engine::Postgres => include_str!("../migrations/postgres/registry.sql"),
    }
}

/// A registry on its database.
pub struct Registry {
    /// Where it keeps what it knows.
    pub database: Database,
    /// Which earlier versions a new one is compared with.
    pub scope: Arc<dyn Scope>,
}

impl Registry {
    /// The usual one: what is compared is what the mode says.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            database,
            scope: Arc::new(AsModeSays),
        }
    }

    /// Serves from `listener` until it has to stop; requests that have begun are still answered.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        let routes = api::router(Subjects::new(self.database, self.scope));
        axum::serve(listener, routes)
            .with_graceful_shutdown(async move { shutdown.comes().await })
            .await
    }
}
