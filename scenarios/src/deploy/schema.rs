//! The databases as the harness sees them: their tables, what their journals say, and the state that
//! is left when a run is over.
//!
//! A probe reads what a service committed, never what it says about itself.

use reference_system::authorisation::by_events;
use reference_system::saga::{deadlines, orchestration};
use reference_system::webhook::receiver;
use reference_system::{
    Engine, analytics, inventory, notification, order, payment, registry, search, shipping, sms,
    webhook,
};
use stormglass::database::{Database, Probe, Schema};

use super::{CUSTOMERS, Rollout};

/// What is in stock when a run begins: articles, and how many of each. Little of the last ones, so
/// that some orders are turned away.
pub const ARTICLES: [(&str, i64); 4] = [("tea", 40), ("cup", 12), ("kettle", 5), ("samovar", 2)];

/// Names of the views of the final state. Each is a table of the service, or a part of it.
pub mod view {
    /// `orders`: `id`, `customer`, `address`, `sku`, `quantity`, `dispatched`, `unit_price_cents`,
    /// `state`.
    pub const ORDERS: &str = "orders";
    /// `discounts`: `id` of an order and `discount_cents`, where a voucher takes something off. Only where releases differ.
    pub const DISCOUNTS: &str = "discounts";
    /// `registrations`: `subject`, `version` and `outcome` of what the schema registry was asked for.
    pub const REGISTRATIONS: &str = "registrations";
    /// `requests`: `idempotency_key`, `order_id`.
    pub const REQUESTS: &str = "requests";
    /// `stock`: `sku`, `free`, `reserved`, `shipped`.
    pub const STOCK: &str = "stock";
    /// `reservations`: `order_id`, `sku`, `quantity`, `state`.
    pub const RESERVATIONS: &str = "reservations";
    /// `payments`: `order_id`, `amount_cents`, `state`.
    pub const PAYMENTS: &str = "payments";
    /// `shipments`: `order_id`, `sku`, `quantity` as far as it was dispatched.
    pub const SHIPMENTS: &str = "shipments";
    /// `parcels`: `order_id`, `parcel`, `pieces`, `address`.
    pub const PARCELS: &str = "parcels";
    /// `notifications`: `order_id`, `stage`, `subject`.
    pub const NOTIFICATIONS: &str = "notifications";
    /// `tracked_orders` of the analytics service: `order_id`, `sku`, `quantity`.
    pub const TRACKED_ORDERS: &str = "tracked_orders";
    /// `found_orders` of the search service: `order_id`, `state`, `address`.
    pub const FOUND_ORDERS: &str = "found_orders";
}

/// Announcements: rows of the journal that an event announces. Customers begin flows, with orders; an
/// order is also cancelled because of an event.
const ANNOUNCED: &str = "SELECT position, event_id, entity, topic, event_type, correlation_id, cause_id, \
         cause_id IS NULL AND event_type IN ('order.placed', 'order.cancelled', 'order.readdressed') AS is_root \
     FROM journal WHERE event_id IS NOT NULL AND position > $1 ORDER BY position";

/// Effects: rows of the journal that an event caused.
const APPLIED: &str = "SELECT position, cause_id AS event_id, entity, effect, correlation_id \
     FROM journal WHERE cause_id IS NOT NULL AND position > $1 ORDER BY position";

/// Audit entries of events that came too late.
const DISCARDED: &str = "SELECT event_id, entity, reason AS effect, correlation_id \
     FROM processed_events WHERE outcome = 'discarded' ORDER BY event_id";

/// Events that the relay has put aside. The key of an event is its entity.
const WITHHELD: &str = "SELECT event_id, partition_key AS entity, withheld AS reason \
     FROM outbox WHERE withheld IS NOT NULL ORDER BY position";

/// Webhooks that the partner has taken.
const RECEIVED: &str = "SELECT position, message_id AS event_id, entity, event_type AS effect, correlation_id \
     FROM received WHERE position > $1 ORDER BY position";

/// Who takes the shop's webhooks, as the history names it.
pub(crate) const PARTNER: &str = "partner";

/// Every order.
const ORDERS: &str = "SELECT id, customer, address, sku, quantity, dispatched, unit_price_cents, state \
     FROM orders ORDER BY id";

/// Every idempotency key.
const REQUESTS: &str = "SELECT idempotency_key, order_id FROM requests ORDER BY idempotency_key";

/// The one database of a monolith, whose effects are not told apart by service.
pub(super) fn monolith(name: &str, articles: &[(&str, i64)]) -> Database {
    let stock = stock(articles);
    let script = |engine| reference_system::monolith::schemas(engine).concat() + &stock;
    let schema = Schema::new(script(Engine::Sqlite)).postgres(script(Engine::Postgres));
    Database::new(name, schema).view(view::ORDERS, ORDERS)
}

/// The database of every service.
pub(super) fn databases(articles: &[(&str, i64)]) -> [Database; 5] {
    [
        database("order", order::schema, "")
            .view(view::ORDERS, ORDERS)
            .view(view::REQUESTS, REQUESTS),
        database("inventory", inventory::schema, &stock(articles))
            .view(
                view::STOCK,
                "SELECT sku, free, reserved, shipped FROM stock ORDER BY sku",
            )
            .view(
                view::RESERVATIONS,
                "SELECT order_id, sku, quantity, state FROM reservations ORDER BY order_id, sku",
            ),
        database("payment", payment::schema, "").view(
            view::PAYMENTS,
            "SELECT order_id, amount_cents, state FROM payments ORDER BY order_id",
        ),
        database("shipping", shipping::schema, "")
            .view(
                view::SHIPMENTS,
                "SELECT order_id, sku, dispatched AS quantity FROM shipments ORDER BY order_id",
            )
            .view(
                view::PARCELS,
                "SELECT order_id, parcel, pieces, address FROM parcels ORDER BY order_id, parcel",
            ),
        database("notification", notification::schema, "").view(
            view::NOTIFICATIONS,
            "SELECT order_id, stage, subject FROM notifications ORDER BY position",
        ),
    ]
}

/// The same where the order service keeps the deadlines of its orders' steps.
pub(super) fn databases_with_deadlines(articles: &[(&str, i64)]) -> Vec<Database> {
    let mut databases = databases(articles).to_vec();
    if let [order, ..] = &mut databases[..] {
        let script = |engine| [order::schema(engine), deadlines::schema(engine)].concat();
        *order = timed("order", script)
            .view(view::ORDERS, ORDERS)
            .view(view::REQUESTS, REQUESTS);
    }
    databases
}

/// The database of the analytics service.
pub(super) fn of_analytics() -> Database {
    database("analytics", analytics::schema, "").view(
        view::TRACKED_ORDERS,
        "SELECT order_id, sku, quantity FROM tracked_orders ORDER BY order_id",
    )
}

/// The database of the customers' service, with these customers, who may order.
pub(super) fn of_customers(known: &[String]) -> Database {
    let rows = known.iter().map(|id| format!("('{id}', '{id}', 1)"));
    let rows: Vec<String> = rows.collect();
    let insert = format!(
        "INSERT INTO customers (id, name, may_order) VALUES {};",
        rows.join(", ")
    );
    let script = |engine| by_events::schema(engine).to_owned() + &insert;
    let schema = Schema::new(script(Engine::Sqlite)).postgres(script(Engine::Postgres));
    Database::new(CUSTOMERS, schema)
        .probe(Probe::announced(ANNOUNCED))
        .probe(Probe::applied(APPLIED).by(CUSTOMERS))
}

/// The database of the saga's orchestrator.
pub(super) fn of_orchestrator() -> Database {
    timed("saga", |engine| orchestration::scripts(engine).concat())
}

/// A database with deadlines: each is owed an answer or its end. What is done about one that has passed names the event that has begun
/// the step, and is no effect of it.
fn timed(name: &str, script: impl Fn(Engine) -> String) -> Database {
    let schema = Schema::new(script(Engine::Sqlite)).postgres(script(Engine::Postgres));
    Database::new(name, schema)
        .probe(Probe::announced(ANNOUNCED))
        .probe(Probe::applied(APPLIED_TO_EVENTS).by(name))
        .probe(Probe::discarded(DISCARDED).by(name))
        .probe(Probe::withheld(WITHHELD))
        .owes(
            "deadlines",
            "SELECT order_id, step FROM deadlines ORDER BY order_id",
        )
}

/// [`APPLIED`] without what was done because time had passed.
const APPLIED_TO_EVENTS: &str = "SELECT position, cause_id AS event_id, entity, effect, correlation_id \
     FROM journal WHERE cause_id IS NOT NULL AND effect NOT LIKE '% timed out' AND position > $1 ORDER BY position";

/// The databases of the services that came later, and of the partner.
pub(super) fn of_neighbours() -> [Database; 4] {
    let partner = |engine| receiver::schema(engine).to_owned();
    let partner = Schema::new(partner(Engine::Sqlite)).postgres(partner(Engine::Postgres));
    [
        database("search", search::schema, "").view(
            view::FOUND_ORDERS,
            "SELECT order_id, state, address FROM found_orders ORDER BY order_id",
        ),
        database("sms", sms::schema, PHONES),
        database("webhook", webhook::schema, "").owes(
            "webhooks",
            "SELECT event_id, attempts FROM deliveries WHERE state = 'due' ORDER BY position",
        ),
        Database::new("partner", partner).probe(Probe::applied(RECEIVED).by(PARTNER)),
    ]
}

/// Customers of the workload who have left a number; the others have none.
const PHONES: &str = "INSERT INTO phones (customer, phone) VALUES \
     ('ada@example.org', '+49 30 1'), ('cyd@example.org', '+49 30 2');";
/// The same where releases differ, with the schema registry's among them.
pub(super) fn databases_of_rollout(rollout: &Rollout, articles: &[(&str, i64)]) -> Vec<Database> {
    let mut databases = databases(articles).to_vec();
    if let [order, ..] = &mut databases[..] {
        *order = order.clone().view(
            view::DISCOUNTS,
            "SELECT id, discount_cents FROM orders WHERE discount_cents > 0 ORDER BY id",
        );
    }
    let mode = format!(
        "UPDATE settings SET compatibility = '{}';",
        rollout.compatibility
    );
    let script = |engine| format!("{}{mode}", registry::schema(engine));
    let schema = Schema::new(script(Engine::Sqlite)).postgres(script(Engine::Postgres));
    let registry = Database::new("registry", schema).view(view::REGISTRATIONS, REGISTRATIONS);
    databases.push(registry);
    databases
}

/// What the registry was asked for, and what it said.
const REGISTRATIONS: &str = "SELECT subject, CAST(version AS TEXT) AS version, 'registered' AS outcome FROM versions \
     UNION ALL SELECT subject, '' AS version, 'refused' AS outcome FROM refusals \
     ORDER BY 1, 2, 3";

fn database(name: &str, schema: fn(Engine) -> &'static str, rows: &str) -> Database {
    let script = |engine| format!("{}{rows}", schema(engine));
    let schema = Schema::new(script(Engine::Sqlite)).postgres(script(Engine::Postgres));
    Database::new(name, schema)
        .probe(Probe::announced(ANNOUNCED))
        .probe(Probe::applied(APPLIED).by(name))
        .probe(Probe::discarded(DISCARDED).by(name))
        .probe(Probe::withheld(WITHHELD))
}

/// The statement that fills the stock.
fn stock(articles: &[(&str, i64)]) -> String {
    let rows = articles.iter();
    let rows = rows.map(|(sku, free)| format!("('{sku}', {free}, 0, 0)"));
    let rows: Vec<String> = rows.collect();
    format!(
        "INSERT INTO stock (sku, free, reserved, shipped) VALUES {};",
        rows.join(", ")
    )
}
