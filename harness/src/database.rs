//! Databases: real SQLite files or a real PostgreSQL.
//!
//! Reading order: `store` gives every run fresh databases, files in a folder of `scratch`, `statement` tells what SQL does,
//! `probe` is how the harness sees what services did, over the connections of `observer`, `row` reads any type of column. What of them
//! belongs to one run, and what services see of a database, is in `deployment`. Not modelled: replicas.

mod observer;
mod probe;
mod real;
mod row;
mod scratch;
mod statement;
mod store;

use std::sync::Arc;

pub(crate) use observer::Observer;
pub use observer::ReadError;
pub use probe::{Probe, View};
pub(crate) use probe::{Watch, rows};
pub use real::RealDatabase;
pub(crate) use statement::{Effect, has_changed, writes_only};
pub(crate) use store::Store;
pub use store::{DATABASE_VARIABLE, Engine, Schema, StoreError};

/// One database of a system under test.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) name: Arc<str>,
    pub(crate) schema: Schema,
    pub(crate) probes: Vec<Probe>,
    pub(crate) views: Vec<View>,
    pub(crate) background: Vec<String>,
    pub(crate) owed: Vec<View>,
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
            owed: Vec::new(),
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

    /// Adds a query whose rows are work that somebody has still to do, such as jobs that wait for their time. A healed run is not quiet
    /// while there are any, and [`Convergence`](crate::checker::Convergence) is broken where some are left at the liveness
    /// bound. `what` names such rows for a person, in the plural. It is asked when all else is quiet.
    #[must_use]
    pub fn owes(mut self, what: &str, query: impl Into<String>) -> Self {
        self.owed.push(View {
            name: what.to_owned(),
            query: query.into(),
        });
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
