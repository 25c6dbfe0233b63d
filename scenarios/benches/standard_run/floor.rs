//! The floor: the same shop on the real machine, without a simulation.
//!
//! The same code makes the same statements on sqlx's pools over SQLite files; its messages go through tokio's channels, and
//! requests and third parties are function calls. It has the orders of a plan at their times and none of its faults, and
//! ends when every order is settled.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reference_system::correlation::Correlation;
use reference_system::order::{OrderDesk, Orders, PlaceOrder};
use reference_system::ports::broker::InProcessBroker;
use reference_system::ports::card_processor::SandboxCardProcessor;
use reference_system::ports::mailer::LoggingMailer;
use reference_system::relay::Relay;
use reference_system::{
    Database, Engine, Environment, Shutdown, inventory, migrate, notification, order, payment,
    shipping,
};
use scenarios::deploy::ARTICLES;
use scenarios::workload::Operation;
use stormglass::plan::Plan;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How often an order's state is asked for.
const GLANCE: Duration = Duration::from_millis(50);
/// States that an order does not leave.
const SETTLED: [&str; 2] = ["shipped", "cancelled"];

/// The orders that the customers of a plan place, and when.
pub(crate) fn orders(plan: &Plan) -> Vec<(Duration, PlaceOrder)> {
    let placed = plan.workload.iter().filter_map(|planned| {
        let at = Duration::from_millis(planned.at_ms);
        let operation = serde_json::from_value(planned.operation.clone());
        match operation.expect("an operation of the shop") {
            Operation::Place {
                customer,
                card,
                address,
                sku,
                quantity,
                unit_price_cents,
                idempotency_key,
                ..
            } => {
                let order = PlaceOrder {
                    customer,
                    card,
                    address,
                    sku,
                    quantity,
                    unit_price_cents,
                    discount_cents: 0,
                    idempotency_key: Some(idempotency_key),
                };
                Some((at, order))
            }
            _ => None,
        }
    });
    placed.collect()
}

/// Takes the orders and settles them.
pub(crate) fn shop(orders: &[(Duration, PlaceOrder)]) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder for the databases");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let settled = runtime.block_on(settle(folder.path(), orders));
    settled.expect("a shop that works");
}

async fn settle(
    folder: &Path,
    orders: &[(Duration, PlaceOrder)],
) -> Result<(), Box<dyn std::error::Error>> {
    let order = open(folder, "order", order::schema).await?;
    let stock = open(folder, "inventory", inventory::schema).await?;
    let payments = open(folder, "payment", payment::schema).await?;
    let shipments = open(folder, "shipping", shipping::schema).await?;
    let notices = open(folder, "notification", notification::schema).await?;
    for (sku, count) in ARTICLES {
        inventory::restock(&stock, sku, u32::try_from(count)?).await?;
    }
    let broker = Arc::new(InProcessBroker::new());
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let shutdown = Shutdown::when(async move {
        let _ = stopping.await;
    });
    let with = |database: &Database| Environment {
        shutdown: shutdown.clone(),
        ..Environment::new(database.clone(), broker.clone())
    };
    let mut services = JoinSet::new();
    services.spawn(order::consumer(with(&order)));
    services.spawn(inventory::consumer(with(&stock)));
    let processor = Arc::new(SandboxCardProcessor::default());
    services.spawn(payment::consumer(with(&payments), processor));
    services.spawn(shipping::consumer(with(&shipments)));
    let mailer = Arc::new(LoggingMailer::default());
    services.spawn(notification::consumer(with(&notices), mailer));
    let outboxes = [&order, &stock, &payments, &shipments].map(Clone::clone);
    let relay = Relay {
        shutdown: shutdown.clone(),
        ..Relay::new("relay", outboxes.into(), broker.clone())
    };
    services.spawn(relay.run());
    let desk = OrderDesk::new(with(&order));
    let begun = Instant::now();
    let mut placed = Vec::new();
    for (at, order) in orders {
        sleep_until(begun + *at).await;
        let order = desk.place(order.clone(), Correlation::at_ingress(None));
        placed.push(order.await?);
    }
    while let Some(id) = placed.last() {
        let state = desk.find(id).await?.map(|order| order.state);
        match state {
            Some(state) if SETTLED.contains(&&*state) => drop(placed.pop()),
            _ => sleep(GLANCE).await,
        }
    }
    drop(stop);
    while services.join_next().await.is_some() {}
    Ok(())
}

async fn open(
    folder: &Path,
    name: &str,
    schema: fn(Engine) -> &'static str,
) -> sqlx::Result<Database> {
    let file = folder.join(name);
    let database = Database::connect(&format!("sqlite:{}?mode=rwc", file.display())).await?;
    migrate(&database, schema(database.engine())).await?;
    Ok(database)
}
