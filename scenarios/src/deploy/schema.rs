//! The databases as the harness sees them: their tables, what their journals say, and the state that
//! is left when a run is over.
//!
//! A probe reads what a service committed, never what it says about itself.

use reference_system::webhook::receiver;
use reference_system::{
    Engine, inventory, notification, order, payment, search, shipping, sms, webhook,
};
use stormglass::database::{Database, Probe, Schema};

/// What is in stock when a run begins: articles, and how many of each. Little of the last ones, so
/// that some orders are turned away.
pub const ARTICLES: [(&str, i64); 4] = [("tea", 40), ("cup", 12), ("kettle", 5), ("samovar", 2)];

/// Names of the views of the final state. Each is a table of the service, or a part of it.
pub mod view {
    /// `orders`: `id`, `customer`, `address`, `sku`, `quantity`, `dispatched`, `unit_price_cents`,
    /// `state`.
    pub const ORDERS: &str = "orders";
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

/// Webhooks that the partner has taken.
const RECEIVED: &str = "SELECT position, message_id AS event_id, entity, event_type AS effect, correlation_id \
     FROM received WHERE position > $1 ORDER BY position";

/// Who takes the shop's webhooks, as the history names it.
pub(crate) const PARTNER: &str = "partner";

/// The database of every service.
pub(super) fn databases() -> [Database; 5] {
    [
        database("order", order::schema, "")
            .view(
                view::ORDERS,
                "SELECT id, customer, address, sku, quantity, dispatched, unit_price_cents, state \
                 FROM orders ORDER BY id",
            )
            .view(
                view::REQUESTS,
                "SELECT idempotency_key, order_id FROM requests ORDER BY idempotency_key",
            ),
        database("inventory", inventory::schema, &stock())
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
        database("webhook", webhook::schema, ""),
        Database::new("partner", partner).probe(Probe::applied(RECEIVED).by(PARTNER)),
    ]
}

/// Customers of the workload who have left a number; the others have none.
const PHONES: &str = "INSERT INTO phones (customer, phone) VALUES \
     ('ada@example.org', '+49 30 1'), ('cyd@example.org', '+49 30 2');";

fn database(name: &str, schema: fn(Engine) -> &'static str, rows: &str) -> Database {
    let script = |engine| format!("{}{rows}", schema(engine));
    let schema = Schema::new(script(Engine::Sqlite)).postgres(script(Engine::Postgres));
    Database::new(name, schema)
        .probe(Probe::announced(ANNOUNCED))
        .probe(Probe::applied(APPLIED).by(name))
        .probe(Probe::discarded(DISCARDED).by(name))
}

/// The statement that fills the stock.
fn stock() -> String {
    let rows = ARTICLES.map(|(sku, free)| format!("('{sku}', {free}, 0, 0)"));
    format!(
        "INSERT INTO stock (sku, free, reserved, shipped) VALUES {};",
        rows.join(", ")
    )
}
