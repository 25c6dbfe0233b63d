//! The store: a fresh, migrated database for every service and run.
//!
//! On SQLite the schema is applied once per process, and every run gets a copy of that file in
//! memory-backed storage where the machine has it. On PostgreSQL every database is a schema of its
//! own in the server that is named, dropped again when the run is over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyConnection, Connection as _, Executor};
use stormglass_postgres::Cluster;

use super::Database;
use super::backend::Backend;
use super::driver::{self, complete};
use super::scratch::Scratch;
use super::sqlite;

/// The environment variable that names a PostgreSQL server.
pub const DATABASE_VARIABLE: &str = "STORMGLASS_DATABASE";

/// Which database engine a run works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// SQLite files in WAL mode.
    Sqlite,
    /// A PostgreSQL server.
    Postgres {
        /// `postgres://user@host:port/database`.
        url: String,
    },
}

impl Engine {
    /// The engine that `STORMGLASS_DATABASE` asks for; SQLite where it is not set or empty.
    ///
    /// # Errors
    ///
    /// If the variable holds something that is not a `postgres://` address.
    pub fn from_environment() -> Result<Self, StoreError> {
        match std::env::var(DATABASE_VARIABLE) {
            Ok(url) if is_postgres(&url) => Ok(Engine::Postgres { url }),
            Ok(other) if !other.is_empty() => Err(StoreError::Address(other)),
            _ => Ok(Engine::Sqlite),
        }
    }

    /// Starts what all runs on this engine share, before the first of them does.
    pub(crate) fn prepare(&self) {
        match self {
            Engine::Sqlite => sqlite::share_no_count(),
            Engine::Postgres { .. } => driver::start(),
        }
    }

    /// `sqlite` or `postgres`.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres { .. } => "postgres",
        }
    }
}

fn is_postgres(url: &str) -> bool {
    let scheme = ["postgres://", "postgresql://"];
    scheme.iter().any(|scheme| url.starts_with(scheme)) && PgConnectOptions::from_str(url).is_ok()
}

/// Why a run could not be given its databases.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The environment variable is not an address.
    #[error("{DATABASE_VARIABLE} is `{0}`: expected postgres://user@host:port/database")]
    Address(String),
    /// A schema could not be applied.
    #[error("failed to apply the schema of database `{database}` on {engine}: {source}")]
    Schema {
        /// The database's name in the system's description.
        database: String,
        /// The engine's name.
        engine: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// PostgreSQL could not be had.
    #[error(transparent)]
    Postgres(#[from] stormglass_postgres::Error),
    /// A file could not be written.
    #[error("failed to write a database file: {0}")]
    Io(#[from] std::io::Error),
}

/// The SQL that creates a database's tables.
#[derive(Clone, Debug)]
pub struct Schema {
    sqlite: String,
    postgres: Option<String>,
}

impl Schema {
    /// One script for both engines.
    pub fn new(script: impl Into<String>) -> Self {
        Schema {
            sqlite: script.into(),
            postgres: None,
        }
    }

    /// Another script for PostgreSQL.
    #[must_use]
    pub fn postgres(mut self, script: impl Into<String>) -> Self {
        self.postgres = Some(script.into());
        self
    }

    pub(super) fn sqlite(&self) -> &str {
        &self.sqlite
    }

    fn of_postgres(&self) -> &str {
        self.postgres.as_ref().unwrap_or(&self.sqlite)
    }

    fn script(&self, engine: &Engine) -> &str {
        match (engine, &self.postgres) {
            (Engine::Postgres { .. }, Some(script)) => script,
            _ => &self.sqlite,
        }
    }
}

impl<S: Into<String>> From<S> for Schema {
    fn from(script: S) -> Self {
        Schema::new(script)
    }
}

/// The databases of one run.
pub(crate) struct Store {
    urls: BTreeMap<Arc<str>, String>,
    engine: Engine,
    /// Removed with everything in it when the run is over.
    folder: Option<Scratch>,
    schemas: Vec<String>,
    servers: BTreeMap<Arc<str>, stormglass_postgres::Database>,
}

static RUNS: AtomicU64 = AtomicU64::new(0);

impl Store {
    /// Creates every database that the system describes.
    pub(crate) fn create<'a>(
        engine: &Engine,
        databases: impl Iterator<Item = (&'a Arc<str>, &'a Schema)>,
    ) -> Result<Self, StoreError> {
        let mut store = Store {
            urls: BTreeMap::new(),
            engine: engine.clone(),
            folder: None,
            schemas: Vec::new(),
            servers: BTreeMap::new(),
        };
        match engine {
            Engine::Sqlite => store.copy_files(databases)?,
            Engine::Postgres { url } => store.create_schemas(url, databases)?,
        }
        Ok(store)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The databases of a system of ordinary services: those in `servers` on a PostgreSQL server, the others
    /// SQLite files.
    pub(crate) fn of_services(
        databases: &[Database],
        servers: &BTreeSet<Arc<str>>,
    ) -> Result<Self, StoreError> {
        let is_file = |own: &&Database| !servers.contains(&own.name);
        let files = databases.iter().filter(is_file);
        let files = files.map(|own| (&own.name, &own.schema));
        let mut store = Store::create(&Engine::Sqlite, files)?;
        if store.folder.is_none() {
            store.folder = Some(Scratch::create()?);
        }
        let mut of_servers = databases.iter().filter(|own| !is_file(own)).peekable();
        if of_servers.peek().is_none() {
            return Ok(store);
        }
        driver::start();
        let cluster = Cluster::take()?;
        for own in of_servers {
            let script = own.schema.of_postgres();
            let database = cluster.database(&own.name, script)?;
            store.urls.insert(own.name.clone(), database.url());
            store.servers.insert(own.name.clone(), database);
        }
        Ok(store)
    }

    /// The databases that are on a PostgreSQL server of their own.
    pub(super) fn servers(&self) -> &BTreeMap<Arc<str>, stormglass_postgres::Database> {
        &self.servers
    }

    /// The addresses by which services reach the databases.
    pub(super) fn urls_of_services(&self) -> BTreeMap<Arc<str>, String> {
        let urls = self.urls.iter().map(|(name, url)| {
            let url = match self.servers.contains_key(name) {
                true => format!("postgres://{name}/{name}"),
                false => url.clone(),
            };
            (name.clone(), url)
        });
        urls.collect()
    }

    /// The folder of the run's files.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder = self.folder.as_ref();
        folder.map(|own| own.path().to_owned()).unwrap_or_default()
    }

    /// The address of a database, if the system has one of that name.
    pub(crate) fn url(&self, database: &str) -> Option<&str> {
        self.urls.get(database).map(String::as_str)
    }

    fn copy_files<'a>(
        &mut self,
        databases: impl Iterator<Item = (&'a Arc<str>, &'a Schema)>,
    ) -> Result<(), StoreError> {
        let folder = Scratch::create()?;
        for (name, schema) in databases {
            let template = template(name, schema.script(&Engine::Sqlite))?;
            let path = folder.path().join(format!("{name}.db"));
            std::fs::write(&path, &*template)?;
            self.urls.insert(name.clone(), sqlite_url(&path));
        }
        self.folder = Some(folder);
        Ok(())
    }

    fn create_schemas<'a>(
        &mut self,
        server: &str,
        databases: impl Iterator<Item = (&'a Arc<str>, &'a Schema)>,
    ) -> Result<(), StoreError> {
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        for (index, (name, schema)) in databases.enumerate() {
            let own = format!("stormglass_{process}_{run}_{index}");
            let separator = if server.contains('?') { '&' } else { '?' };
            let url = format!("{server}{separator}options=-c%20search_path%3D{own}");
            let script = format!(
                "{PATIENT} CREATE SCHEMA {own}; {}",
                schema.script(&self.engine)
            );
            self.schemas.push(own);
            complete(apply(&url, &script)).map_err(|source| StoreError::Schema {
                database: name.to_string(),
                engine: "postgres",
                source,
            })?;
            self.urls.insert(name.clone(), url);
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Engine::Postgres { url } = &self.engine else {
            return;
        };
        let drops = self
            .schemas
            .iter()
            .map(|own| format!("DROP SCHEMA IF EXISTS {own} CASCADE;"));
        let script: String = std::iter::once(PATIENT.to_owned()).chain(drops).collect();
        // A schema that stays behind in a throw-away server harms nobody, so a failure is not news.
        let _ = complete(apply(url, &script));
    }
}

/// Outside of runs locks are waited for: other runs create and drop schemas at the same time.
const PATIENT: &str = "SET lock_timeout = '60s'; SET client_min_messages = 'warning';";

async fn apply(url: &str, script: &str) -> sqlx::Result<()> {
    let mut connection = <sqlx::Any as Backend>::open(url).await?;
    let script = sqlx::AssertSqlSafe(script.to_owned());
    (&mut connection).execute(sqlx::raw_sql(script)).await?;
    AnyConnection::close(connection).await
}

fn sqlite_url(path: &std::path::Path) -> String {
    format!("sqlite://{}?mode=rwc", path.display())
}

/// The bytes of a migrated SQLite file, made once per process and schema.
fn template(name: &str, script: &str) -> Result<Arc<Vec<u8>>, StoreError> {
    static TEMPLATES: LazyLock<Mutex<BTreeMap<String, Arc<Vec<u8>>>>> =
        LazyLock::new(Mutex::default);
    let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = templates.get(script) {
        return Ok(bytes.clone());
    }
    let folder = Scratch::create()?;
    let path = folder.path().join("template.db");
    let script_with_wal = format!("PRAGMA journal_mode = WAL; {script}");
    complete(apply(&sqlite_url(&path), &script_with_wal)).map_err(|source| StoreError::Schema {
        database: name.to_owned(),
        engine: "sqlite",
        source,
    })?;
    let bytes = Arc::new(std::fs::read(&path)?);
    templates.insert(script.to_owned(), bytes.clone());
    Ok(bytes)
}
