//! The shipping service: sends what is confirmed, parcel by parcel. Only the order service confirms, and only what is paid.
//!
//! A parcel that is dispatched is the cue for the next one of its order, so that between two parcels the order can
//! still get another address.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::contract::{
    OrderConfirmed, OrderReaddressed, ShipmentDispatched, event_type, topic,
};
use crate::event::{Event, NewEvent};
use crate::schema::{Engine, script};

/// How many pieces fit into one parcel.
pub const PARCEL_PIECES_MAX: i64 = 2;

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "shipping")
}

/// Ships confirmed orders until it has to stop.
pub async fn consumer(environment: Environment) {
    consumer::run(environment, Box::new(Dispatching)).await
}

/// The shipping service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct Dispatching;

#[async_trait]
impl Handler for Dispatching {
    fn consumer(&self) -> &'static str {
        "shipping"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::SHIPMENTS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
            event_type::ORDER_CONFIRMED,
            event_type::ORDER_READDRESSED,
            event_type::SHIPMENT_DISPATCHED,
        ]
    }

    async fn prepare(&self, _: &Database, _: &Event) -> Result<Box<dyn Prepared>, Failure> {
        Ok(Box::new(*self))
    }
}

#[async_trait]
impl Prepared for Dispatching {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        match event.event_type.as_str() {
            event_type::ORDER_CONFIRMED => begin(tx, event).await,
            event_type::ORDER_READDRESSED => readdress(tx, event).await,
            event_type::SHIPMENT_DISPATCHED => go_on(tx, event).await,
            other => Err(Failure::Permanent(format!("`{other}` is not handled here"))),
        }
    }
}

/// Takes a confirmed order on and dispatches its first parcel.
async fn begin(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let order: OrderConfirmed = event.data()?;
    sqlx::query(
        "INSERT INTO shipments (order_id, customer, sku, quantity) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (order_id) \
         DO UPDATE SET quantity = shipments.quantity + excluded.quantity",
    )
    .bind(&event.entity)
    .bind(&order.customer)
    .bind(&order.sku)
    .bind(order.quantity)
    .execute(&mut *tx)
    .await?;
    set_address(tx, event, &order.address, order.version).await?;
    dispatch(tx, event).await
}

/// Sends what is not on its way yet to another address.
async fn readdress(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let OrderReaddressed { address, version } = event.data()?;
    if !set_address(tx, event, &address, version).await? {
        let reason = "a newer address is known already".to_owned();
        return Ok(Effect::Discarded { reason });
    }
    Ok(Effect::Applied {
        effect: "address changed",
        announces: None,
    })
}

/// Dispatches the parcel that follows, or closes the shipment behind the last.
async fn go_on(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let ShipmentDispatched { left, .. } = event.data()?;
    if left > 0 {
        return dispatch(tx, event).await;
    }
    sqlx::query("UPDATE shipments SET closed = 1 WHERE order_id = $1")
        .bind(&event.entity)
        .execute(&mut *tx)
        .await?;
    Ok(Effect::Applied {
        effect: "shipment closed",
        announces: None,
    })
}

/// Takes the next parcel out of what is left of the order.
async fn dispatch(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let columns: Option<(String, String, i64, i64, i64)> = sqlx::query_as(
        "UPDATE shipments SET parcels = parcels + 1, \
         dispatched = CASE WHEN dispatched + $1 < quantity THEN dispatched + $1 ELSE quantity END \
         WHERE order_id = $2 AND dispatched < quantity \
         RETURNING customer, sku, parcels, quantity, dispatched",
    )
    .bind(PARCEL_PIECES_MAX)
    .bind(&event.entity)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((customer, sku, parcel, quantity, dispatched)) = columns else {
        let reason = "the whole order is on its way already".to_owned();
        return Ok(Effect::Discarded { reason });
    };
    let before = ((parcel - 1) * PARCEL_PIECES_MAX).min(dispatched);
    let data = ShipmentDispatched {
        customer,
        sku,
        parcel,
        quantity: dispatched - before,
        left: quantity - dispatched,
    };
    sqlx::query(
        "INSERT INTO parcels (order_id, parcel, pieces, address) \
         SELECT order_id, $2, $3, address FROM addresses WHERE order_id = $1",
    )
    .bind(&event.entity)
    .bind(parcel)
    .bind(data.quantity)
    .execute(&mut *tx)
    .await?;
    Ok(Effect::Applied {
        effect: "parcel dispatched",
        announces: Some(NewEvent::new(&event.entity, data)),
    })
}

/// Notes where the order goes, and tells whether that was news: an older version never replaces a newer one.
async fn set_address(
    tx: &mut AnyConnection,
    event: &Event,
    address: &str,
    version: i64,
) -> sqlx::Result<bool> {
    let set = sqlx::query(
        "INSERT INTO addresses (order_id, address, version) VALUES ($1, $2, $3) \
         ON CONFLICT (order_id) DO UPDATE SET address = excluded.address, version = excluded.version \
         WHERE addresses.version < excluded.version",
    )
    .bind(&event.entity)
    .bind(address)
    .bind(version)
    .execute(&mut *tx)
    .await?;
    Ok(set.rows_affected() == 1)
}
