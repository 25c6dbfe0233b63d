//! The databases of the services: SQLite files in a folder, or schemas in a PostgreSQL database.
//!
//! Opening them brings their tables in, and into stock what is new; doing so again changes nothing.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reference_system::saga::{deadlines, orchestration};
use reference_system::{
    Database, Engine, analytics, inventory, migrate, notification, order, payment, registry,
    search, shipping, sms, webhook,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tokio::time::timeout;

use super::ServeError;
use super::arguments::{Arguments, Article};
use super::publish::Publish;

/// How long a PostgreSQL server may take to answer at the start.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Taken by whoever prepares a PostgreSQL database, because two at once would get in each other's way.
const PREPARING: &str = "SELECT 1 FROM pg_advisory_xact_lock(7467)";

/// Who may have a database.
const SERVICES: [&str; 11] = [
    "order",
    "inventory",
    "payment",
    "shipping",
    "notification",
    "registry",
    "search",
    "sms",
    "webhook",
    "analytics",
    "saga",
];

/// The file in the folder that its only user has locked.
const LOCK: &str = "lock";

/// What the one database of a monolith is called.
const MONOLITH: &str = "shop";

/// The database of each service; in a monolith they are one.
#[derive(Clone)]
pub(super) struct Databases {
    pub(super) order: Database,
    pub(super) inventory: Database,
    pub(super) payment: Database,
    pub(super) shipping: Database,
    pub(super) notification: Database,
    /// The schema registry's.
    pub(super) registry: Database,
    /// Those of the neighbours that run, and of the saga's orchestrator where there is one.
    beside: BTreeMap<&'static str, Database>,
    /// Keeps other processes out of the folder.
    _folder: Option<Arc<File>>,
}

impl Databases {
    /// Opens them, with their tables.
    pub(super) async fn open(arguments: &Arguments) -> Result<Self, ServeError> {
        match &arguments.database {
            Some(url) => Self::schemas(url, arguments).await,
            None => Self::files(&arguments.data, arguments).await,
        }
    }

    /// Files in `folder`.
    async fn files(folder: &Path, arguments: &Arguments) -> Result<Self, ServeError> {
        let cannot = |problem: String| ServeError::Folder(folder.display().to_string(), problem);
        let io = |error: std::io::Error| cannot(error.to_string());
        std::fs::create_dir_all(folder).map_err(io)?;
        let whole = folder.canonicalize().map_err(io)?;
        let lock = File::create(whole.join(LOCK)).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => cannot("another process uses it".to_owned()),
            TryLockError::Error(error) => io(error),
        })?;
        let path = whole.to_str().map(escape);
        let path = path.ok_or_else(|| cannot("its name is not Unicode".to_owned()))?;
        let url = |service: &str| format!("sqlite://{path}/{service}.db?mode=rwc");
        let databases = Self::connect(url, arguments, Some(Arc::new(lock))).await?;
        databases.prepare(&arguments.stock).await?;
        Ok(databases)
    }

    /// Schemas in the database at `url`.
    async fn schemas(url: &str, arguments: &Arguments) -> Result<Self, ServeError> {
        sqlx::any::install_default_drivers();
        // A pool would keep trying where nobody answers.
        let connected = timeout(PATIENCE, AnyConnection::connect(url)).await;
        let connected = connected.map_err(|_| ServeError::NoAnswer)?;
        let mut connection = connected.map_err(unusable)?;
        let mut tx = connection.begin().await.map_err(unusable)?;
        sqlx::query(PREPARING)
            .execute(&mut *tx)
            .await
            .map_err(unusable)?;
        for service in SERVICES.into_iter().chain([MONOLITH]) {
            let create = format!("CREATE SCHEMA IF NOT EXISTS {}", schema_of(service));
            sqlx::query(AssertSqlSafe(create))
                .execute(&mut *tx)
                .await
                .map_err(unusable)?;
        }
        tx.commit().await.map_err(unusable)?;
        let separator = if url.contains('?') { '&' } else { '?' };
        let into = |service: &str| {
            let schema = schema_of(service);
            format!("{url}{separator}options=-csearch_path%3D{schema}")
        };
        let databases = Self::connect(into, arguments, None).await?;
        let mut tx = connection.begin().await.map_err(unusable)?;
        sqlx::query(PREPARING)
            .execute(&mut *tx)
            .await
            .map_err(unusable)?;
        databases.prepare(&arguments.stock).await?;
        tx.rollback().await.map_err(unusable)?;
        connection.close().await.map_err(unusable)?;
        Ok(databases)
    }

    async fn connect(
        url: impl Fn(&str) -> String,
        arguments: &Arguments,
        folder: Option<Arc<File>>,
    ) -> Result<Self, ServeError> {
        let connect = async |service: &str| {
            let database = Database::connect(&url(service)).await;
            database.map_err(|error| ServeError::Database(format!(" of {service}"), error))
        };
        let mut beside = BTreeMap::new();
        for name in arguments.beside() {
            beside.insert(name, connect(name).await?);
        }
        if arguments.publish == Publish::InProcess {
            let shop = connect(MONOLITH).await?;
            return Ok(Self {
                order: shop.clone(),
                inventory: shop.clone(),
                payment: shop.clone(),
                shipping: shop.clone(),
                notification: shop,
                registry: connect("registry").await?,
                beside,
                _folder: folder,
            });
        }
        Ok(Self {
            order: connect("order").await?,
            inventory: connect("inventory").await?,
            payment: connect("payment").await?,
            shipping: connect("shipping").await?,
            notification: connect("notification").await?,
            registry: connect("registry").await?,
            beside,
            _folder: folder,
        })
    }

    /// Brings tables and articles in.
    async fn prepare(&self, stock: &[Article]) -> Result<(), ServeError> {
        for (service, database) in self.by_name() {
            for script in scripts(service, database.engine()) {
                let migrated = migrate(database, script).await;
                migrated.map_err(|error| ServeError::Database(format!(" of {service}"), error))?;
            }
        }
        let registered = migrate(&self.registry, registry::schema(self.registry.engine())).await;
        registered.map_err(|error| ServeError::Database(" of registry".to_owned(), error))?;
        for Article { sku, quantity } in stock {
            let introduced = inventory::introduce(&self.inventory, sku, *quantity).await;
            if introduced.map_err(unusable)? {
                tracing::info!(sku, quantity, "put into stock");
            }
        }
        Ok(())
    }

    /// Each of them with the name of its service.
    pub(super) fn by_name(&self) -> impl Iterator<Item = (&'static str, &Database)> {
        let core = [
            ("order", &self.order),
            ("inventory", &self.inventory),
            ("payment", &self.payment),
            ("shipping", &self.shipping),
            ("notification", &self.notification),
        ];
        let beside = self.beside.iter().map(|(name, database)| (*name, database));
        core.into_iter().chain(beside)
    }

    /// That of a service, if it has one.
    pub(super) fn find(&self, service: &str) -> Option<&Database> {
        let own = self.by_name().find(|(name, _)| *name == service);
        own.map(|(_, database)| database)
    }

    /// The same; the order service's for any name that is none.
    pub(super) fn of(&self, service: &str) -> &Database {
        self.find(service).unwrap_or(&self.order)
    }

    /// Closes them all.
    pub(super) async fn close(&self) {
        for (_, database) in self.by_name() {
            database.close().await;
        }
        self.registry.close().await;
    }
}

/// The scripts that create the tables of a service. The order service's deadlines are there whether or not they are kept.
fn scripts(service: &str, engine: Engine) -> Vec<&'static str> {
    match service {
        "order" => vec![order::schema(engine), deadlines::schema(engine)],
        "inventory" => vec![inventory::schema(engine)],
        "payment" => vec![payment::schema(engine)],
        "shipping" => vec![shipping::schema(engine)],
        "search" => vec![search::schema(engine)],
        "sms" => vec![sms::schema(engine)],
        "webhook" => vec![webhook::schema(engine)],
        "analytics" => vec![analytics::schema(engine)],
        "saga" => orchestration::scripts(engine).to_vec(),
        _ => vec![notification::schema(engine)],
    }
}

/// The schema of a service.
fn schema_of(service: &str) -> String {
    format!("shop_{service}")
}

fn unusable(error: sqlx::Error) -> ServeError {
    ServeError::Database(String::new(), error)
}

/// The path as a part of an address.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}
