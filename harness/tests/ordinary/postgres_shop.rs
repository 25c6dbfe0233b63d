//! A shop of axum, `PgPool` and async-nats.

use std::fmt::Display;

use crate::services::postgres_shop::{self as shop, Billing, Config, NewOrder};
use proptest::prelude::*;
use stormglass::checker::{EffectOnce, NoLostEvent};
use stormglass::database::{Database, Probe};
use stormglass::{Group, System};
use uuid::Uuid;

fn order() -> impl Strategy<Value = NewOrder> {
    (any::<u128>(), "[a-c]", 1..5_u32).prop_map(|(id, article, quantity)| {
        let id = Uuid::from_u128(id);
        NewOrder {
            id,
            article,
            quantity,
        }
    })
}

async fn place(order: NewOrder) -> Result<(), impl Display> {
    let answer = reqwest::Client::new()
        .post("http://orders/orders")
        .json(&order);
    answer.send().await?.error_for_status().map(drop)
}

fn system(name: &str, billing: Billing) -> System {
    let config = move || Config {
        database: "postgres://shop/shop".to_owned(),
        nats: "nats://nats".to_owned(),
        billing,
    };
    let announced = "SELECT position, id AS event_id, id AS entity, subject AS topic FROM outbox \
                     WHERE position > $1 ORDER BY position";
    let billed = "SELECT number AS position, order_id AS event_id, order_id AS entity FROM invoices \
                  WHERE number > $1 ORDER BY number";
    let database = Database::new("shop", shop::SCHEMA)
        .probe(Probe::announced(announced))
        .probe(Probe::applied(billed).by("billing"));
    System::new(name)
        .postgres(database)
        .nats("nats")
        .host("orders", move |_| shop::orders(config()))
        .host("billing", move |_| shop::billing(config()))
        .group(Group::new("billing", &["orders.placed"]))
        .operations(order, place)
        .property(EffectOnce)
        .property(NoLostEvent)
}

pub(crate) fn right_system() -> System {
    system("shop on PostgreSQL", Billing::Once)
}

#[test]
fn every_order_is_billed_once() {
    right_system().check();
}

#[test]
fn billing_that_trusts_the_broker_is_found_out() {
    let found = system("naive shop on PostgreSQL", Billing::Naive).try_check();
    assert!(found.unwrap_err().to_string().contains("effect-once"));
}
