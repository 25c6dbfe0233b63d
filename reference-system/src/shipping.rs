//! The shipping service: dispatches what is confirmed. Only the order service confirms, and only what is paid.

use std::convert::Infallible;

use crate::consumer::{self, Effect, Failure, Handler};
use crate::dependencies::Environment;
use crate::event::contract::{OrderConfirmed, ShipmentDispatched, event_type, topic};
use crate::event::{Event, NewEvent};
use crate::ports::{Database, Transaction};
use crate::schema::{Engine, script};

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "shipping")
}

/// Ships confirmed orders, for ever.
pub async fn consumer<E: Environment>(environment: E) -> Infallible {
    consumer::run(environment, Dispatching).await
}

/// The shipping service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct Dispatching;

impl Handler for Dispatching {
    type Prepared = ();

    fn consumer(&self) -> &'static str {
        "shipping"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ORDERS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[event_type::ORDER_CONFIRMED]
    }

    async fn prepare<D: Database>(&self, _: &D, _: &Event) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply<T: Transaction>(
        &self,
        tx: &mut T,
        event: &Event,
        (): (),
    ) -> Result<Effect, Failure> {
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
        .execute(tx.executor())
        .await?;
        let data = ShipmentDispatched {
            customer: order.customer,
            sku: order.sku,
            quantity: order.quantity,
        };
        Ok(Effect::Applied {
            effect: "shipment dispatched",
            announces: Some(NewEvent::new(&event.entity, data)),
        })
    }
}
