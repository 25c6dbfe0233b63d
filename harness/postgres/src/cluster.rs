//! Clusters and databases: a real server for one run at a time, and what a run has on it.
//!
//! A cluster is PostgreSQL's word for one server with its databases. Clusters of this process are kept and used again,
//! but never by two runs at once: transactions of one database are seen in the snapshots of all others
//! (`pg_snapshot_xmin`), and roles and prepared transactions belong to the whole cluster.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use stormglass_machine::outside;

use crate::client::{Client, Observer};
use crate::place::Place;
use crate::slot::Slots;
use crate::{Error, lock, private};

/// The variable that names a server to use instead of a private one.
const VARIABLE: &str = "STORMGLASS_POSTGRES";

/// The use of a real server, until it and all databases on it are dropped.
///
/// It is a private one, which is started when there is none that is free, or the one that `STORMGLASS_POSTGRES` names
/// (`postgres://user:password@host:port/database`, a superuser). A server that was named does not know virtual time:
/// its clock and its random values are real, its timeouts count real time, and deadlocks are found at once.
#[derive(Clone, Debug)]
pub struct Cluster(pub(crate) Arc<Lease>);

/// A real server, and the connection by which the library rules it.
#[derive(Debug)]
pub(crate) struct Real {
    pub(crate) place: Place,
    /// `None` if the library has not started it.
    pub(crate) slots: Option<Slots>,
    control: Client,
    version: u32,
    /// Templates that have been made.
    templates: BTreeSet<String>,
    /// Roles that stay: a template may need them.
    roles: BTreeSet<String>,
}

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
        Ok(Cluster(Arc::new(Lease {
            real: Mutex::new(Some(real)),
            names: Mutex::default(),
        })))
    }

    /// A new database called `name`, with everything that the script `schema` makes. The script is carried out once
    /// for each cluster, by a superuser, and copied afterwards.
    ///
    /// Where the name is taken (by another database of this run, or on a server that others use as well) the real
    /// database is called otherwise, which `current_database()` shows.
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

    /// A new database called `name`, with everything that `prepare` makes of an empty one. It is called once for each
    /// cluster and `key`.
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
        let real_name = self.0.with(|real| {
            let template = real.template(key, prepare)?;
            let real_name = self.0.free_name(real, name);
            real.create(&real_name, Some(&template))?;
            Ok(real_name)
        })?;
        Ok(Database(Arc::new(Own {
            lease: self.0.clone(),
            name: name.to_owned(),
            real_name,
        })))
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
        let mut names = lock(&self.names);
        let is_free = !["postgres", "template0", "template1"].contains(&name)
            && !name.starts_with(TEMPLATE)
            && names.insert(name.to_owned());
        if real.is_private() && is_free {
            return name.to_owned();
        }
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        match real.is_private() {
            true => format!("{name}_{}", names.len()),
            false => format!("stormglass_{process}_{count}"),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut real) = lock(&self.real).take() else {
            return;
        };
        // A server that does not answer is of no use to the next run.
        if outside(|| real.tidy()).is_ok() {
            lock(&IDLE).push(real);
        }
    }
}

/// What the name of each template begins with.
const TEMPLATE: &str = "stormglass_template_";

impl Real {
    fn open() -> Result<Self, Error> {
        let (place, slots, home) = match std::env::var(VARIABLE) {
            Ok(named) => {
                let (place, home) = Place::named(&named)?;
                (place, None, home)
            }
            Err(_) => {
                let (place, slots) = private::start()?;
                (place, Some(slots), "postgres".to_owned())
            }
        };
        let mut control = Client::open(&place, &home)?;
        let version = control.query("SELECT current_setting('server_version_num')", &[])?;
        let version: String = version.into_iter().flatten().flatten().collect();
        let version = version.parse().unwrap_or(0);
        Ok(Real {
            place,
            slots,
            control,
            version,
            templates: BTreeSet::new(),
            roles: BTreeSet::new(),
        })
    }

    pub(crate) fn is_private(&self) -> bool {
        self.slots.is_some()
    }

    pub(crate) fn control(&mut self) -> &mut Client {
        &mut self.control
    }

    fn template(
        &mut self,
        key: &str,
        prepare: impl FnOnce(&mut Template) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let own = match self.is_private() {
            true => String::new(),
            false => format!("{}_", std::process::id()),
        };
        let name = format!("{TEMPLATE}{own}{key}");
        if self.templates.contains(&name) {
            return Ok(name);
        }
        self.create(&name, None)?;
        let mut template = Template {
            place: self.place.clone(),
            name: name.clone(),
            client: Client::open(&self.place, &name)?,
        };
        let prepared = prepare(&mut template);
        drop(template);
        if let Err(error) = prepared {
            self.drop_database(&name)?;
            return Err(error);
        }
        self.templates.insert(name.clone());
        self.roles = self.list_roles()?;
        Ok(name)
    }

    fn create(&mut self, name: &str, template: Option<&str>) -> Result<(), Error> {
        let mut sql = format!("CREATE DATABASE {}", quoted(name));
        if let Some(template) = template {
            sql.push_str(&format!(" TEMPLATE {}", quoted(template)));
        }
        // Copying files takes half as long as writing each page to the log (15 ms instead of 38 ms).
        if self.version >= 150_000 {
            sql.push_str(" STRATEGY file_copy");
        }
        self.control.execute(&sql)
    }

    fn drop_database(&mut self, name: &str) -> Result<(), Error> {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
        self.control.execute(&sql)
    }

    /// Sees to it that there is the role `name`, which may do everything.
    pub(crate) fn ensure_role(&mut self, name: &str) -> Result<(), Error> {
        let known = self
            .control
            .query("SELECT 1 FROM pg_roles WHERE rolname = $1", &[name])?;
        if !known.is_empty() {
            return Ok(());
        }
        let sql = format!("CREATE ROLE {} LOGIN SUPERUSER", quoted(name));
        self.control.execute(&sql)
    }

    fn list_roles(&mut self) -> Result<BTreeSet<String>, Error> {
        let sql = "SELECT rolname FROM pg_roles WHERE oid >= 16384";
        let roles = self.control.query(sql, &[])?;
        Ok(roles.into_iter().flatten().flatten().collect())
    }

    /// Leaves nothing of a run.
    fn tidy(&mut self) -> Result<(), Error> {
        if !self.is_private() {
            return Ok(());
        }
        for role in self.list_roles()?.difference(&self.roles.clone()) {
            self.control
                .execute(&format!("DROP ROLE {}", quoted(role)))?;
        }
        Ok(())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // On a server that others use as well nothing may stay behind.
        if !self.is_private() {
            for template in std::mem::take(&mut self.templates) {
                let _ = outside(|| self.drop_database(&template));
            }
        }
    }
}

/// A database that is to become a template.
#[derive(Debug)]
pub struct Template {
    place: Place,
    name: String,
    client: Client,
}

impl Template {
    /// Carries out a script of SQL statements.
    ///
    /// # Errors
    ///
    /// If the server refuses one of them.
    pub fn execute(&mut self, script: &str) -> Result<(), Error> {
        self.client.execute(script)
    }

    /// Where it is, for clients that work outside of a simulation (as sqlx' migrations in [`outside`]).
    /// Every connection has to be closed again.
    pub fn url(&self) -> String {
        self.place.url(&self.name)
    }
}

/// A database of a run; it is removed when it is dropped.
#[derive(Clone, Debug)]
pub struct Database(Arc<Own>);

#[derive(Debug)]
struct Own {
    lease: Arc<Lease>,
    name: String,
    real_name: String,
}

impl Database {
    /// The name by which clients ask for it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where the real database is, for clients that work outside of a simulation.
    pub fn url(&self) -> String {
        let place = self.0.lease.with(|real| Ok(real.place.clone()));
        place.map_or_else(|_| String::new(), |place| place.url(&self.0.real_name))
    }

    /// A look at it, for probes.
    ///
    /// # Errors
    ///
    /// If the real server cannot be reached.
    pub fn observer(&self) -> Result<Observer, Error> {
        let name = &self.0.real_name;
        self.0
            .lease
            .with(|real| Observer::open(&real.place, real.slots.as_ref(), name))
    }

    pub(crate) fn real_name(&self) -> &str {
        &self.0.real_name
    }

    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.0.lease
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // What cannot be removed now goes with the server.
        let _ = self.lease.with(|real| real.drop_database(&self.real_name));
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
