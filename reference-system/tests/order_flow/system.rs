//! The deployment that the tests run: every service, the relay and the gateway in one process.
//!
//! Databases are SQLite in memory, or schemas on the PostgreSQL server that `DATABASE_URL` names.

pub(crate) mod faulty;
mod http;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reference_system::correlation::Correlation;
use reference_system::database::Database;
use reference_system::event::{Contract, Event, NewEvent};
use reference_system::identifiers::new_id;
use reference_system::order::OrderDesk;
use reference_system::ports::broker::{Broker, InProcessBroker};
use reference_system::ports::card_processor::SandboxCardProcessor;
use reference_system::ports::mailer::LoggingMailer;
use reference_system::relay::Relay;
use reference_system::retry::Backoff;
use reference_system::{
    Engine, Environment, Settings, Shutdown, Telemetry, gateway, inventory, migrate, notification,
    order, payment, shipping,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use tokio::net::TcpListener;

use faulty::FailingFirst;
pub(crate) use http::Http;

/// Everything, running.
pub(crate) struct System {
    pub(crate) http: Http,
    pub(crate) broker: InProcessBroker,
    pub(crate) processor: SandboxCardProcessor,
    pub(crate) mailer: LoggingMailer,
    pub(crate) orders: Database,
    pub(crate) inventory: Database,
    pub(crate) payments: Database,
    pub(crate) shipments: Database,
    pub(crate) notifications: Database,
}

impl System {
    /// Starts everything, with ten packets of tea in stock.
    pub(crate) async fn start() -> Self {
        Self::start_with_processor_failing(0).await
    }

    /// The same with a card processor that is unavailable for the first `failures` charges.
    pub(crate) async fn start_with_processor_failing(failures: u32) -> Self {
        let broker = InProcessBroker::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let system = Self {
            http: Http(listener.local_addr().unwrap()),
            broker: broker.clone(),
            processor: SandboxCardProcessor::default(),
            mailer: LoggingMailer::default(),
            orders: database(order::schema).await,
            inventory: database(inventory::schema).await,
            payments: database(payment::schema).await,
            shipments: database(shipping::schema).await,
            notifications: database(notification::schema).await,
        };
        inventory::restock(&system.inventory, "tea", 10)
            .await
            .unwrap();
        let with = |database: &Database| environment(database, &broker);
        let desk = Arc::new(OrderDesk::new(with(&system.orders)));
        tokio::spawn(gateway::serve(
            listener,
            desk,
            Telemetry::off(),
            Shutdown::never(),
        ));
        let processor = Arc::new(FailingFirst::new(system.processor.clone(), failures));
        spawn(order::consumer(with(&system.orders)));
        spawn(inventory::consumer(with(&system.inventory)));
        spawn(payment::consumer(with(&system.payments), processor));
        spawn(shipping::consumer(with(&system.shipments)));
        let notifications = with(&system.notifications);
        spawn(notification::consumer(
            notifications,
            Arc::new(system.mailer.clone()),
        ));
        let outboxes = [
            &system.orders,
            &system.inventory,
            &system.payments,
            &system.shipments,
        ];
        let outboxes = outboxes.map(Clone::clone).to_vec();
        spawn_relay("relay", outboxes, &broker);
        system
    }

    /// Places an order and gives its id.
    pub(crate) async fn place(&self, body: &Value) -> String {
        let placed = self.http.post("/orders", &[], body).await;
        assert_eq!(placed.status, 202, "{}", placed.json);
        placed.json["order_id"].as_str().unwrap().to_owned()
    }

    /// The order's state, as its customer sees it.
    pub(crate) async fn state(&self, id: &str) -> String {
        let order = self.http.get(&format!("/orders/{id}")).await;
        order.json["state"].as_str().unwrap().to_owned()
    }

    /// Waits until the order is in `state`, and gives it.
    pub(crate) async fn order_in_state(&self, id: &str, state: &str) -> Value {
        let reached = async || self.state(id).await == state;
        Patience::until(state, reached).await;
        self.http.get(&format!("/orders/{id}")).await.json
    }
}

/// Waiting for what will happen, but not for ever.
pub(crate) struct Patience;

impl Patience {
    /// Waits until `condition` holds.
    pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
        let wait = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "never happened: {what}");
    }
}

/// Settings with short waits.
pub(crate) fn fast() -> Settings {
    Settings {
        backoff: Backoff {
            initial: Duration::from_millis(1),
            cap: Duration::from_millis(10),
        },
        relay_poll: Duration::from_millis(2),
        ..Settings::default()
    }
}

/// A service's environment with short waits.
pub(crate) fn environment(
    database: &Database,
    broker: &(impl Broker + Clone + 'static),
) -> Environment {
    Environment {
        settings: fast(),
        ..Environment::new(database.clone(), Arc::new(broker.clone()))
    }
}

/// Runs a relay with short waits in the background.
pub(crate) fn spawn_relay(
    name: &str,
    databases: Vec<Database>,
    broker: &(impl Broker + Clone + 'static),
) {
    let relay = Relay {
        settings: fast(),
        ..Relay::new(name, databases, Arc::new(broker.clone()))
    };
    spawn(relay.run());
}

/// Runs a service in the background.
pub(crate) fn spawn(service: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(service);
}

/// The folder of the databases; what the last run has left there is gone. A database in memory would be gone with its
/// connection, which the pool may close.
fn databases() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("order_flow");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    &FOLDER
}

/// A new database with a service's tables.
pub(crate) async fn database(schema: fn(Engine) -> &'static str) -> Database {
    let url = match std::env::var("DATABASE_URL") {
        Ok(server) => new_schema(&server).await,
        Err(_) => {
            let file = databases().join(new_id().simple().to_string());
            format!("sqlite:{}?mode=rwc", file.display())
        }
    };
    let database = Database::connect(&url).await.unwrap();
    let script = schema(database.engine());
    migrate(&database, script).await.unwrap();
    // A service that starts again applies its script again.
    migrate(&database, script).await.unwrap();
    database
}

/// A schema of its own on the PostgreSQL server at this address, and the address that leads into it.
async fn new_schema(server: &str) -> String {
    let schema = format!("s_{}", new_id().simple());
    let database = Database::connect(server).await.unwrap();
    let mut tx = database.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    format!("{server}?options=-csearch_path%3D{schema}")
}

/// The first event of a new chain.
pub(crate) fn event<C: Contract>(entity: &str, data: C) -> Event {
    Correlation::at_ingress(None).event(NewEvent::new(entity, data))
}

/// The text columns of every row that `sql` selects.
pub(crate) async fn rows(database: &Database, sql: &'static str) -> Vec<Vec<String>> {
    let mut tx = database.begin().await.unwrap();
    let rows = sqlx::query(sql).fetch_all(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    let columns = |row: &sqlx::any::AnyRow| (0..row.len()).map(|i| row.get(i)).collect();
    rows.iter().map(columns).collect()
}

/// Free, reserved and shipped pieces of `sku`.
pub(crate) async fn stock(database: &Database, sku: &str) -> (i64, i64, i64) {
    let mut tx = database.begin().await.unwrap();
    let stock = sqlx::query_as("SELECT free, reserved, shipped FROM stock WHERE sku = $1")
        .bind(sku)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    stock
}

/// Executes one statement.
pub(crate) async fn execute(database: &Database, sql: &'static str) {
    let mut tx = database.begin().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Adds a good row under the key of the one row that is in the outbox.
pub(crate) async fn copy_outbox_row_with_new_id(database: &Database) {
    execute(
        database,
        "INSERT INTO outbox (event_id, topic, partition_key, headers, payload, sent, due_at_ms) \
         SELECT 'copy', topic, partition_key, '{}', payload, 0, due_at_ms FROM outbox",
    )
    .await;
}
