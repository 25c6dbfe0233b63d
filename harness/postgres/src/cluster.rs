//! Clusters and databases: a real server for one run at a time, and what a run has on it.
//!
//! A cluster is PostgreSQL's word for one server with its databases. Clusters of this process are kept and
//! used again, but never by two runs at once: transactions of one database are seen in the snapshots of all
//! others (`pg_snapshot_xmin`), and roles and prepared transactions belong to the whole cluster.

mod real;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use stormglass_machine::outside;

pub(crate) use self::real::Real;
pub use self::real::Template;

use self::real::TEMPLATE;
use crate::database::{Database, Own};
use crate::{Error, lock};

/// The use of a real server, until it and all databases on it are dropped.
///
/// It is a private one, which is started when there is none that is free, or the one that
/// `STORMGLASS_POSTGRES` names (`postgres://user:password@host:port/database`, or with `?host=` and the
/// folder of a Unix socket; a superuser). A server that was named does not know virtual time: its clock and
/// its random values are real, its timeouts count real time, and deadlocks are found at once.
#[derive(Clone, Debug)]
pub struct Cluster(pub(crate) Arc<Lease>);

/// A real server that one run has to itself.
#[derive(Debug)]
pub(crate) struct Lease {
    real: Mutex<Option<Real>>,
    names: Mutex<BTreeSet<String>>,
}

/// Servers that nobody uses.
static IDLE: Mutex<Vec<Real>> = Mutex::new(Vec::new());

impl Cluster {
    /// Takes a real server, and starts one if all of this process are in use.
    ///
    /// # Errors
    ///
    /// If no server is installed ([`Error::NotInstalled`]), or if it cannot be started or reached.
    pub fn take() -> Result<Self, Error> {
        let idle = lock(&IDLE).pop();
        let real = match idle {
            Some(real) => real,
            None => outside(Real::open)?,
        };
        real.come();
        Ok(Cluster(Arc::new(Lease {
            real: Mutex::new(Some(real)),
            names: Mutex::default(),
        })))
    }

    /// A new database called `name`, with everything that the script `schema` makes. The script is carried
    /// out once for each cluster, by a superuser, and copied afterwards.
    ///
    /// Where the name is taken (by another database of this run, or on a server that others use as well) the
    /// real database is called otherwise, which `current_database()` shows.
    ///
    /// # Errors
    ///
    /// If the server refuses the script.
    pub fn database(&self, name: &str, schema: &str) -> Result<Database, Error> {
        let mut hash = DefaultHasher::new();
        schema.hash(&mut hash);
        let key = format!("{:016x}", hash.finish());
        self.database_from(name, &key, |template| template.execute(schema))
    }

    /// A new database called `name`, with everything that `prepare` makes of an empty one. It is called once
    /// for each cluster and `key`.
    ///
    /// # Errors
    ///
    /// If the server refuses, or `prepare` fails.
    pub fn database_from(
        &self,
        name: &str,
        key: &str,
        prepare: impl FnOnce(&mut Template) -> Result<(), Error>,
    ) -> Result<Database, Error> {
        let lease = &self.0;
        let own = lease.with(|real| {
            let template = real.template(key, prepare)?;
            let real_name = lease.free_name(real, name);
            let store = real.take_database(&real_name, &template)?;
            Ok(Own::new(lease.clone(), name, real_name, template, store))
        })?;
        Ok(Database::new(own))
    }
}

impl Lease {
    /// Asks the real server, while virtual time stands still.
    pub(crate) fn with<T>(
        &self,
        ask: impl FnOnce(&mut Real) -> Result<T, Error>,
    ) -> Result<T, Error> {
        outside(|| match &mut *lock(&self.real) {
            Some(real) => ask(real),
            None => unreachable!("the server is given back when nobody has it any more"),
        })
    }

    fn free_name(&self, real: &Real, name: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !real.is_private() {
            let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            return format!("stormglass_{process}_{count}");
        }
        let mut names = lock(&self.names);
        let is_reserved = |name: &str| {
            ["postgres", "template0", "template1"].contains(&name) || name.starts_with(TEMPLATE)
        };
        let mut own = name.to_owned();
        let mut count = 1;
        while is_reserved(&own) || !names.insert(own.clone()) {
            count += 1;
            own = format!("{name}_{count}");
        }
        own
    }

    /// A database is gone, and another one may have its name.
    pub(crate) fn free(&self, real_name: &str) {
        lock(&self.names).remove(real_name);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut real) = lock(&self.real).take() else {
            return;
        };
        // A server that does not answer is of no use to the next run, and on a named one nothing may stay
        // behind.
        if real.is_private() && outside(|| real.tidy()).is_ok() {
            lock(&IDLE).push(real);
        }
    }
}
