//! The inventory service: reserves stock for an order, gives it back when the order is cancelled, writes
//! off what is shipped.
//!
//! Free, reserved and shipped stock of an article add up to what was ever received; none of them is ever negative.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::contract::{
    OrderCancelled, OrderPlaced, ShipmentDispatched, StockRejected, StockReleased, StockReserved,
    event_type, topic,
};
use crate::event::{Event, NewEvent};
use crate::identifiers::new_id;
use crate::journal;
use crate::schema::{Engine, script};

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "inventory")
}

/// Keeps the stock until it has to stop.
pub async fn consumer(environment: Environment) {
    consumer::run(environment, Box::new(Stockkeeping)).await
}

/// Adds `quantity` pieces of `sku` to the free stock.
///
/// # Errors
/// When the database fails; the pieces may have been added if the commit's answer was lost.
pub async fn restock(database: &Database, sku: &str, quantity: u32) -> sqlx::Result<()> {
    receive(database, sku, quantity, ADD).await.map(drop)
}

/// Adds `quantity` pieces of `sku` to the free stock if the article is new, and tells whether it is.
///
/// # Errors
/// As [`restock`].
pub async fn introduce(database: &Database, sku: &str, quantity: u32) -> sqlx::Result<bool> {
    receive(database, sku, quantity, ADD_NEW).await
}

/// Adds pieces to what there is of an article.
const ADD: &str = "INSERT INTO stock (sku, free, reserved, shipped) VALUES ($1, $2, 0, 0) \
     ON CONFLICT (sku) DO UPDATE SET free = stock.free + excluded.free";
/// Adds pieces of an article that is not known yet.
const ADD_NEW: &str = "INSERT INTO stock (sku, free, reserved, shipped) VALUES ($1, $2, 0, 0) \
     ON CONFLICT (sku) DO NOTHING";

/// Executes one of the two statements, and tells whether it changed anything.
async fn receive(
    database: &Database,
    sku: &str,
    quantity: u32,
    add: &'static str,
) -> sqlx::Result<bool> {
    let mut tx = database.begin().await?;
    let received = sqlx::query(add)
        .bind(sku)
        .bind(i64::from(quantity))
        .execute(&mut *tx)
        .await?;
    if received.rows_affected() == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    let entry = journal::Entry {
        effect: "stock received",
        entity: sku,
        correlation_id: &new_id().to_string(),
        cause_id: None,
        announced_by: None,
    };
    journal::append(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// The inventory service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct Stockkeeping;

#[async_trait]
impl Handler for Stockkeeping {
    fn consumer(&self) -> &'static str {
        "inventory"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::SHIPMENTS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
            event_type::ORDER_PLACED,
            event_type::ORDER_CANCELLED,
            event_type::SHIPMENT_DISPATCHED,
        ]
    }

    async fn prepare(&self, _: &Database, _: &Event) -> Result<Box<dyn Prepared>, Failure> {
        Ok(Box::new(*self))
    }
}

#[async_trait]
impl Prepared for Stockkeeping {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        match event.event_type.as_str() {
            event_type::ORDER_PLACED => reserve(tx, event).await,
            event_type::ORDER_CANCELLED => release(tx, event).await,
            event_type::SHIPMENT_DISPATCHED => ship(tx, event).await,
            other => Err(Failure::Permanent(format!("`{other}` is not handled here"))),
        }
    }
}

/// Sets stock aside for a placed order, as far as there is enough of it.
async fn reserve(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let order: OrderPlaced = event.data()?;
    if order.quantity < 1 {
        let problem = format!("quantity {} cannot be reserved", order.quantity);
        return Err(Failure::Permanent(problem));
    }
    let total_cents = order.quantity.checked_mul(order.unit_price_cents);
    let amount_cents = total_cents.and_then(|total| total.checked_sub(order.discount_cents));
    let amount_cents = amount_cents.ok_or(Failure::Permanent("total is too large".to_owned()))?;
    let taken = sqlx::query(
        "UPDATE stock SET free = free - $1, reserved = reserved + $1 WHERE sku = $2 AND free >= $1",
    )
    .bind(order.quantity)
    .bind(&order.sku)
    .execute(&mut *tx)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(reject(event, order));
    }
    sqlx::query(
        "INSERT INTO reservations (order_id, sku, quantity, state) VALUES ($1, $2, $3, 'held') \
         ON CONFLICT (order_id, sku) \
         DO UPDATE SET quantity = reservations.quantity + excluded.quantity",
    )
    .bind(&event.entity)
    .bind(&order.sku)
    .bind(order.quantity)
    .execute(&mut *tx)
    .await?;
    let data = StockReserved {
        sku: order.sku,
        quantity: order.quantity,
        card: order.card,
        amount_cents,
    };
    Ok(Effect::Applied {
        effect: "stock reserved",
        announces: Some(NewEvent::new(&event.entity, data)),
    })
}

fn reject(event: &Event, order: OrderPlaced) -> Effect {
    let data = StockRejected {
        reason: format!("{} is out of stock", order.sku),
        sku: order.sku,
        quantity: order.quantity,
    };
    Effect::Applied {
        effect: "stock rejected",
        announces: Some(NewEvent::new(&event.entity, data)),
    }
}

/// The compensation: what was reserved for a cancelled order is free again.
async fn release(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let _: OrderCancelled = event.data()?;
    let released: Option<(String, i64)> = sqlx::query_as(
        "UPDATE reservations SET state = 'released' WHERE order_id = $1 AND state = 'held' \
         RETURNING sku, quantity",
    )
    .bind(&event.entity)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((sku, quantity)) = released else {
        let reason = "nothing is held for the order".to_owned();
        return Ok(Effect::Discarded { reason });
    };
    sqlx::query("UPDATE stock SET free = free + $1, reserved = reserved - $1 WHERE sku = $2")
        .bind(quantity)
        .bind(&sku)
        .execute(&mut *tx)
        .await?;
    let data = StockReleased { sku, quantity };
    Ok(Effect::Applied {
        effect: "stock released",
        announces: Some(NewEvent::new(&event.entity, data)),
    })
}

/// Writes one parcel off.
async fn ship(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let parcel: ShipmentDispatched = event.data()?;
    let noted = sqlx::query(
        "UPDATE reservations SET dispatched = quantity - $1, \
         state = CASE WHEN $1 = 0 THEN 'shipped' ELSE state END \
         WHERE order_id = $2 AND state = 'held' AND dispatched < quantity - $1",
    )
    .bind(parcel.left)
    .bind(&event.entity)
    .execute(&mut *tx)
    .await?;
    if noted.rows_affected() == 0 {
        let reason = "the parcel is written off already".to_owned();
        return Ok(Effect::Discarded { reason });
    }
    sqlx::query("UPDATE stock SET reserved = reserved - $1, shipped = shipped + $1 WHERE sku = $2")
        .bind(parcel.quantity)
        .bind(&parcel.sku)
        .execute(&mut *tx)
        .await?;
    Ok(Effect::Applied {
        effect: "stock shipped",
        announces: None,
    })
}
