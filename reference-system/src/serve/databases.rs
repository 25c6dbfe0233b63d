//! The databases of the services: SQLite files in a folder, or schemas in a PostgreSQL database.
//!
//! Opening them brings their tables in, and into stock what is new; doing so again changes nothing.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reference_system::{
    Database, Engine, inventory, migrate, notification, order, payment, registry, shipping,
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

/// Who has a database.
const SERVICES: [&str; 6] = [
    "order",
    "inventory",
    "payment",
    "shipping",
    "notification",
    "registry",
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
        let Arguments { publish, stock, .. } = arguments;
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
        let databases = Self::connect(url, publish, Some(Arc::new(lock))).await?;
        databases.prepare(stock).await?;
        Ok(databases)
    }

    /// Schemas in the database at `url`.
    async fn schemas(url: &str, arguments: &Arguments) -> Result<Self, ServeError> {
        let Arguments { publish, stock, .. } = arguments;
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
        let databases = Self::connect(into, publish, None).await?;
        let mut tx = connection.begin().await.map_err(unusable)?;
        sqlx::query(PREPARING)
            .execute(&mut *tx)
            .await
            .map_err(unusable)?;
        databases.prepare(stock).await?;
        tx.rollback().await.map_err(unusable)?;
        connection.close().await.map_err(unusable)?;
        Ok(databases)
    }

    async fn connect(
        url: impl Fn(&str) -> String,
        publish: &Publish,
        folder: Option<Arc<File>>,
    ) -> Result<Self, ServeError> {
        let connect = async |service: &str| {
            let database = Database::connect(&url(service)).await;
            database.map_err(|error| ServeError::Database(format!(" of {service}"), error))
        };
        if *publish == Publish::InProcess {
            let shop = connect(MONOLITH).await?;
            return Ok(Self {
                order: shop.clone(),
                inventory: shop.clone(),
                payment: shop.clone(),
                shipping: shop.clone(),
                notification: shop,
                registry: connect("registry").await?,
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
            _folder: folder,
        })
    }

    /// Brings tables and articles in.
    async fn prepare(&self, stock: &[Article]) -> Result<(), ServeError> {
        let schemas: [fn(Engine) -> &'static str; 5] = [
            order::schema,
            inventory::schema,
            payment::schema,
            shipping::schema,
            notification::schema,
        ];
        for ((service, database), schema) in self.by_name().into_iter().zip(schemas) {
            let migrated = migrate(database, schema(database.engine())).await;
            migrated.map_err(|error| ServeError::Database(format!(" of {service}"), error))?;
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
    pub(super) fn by_name(&self) -> [(&'static str, &Database); 5] {
        [
            ("order", &self.order),
            ("inventory", &self.inventory),
            ("payment", &self.payment),
            ("shipping", &self.shipping),
            ("notification", &self.notification),
        ]
    }

    /// That of a service; the order service's for any name that is none.
    pub(super) fn of(&self, service: &str) -> &Database {
        let mut all = self.by_name().into_iter();
        let own = all.find(|(name, _)| *name == service);
        own.map_or(&self.order, |(_, database)| database)
    }

    /// Closes them all.
    pub(super) async fn close(&self) {
        for (_, database) in self.by_name() {
            database.close().await;
        }
        self.registry.close().await;
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
