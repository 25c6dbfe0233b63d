//! Databases: real SQLite files or a real PostgreSQL.
//!
//! Reading order: `store` gives every run fresh databases, files in a folder of `scratch`, `statement` tells what SQL does,
//! `probe` is how the harness sees what services did, over the connections of `observer`, `row` reads any type of column. What services see of a database is in
//! `deployment`. Not modelled: replicas.

mod observer;
mod probe;
mod row;
mod scratch;
mod sqlite;
mod statement;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub use observer::ReadError;
pub use probe::{Probe, View};
pub(crate) use store::Store;
pub use store::{DATABASE_VARIABLE, Engine, Schema, StoreError};

use crate::history::What;
use crate::simulation::RunError;
use crate::simulation::world::{Gate, World, lock};
use observer::Observer;
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

fn unreadable(database: &str, query: &str, source: ReadError) -> RunError {
    RunError::Probe {
        database: database.to_owned(),
        query: query.to_owned(),
        source,
    }
}

/// The databases of one run, as the harness sees them.
pub(crate) struct Databases {
    store: Store,
    observed: Mutex<BTreeMap<Arc<str>, Observed>>,
}

/// What the harness knows of one database, and how it looks into it.
struct Observed {
    observer: Observer,
    watches: Vec<Watch>,
    views: Vec<View>,
    background: Vec<String>,
}

impl Databases {
    /// Opens the harness' own connections.
    pub(crate) fn open(store: Store, databases: &[Database]) -> Result<Self, RunError> {
        let mut all = BTreeMap::new();
        for database in databases {
            let opened = store.observer(&database.name);
            let mut observer = opened.map_err(|source| RunError::Storage {
                database: database.name.to_string(),
                source,
            })?;
            for probe in &database.probes {
                let verified = probe.verify(&mut observer);
                verified.map_err(|source| unreadable(&database.name, probe.query(), source))?;
            }
            for table in &database.background {
                let query = format!("SELECT 1 FROM {table}");
                let prepared = observer.columns(&query);
                prepared.map_err(|source| unreadable(&database.name, &query, source))?;
            }
            let observed = Observed {
                observer,
                watches: database.probes.iter().cloned().map(Watch::new).collect(),
                views: database.views.clone(),
                background: database.background.clone(),
            };
            all.insert(database.name.clone(), observed);
        }
        Ok(Databases {
            store,
            observed: Mutex::new(all),
        })
    }

    /// The addresses by which services reach the databases.
    pub(crate) fn urls_of_services(&self) -> BTreeMap<Arc<str>, String> {
        self.store.urls_of_services()
    }

    /// The databases of each PostgreSQL server, by its host.
    pub(crate) fn servers(&self) -> &BTreeMap<Arc<str>, Vec<stormglass_postgres::Database>> {
        self.store.servers()
    }

    /// The folder of the run's files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.store.folder()
    }

    /// What a statement that touched this many rows has changed.
    pub(crate) fn effect(&self, name: &Arc<str>, sql: &str, rows: u64) -> Effect {
        if !has_changed(sql, rows) {
            return Effect::None;
        }
        let observed = lock(&self.observed);
        let background = observed.get(name).map_or(&[][..], |own| &own.background);
        match writes_only(sql, background) {
            true => Effect::Background,
            false => Effect::Change,
        }
    }

    /// A transaction that wrote something was committed, whatever became of its owner meanwhile: the probes look. A probe
    /// that cannot be read is no business of the service's; it ends the run.
    pub(crate) fn committed(&self, gate: &Gate, name: &Arc<str>, effect: Effect) {
        let (world, host) = (gate.world(), gate.host());
        if effect != Effect::None {
            let is_background = effect == Effect::Background;
            world.changed(host, name, is_background);
        }
        let database = name.clone();
        let committed = world.append(host, What::Committed { database });
        let Some(commit) = committed else { return };
        let mut observed = lock(&self.observed);
        let Some(own) = observed.get_mut(name).filter(|own| !own.watches.is_empty()) else {
            return;
        };
        let looked = own.observer.at_once(|observer| {
            let mut facts = Vec::new();
            for watch in &mut own.watches {
                let seen = watch.look(observer);
                facts.extend(seen.map_err(|source| unreadable(name, watch.query(), source))?);
            }
            Ok(facts)
        });
        let looked = looked.map_err(|source| unreadable(name, "BEGIN", source));
        match looked.flatten() {
            Ok(facts) => {
                for fact in facts {
                    let database = name.clone();
                    let observed = What::Observed {
                        database,
                        commit,
                        fact,
                    };
                    world.record(host, observed);
                }
            }
            Err(error) => world.fail(error),
        }
    }

    /// Reads every view into the history, when the run is over.
    pub(crate) fn read_views(&self, world: &World, host: &Arc<str>) -> Result<(), RunError> {
        for (database, own) in lock(&self.observed).iter_mut() {
            for view in &own.views {
                let rows = probe::rows(view, &mut own.observer);
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
