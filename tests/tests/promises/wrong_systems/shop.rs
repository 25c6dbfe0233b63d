//! A shop with an outbox that is right: `orders` takes commands, `relay` publishes, `billing` writes invoices.
//!
//! A mistake replaces the relay or the billing. The order of one customer's events is kept, none is lost, and
//! each is billed once.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::{Convergence, EffectOnce, EntityOrder, Log, NoGhostEvent, NoLostEvent};
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, Delivery, EVENT_ID, Group, Machine, Message, PublishError, System};
use tokio::time::sleep;

use super::Outcome;
use crate::clock::now_ms;
use crate::pool;

/// The tables of `orders`; the columns of the outbox are those that relays in the field have.
const SHOP: &str = "
    CREATE TABLE handled (command TEXT PRIMARY KEY);
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        customer TEXT NOT NULL,
        written_at_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_try_at_ms INTEGER NOT NULL DEFAULT 0,
        is_sent INTEGER NOT NULL DEFAULT 0);";
const BILLING: &str = "
    CREATE TABLE processed (id TEXT PRIMARY KEY);
    CREATE TABLE invoices (number INTEGER PRIMARY KEY, id TEXT NOT NULL, customer TEXT NOT NULL);";

/// Takes orders: the command's mark and the outbox row in one transaction.
pub(super) async fn orders(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let mut commands = Broker::connect().subscribe("orders", &["commands"]).await?;
    loop {
        let command = commands.next().await?;
        let written_at_ms = now_ms();
        let id = command.message().event_id().unwrap_or_default();
        let mut transaction = shop.begin().await?;
        let first = sqlx::query("INSERT INTO handled VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 1 {
            sqlx::query("INSERT INTO outbox (id, customer, written_at_ms) VALUES ($1, $2, $3)")
                .bind(format!("placed-{id}"))
                .bind(&command.message().key)
                .bind(written_at_ms)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        command.ack().await?;
    }
}

/// A row of the outbox: number, event id and customer.
pub(super) type Row = (i64, String, String);

/// Publishes what was not sent, oldest first, and stops at the first failure.
pub(super) async fn relay(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let broker = Broker::connect();
    loop {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT number, id, customer FROM outbox WHERE is_sent = 0 ORDER BY number",
        )
        .fetch_all(&shop)
        .await?;
        for row in &rows {
            publish(&broker, row).await?;
            mark_sent(&shop, row).await?;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Publishes one row of the outbox.
pub(super) async fn publish(broker: &Broker, (_, id, customer): &Row) -> Result<(), PublishError> {
    let event = Message::new("orders", customer, "").header(EVENT_ID, id);
    broker.publish(event).await.map(drop)
}

/// Notes that a row of the outbox was sent.
pub(super) async fn mark_sent(shop: &SqlitePool, row: &Row) -> sqlx::Result<()> {
    sqlx::query("UPDATE outbox SET is_sent = 1 WHERE number = $1")
        .bind(row.0)
        .execute(shop)
        .await
        .map(drop)
}

/// Writes an invoice for each order, once.
pub(super) async fn billing(machine: Machine) -> Outcome {
    let billing = pool::connect(machine.url("billing")).await?;
    let mut orders = Broker::connect().subscribe("billing", &["orders"]).await?;
    loop {
        let order = orders.next().await?;
        bill(&billing, &order).await?;
        order.ack().await?;
    }
}

/// The invoice and the mark of one order, in one transaction.
pub(super) async fn bill(billing: &SqlitePool, order: &Delivery) -> sqlx::Result<()> {
    let mut transaction = billing.begin().await?;
    let first = sqlx::query("INSERT INTO processed VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(order.message().event_id())
        .execute(&mut *transaction)
        .await?;
    if first.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query("INSERT INTO invoices (id, customer) VALUES ($1, $2)")
        .bind(order.message().event_id())
        .bind(&order.message().key)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// The shop without its relay and its billing, which the caller adds as hosts `relay` and `billing`.
pub(super) fn shop(name: &str) -> System {
    let written = Probe::announced(
        "SELECT number AS position, id AS event_id, customer AS entity, 'orders' AS topic
         FROM outbox WHERE number > $1 ORDER BY number",
    );
    let handled = Probe::applied("SELECT command AS event_id FROM handled");
    let invoiced = Probe::applied(
        "SELECT number AS position, id AS event_id, customer AS entity FROM invoices
         WHERE number > $1 ORDER BY number",
    );
    System::new(name)
        .topic("commands", 2)
        .topic("orders", 2)
        .group(Group::new("orders", &["commands"]))
        .group(Group::new("billing", &["orders"]))
        .database(
            Database::new("shop", SHOP)
                .probe(handled.by("orders"))
                .probe(written),
        )
        .database(Database::new("billing", BILLING).probe(invoiced.by("billing")))
        .host("orders", orders)
        .operations(
            || (any::<u32>(), 0..3_u8),
            |(number, customer): (u32, u8)| async move {
                let command = Message::new("commands", &format!("customer-{customer}"), "")
                    .header(EVENT_ID, &format!("order-{number}"));
                Broker::connect().publish(command).await.map(drop)
            },
        )
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 3_000,
            ..Load::default()
        })
        .property(NoLostEvent)
        .property(NoGhostEvent::default())
        .property(EffectOnce)
        .property(EntityOrder)
        .property(Convergence)
        .property(Log)
}
