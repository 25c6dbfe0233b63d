//! Databases: real SQLite files or a real PostgreSQL, in virtual time.
//!
//! Reading order: `store` gives every service a fresh database in a folder of `scratch`, `pool`, `connection` and
//! `transaction` are what services use (sqlx's own interface), `statement` tells what SQL does, `probe` is how the harness sees
//! what they did, `row` reads any type of column, `driver` makes real calls while virtual time stands still, `backend` knows
//! the engines. Not modelled: disks that fail, replicas, and the servers' own crashes.

mod backend;
mod connection;
mod driver;
mod fault;
mod pool;
mod probe;
mod row;
mod scratch;
mod sqlite;
mod statement;
mod store;
mod transaction;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor as _, SqlSafeStr as _};

pub use backend::Backend;
pub use connection::Connection;
pub use pool::{Pool, PoolConnection};
pub use probe::{Probe, View};
pub(crate) use store::Store;
pub use store::{DATABASE_VARIABLE, Engine, Schema, StoreError};
pub use transaction::Transaction;

use crate::history::What;
use crate::simulation::RunError;
use crate::simulation::settings::Recording;
use crate::simulation::world::{Gate, World, lock};
use driver::complete;
use probe::Watch;
pub(crate) use statement::Effect;
use statement::{has_changed, writes_only};

/// One database of a system under test.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) name: Arc<str>,
    pub(crate) schema: Schema,
    pub(crate) probes: Vec<Probe>,
    pub(crate) views: Vec<View>,
    pub(crate) background: Vec<String>,
}

impl Database {
    /// A database with the tables that `schema` creates.
    pub fn new(name: &str, schema: impl Into<Schema>) -> Self {
        Database {
            name: name.into(),
            schema: schema.into(),
            probes: Vec::new(),
            views: Vec::new(),
            background: Vec::new(),
        }
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SQL that creates its tables on SQLite.
    pub fn sqlite_schema(&self) -> &str {
        self.schema.sqlite()
    }

    /// Adds a probe: a query that shows what a commit changed.
    #[must_use]
    pub fn probe(mut self, probe: Probe) -> Self {
        self.probes.push(probe);
        self
    }

    /// A table that is written in the background, such as leases that are renewed: a commit that wrote
    /// nothing else does not keep a healed run alive. See [`System::background`](crate::System::background).
    #[must_use]
    pub fn background(mut self, table: &str) -> Self {
        self.background.push(table.to_owned());
        self
    }

    /// Adds a query of the final state, for the system's own properties.
    #[must_use]
    pub fn view(mut self, name: &str, query: impl Into<String>) -> Self {
        self.views.push(View {
            name: name.to_owned(),
            query: query.into(),
        });
        self
    }
}

fn unreadable(database: &str, query: &str, source: sqlx::Error) -> RunError {
    RunError::Probe {
        database: database.to_owned(),
        query: query.to_owned(),
        source,
    }
}

/// Why a service was not given a database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system has no such database.
    #[error("the system has no database `{0}`; it has: {1}")]
    Unknown(String, String),
    /// The pool's type and the run's engine do not go together.
    #[error(
        "the service uses {0}, but the run is on {1} ({DATABASE_VARIABLE}); use sqlx::Any for both"
    )]
    Engine(&'static str, &'static str),
}

/// The databases of one run, as the harness sees them.
pub(crate) struct Databases {
    store: Store,
    latency: Duration,
    observers: Mutex<BTreeMap<Arc<str>, Observer>>,
}

struct Observer {
    connection: AnyConnection,
    watches: Vec<Watch>,
    views: Vec<View>,
    background: Vec<String>,
}

impl Databases {
    /// Opens the harness' own connections.
    pub(crate) fn open(
        store: Store,
        databases: &[Database],
        latency: Duration,
    ) -> Result<Self, RunError> {
        let mut observers = BTreeMap::new();
        for database in databases {
            let url = store.url(&database.name).unwrap_or_default();
            let opened = complete(<Any as Backend>::open(url));
            let mut connection = opened.map_err(|source| RunError::Storage {
                database: database.name.to_string(),
                source,
            })?;
            for probe in &database.probes {
                let verified = probe.verify(&mut connection, url);
                verified.map_err(|source| unreadable(&database.name, probe.query(), source))?;
            }
            for table in &database.background {
                let query = format!("SELECT 1 FROM {table}");
                let sql = AssertSqlSafe(query.clone()).into_sql_str();
                let prepared = complete(connection.prepare(sql));
                prepared.map_err(|source| unreadable(&database.name, &query, source))?;
            }
            let observer = Observer {
                connection,
                watches: database.probes.iter().cloned().map(Watch::new).collect(),
                views: database.views.clone(),
                background: database.background.clone(),
            };
            observers.insert(database.name.clone(), observer);
        }
        Ok(Databases {
            store,
            latency,
            observers: Mutex::new(observers),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// How long a statement takes, in virtual time.
    fn latency(&self) -> Duration {
        self.latency
    }

    /// The addresses by which services reach the databases.
    pub(crate) fn urls_of_services(&self) -> BTreeMap<Arc<str>, String> {
        self.store.urls_of_services()
    }

    /// The databases that are on a PostgreSQL server of their own.
    pub(crate) fn servers(&self) -> &BTreeMap<Arc<str>, stormglass_postgres::Database> {
        self.store.servers()
    }

    /// The folder of the run's files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.store.folder()
    }

    fn find(&self, name: &str) -> Option<(Arc<str>, String)> {
        let observers = lock(&self.observers);
        let (name, _) = observers.get_key_value(name)?;
        Some((name.clone(), self.store.url(name)?.to_owned()))
    }

    fn names(&self) -> String {
        lock(&self.observers)
            .keys()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// What a statement that touched this many rows has changed.
    pub(crate) fn effect(&self, name: &Arc<str>, sql: &str, rows: u64) -> Effect {
        if !has_changed(sql, rows) {
            return Effect::None;
        }
        let observers = lock(&self.observers);
        let background = observers.get(name).map_or(&[][..], |own| &own.background);
        match writes_only(sql, background) {
            true => Effect::Background,
            false => Effect::Change,
        }
    }

    /// A transaction that wrote something was committed: the probes look. A probe that cannot be read
    /// is no business of the service's; it ends the run.
    pub(crate) fn committed(&self, gate: &Gate, name: &Arc<str>, effect: Effect) {
        if effect != Effect::None && !gate.is_dead() {
            let is_background = effect == Effect::Background;
            gate.world().changed(gate.host(), name, is_background);
        }
        if gate.world().recording() != Recording::On {
            return;
        }
        let committed = gate.append(What::Committed {
            database: name.clone(),
        });
        let Some(commit) = committed else { return };
        let mut observers = lock(&self.observers);
        let Some(observer) = observers.get_mut(name) else {
            return;
        };
        for watch in &mut observer.watches {
            let facts = match watch.look(&mut observer.connection) {
                Ok(facts) => facts,
                Err(source) => {
                    let query = watch.query();
                    return gate.world().fail(unreadable(name, query, source));
                }
            };
            for fact in facts {
                gate.record(What::Observed {
                    database: name.clone(),
                    commit,
                    fact,
                });
            }
        }
    }

    /// Reads every view into the history, when the run is over.
    pub(crate) fn read_views(&self, world: &World, host: &Arc<str>) -> Result<(), RunError> {
        for (database, observer) in lock(&self.observers).iter_mut() {
            for view in &observer.views {
                let rows = probe::rows(view, &mut observer.connection);
                let rows = rows.map_err(|source| unreadable(database, &view.query, source))?;
                let view = view.name.clone();
                world.record(
                    host,
                    What::FinalState {
                        database: database.clone(),
                        view,
                        rows,
                    },
                );
            }
        }
        Ok(())
    }
}
