//! The store: a fresh, migrated database for every service and run.
//!
//! On SQLite the schema is applied once per process, and every run gets a copy of that file in
//! memory-backed storage where the machine has it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use stormglass_postgres::Cluster;
use stormglass_sqlite::{LogsInMemory, Reader, keep_logs_in_memory};

use super::Database;
use super::observer::{Observer, ReadError};
use super::scratch::Scratch;

/// The environment variable that says which engine runs work on.
pub const DATABASE_VARIABLE: &str = "STORMGLASS_DATABASE";

/// Which database engine a run works on, where a system leaves that open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// SQLite files in WAL mode.
    #[default]
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

impl Engine {
    /// The engine that `STORMGLASS_DATABASE` asks for, `sqlite` or `postgres`; SQLite where it is not set or empty.
    ///
    /// # Errors
    ///
    /// If the variable holds something else.
    pub fn from_environment() -> Result<Self, StoreError> {
        match std::env::var(DATABASE_VARIABLE).as_deref() {
            Ok("postgres") => Ok(Engine::Postgres),
            Ok("" | "sqlite") | Err(_) => Ok(Engine::Sqlite),
            Ok(other) => Err(StoreError::Engine(other.to_owned())),
        }
    }

    /// Starts what all runs on this engine share, so that it is known whether there can be any.
    ///
    /// # Errors
    ///
    /// If there is no PostgreSQL server, and none can be started.
    pub fn prepare(self) -> Result<(), StoreError> {
        match self {
            Engine::Sqlite => Ok(()),
            Engine::Postgres => Ok(Cluster::take().map(drop)?),
        }
    }

    /// `sqlite` or `postgres`.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }
}

/// Why a run could not be given its databases.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The environment variable names no engine.
    #[error(
        "{DATABASE_VARIABLE} is `{0}`: expected `sqlite` or `postgres`; STORMGLASS_POSTGRES names a server"
    )]
    Engine(String),
    /// A schema could not be applied.
    #[error("failed to apply the schema of database `{database}` on sqlite: {source}")]
    Schema {
        /// The database's name in the system's description.
        database: String,
        /// What the driver said.
        source: stormglass_sqlite::ReadError,
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
}

impl<S: Into<String>> From<S> for Schema {
    fn from(script: S) -> Self {
        Schema::new(script)
    }
}

/// The databases of one run.
pub(crate) struct Store {
    /// Where services reach each of them.
    urls: BTreeMap<Arc<str>, String>,
    files: BTreeMap<Arc<str>, PathBuf>,
    _logs: LogsInMemory,
    /// Removed with everything in it when the run is over.
    folder: Scratch,
    servers: BTreeMap<Arc<str>, Vec<stormglass_postgres::Database>>,
}

impl Store {
    /// Creates every database: those in `servers` on the PostgreSQL server of that host, the others as SQLite files.
    pub(crate) fn create(
        databases: &[Database],
        servers: &BTreeMap<Arc<str>, Arc<str>>,
    ) -> Result<Self, StoreError> {
        let folder = Scratch::create()?;
        let mut store = Store {
            urls: BTreeMap::new(),
            files: BTreeMap::new(),
            _logs: keep_logs_in_memory(folder.path())?,
            folder,
            servers: BTreeMap::new(),
        };
        for own in databases {
            match servers.get(&own.name) {
                Some(host) => store.add_to_server(own, host)?,
                None => store.add_file(own)?,
            }
        }
        Ok(store)
    }

    fn add_file(&mut self, own: &Database) -> Result<(), StoreError> {
        let template = template(&own.name, own.schema.sqlite())?;
        let path = self.folder.path().join(format!("{}.db", own.name));
        std::fs::write(&path, &*template)?;
        self.urls.insert(own.name.clone(), sqlite_url(&path));
        self.files.insert(own.name.clone(), path);
        Ok(())
    }

    fn add_to_server(&mut self, own: &Database, host: &Arc<str>) -> Result<(), StoreError> {
        let database = Cluster::take()?.database(&own.name, own.schema.of_postgres())?;
        let url = format!("postgres://stormglass@{host}/{}", own.name);
        self.urls.insert(own.name.clone(), url);
        self.servers.entry(host.clone()).or_default().push(database);
        Ok(())
    }

    /// The databases of each PostgreSQL server, by its host.
    pub(crate) fn servers(&self) -> &BTreeMap<Arc<str>, Vec<stormglass_postgres::Database>> {
        &self.servers
    }

    /// The addresses by which services reach the databases.
    pub(crate) fn urls_of_services(&self) -> BTreeMap<Arc<str>, String> {
        self.urls.clone()
    }

    /// The folder of the run's files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A look into a database that the store has.
    pub(crate) fn observer(&self, name: &Arc<str>) -> Result<Observer, ReadError> {
        if let Some(path) = self.files.get(name) {
            let mut reader = Reader::open(path)?;
            reader.abandons_log();
            return Ok(Observer::Sqlite(reader));
        }
        let mut on_servers = self.servers.values().flatten();
        let own = on_servers.find(|own| *own.name() == **name);
        let own = own.ok_or_else(|| ReadError::NoDatabase(name.to_string()))?;
        Ok(Observer::Postgres(own.observer()?))
    }
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
    let apply = || {
        let mut reader = Reader::open(&path)?;
        let script = format!("PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL; {script}");
        reader.execute(&script)
    };
    apply().map_err(|source| StoreError::Schema {
        database: name.to_owned(),
        source,
    })?;
    let bytes = Arc::new(std::fs::read(&path)?);
    templates.insert(script.to_owned(), bytes.clone());
    Ok(bytes)
}
