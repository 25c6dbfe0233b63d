//! An order's way from `placed` to `shipped` or `cancelled`, as the events of the other services drive it.
//!
//! The customer may cancel while the card is being charged. Then the charge comes too late for the order, and its money
//! is asked back: that is decided here, where both are known, and nowhere else.
//!
//! Every step is one conditional update: it locks the order's row, and refuses to put an older state over a newer one.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::event::contract::{
    CancelOrder, OrderCancelled, OrderConfirmed, PaymentCaptured, PaymentDeclined, RefundRequested,
    ShipmentDispatched, StockRejected, event_type, topic,
};
use crate::event::{Event, NewEvent};

/// The order service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct OrderLifecycle;

/// An order's row, as the steps look at it.
#[derive(sqlx::FromRow)]
struct Row {
    customer: String,
    address: String,
    sku: String,
    quantity: i64,
    unit_price_cents: i64,
    discount_cents: i64,
    state: String,
    version: i64,
}

#[async_trait]
impl Handler for OrderLifecycle {
    fn consumer(&self) -> &'static str {
        "order"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::INVENTORY, topic::PAYMENTS, topic::SHIPMENTS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
            event_type::STOCK_REJECTED,
            event_type::PAYMENT_CAPTURED,
            event_type::PAYMENT_DECLINED,
            event_type::SHIPMENT_DISPATCHED,
        ]
    }

    async fn prepare(&self, _: &Database, _: &Event) -> Result<Box<dyn Prepared>, Failure> {
        Ok(Box::new(*self))
    }
}

#[async_trait]
impl Prepared for OrderLifecycle {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        match event.event_type.as_str() {
            event_type::STOCK_REJECTED => {
                let StockRejected { reason, .. } = event.data()?;
                cancel(tx, event, reason).await
            }
            event_type::PAYMENT_DECLINED => {
                let PaymentDeclined { reason, .. } = event.data()?;
                cancel(tx, event, reason).await
            }
            event_type::CANCEL_ORDER => {
                let CancelOrder { reason } = event.data()?;
                cancel(tx, event, reason).await
            }
            event_type::PAYMENT_CAPTURED => confirm(tx, event).await,
            event_type::SHIPMENT_DISPATCHED => ship(tx, event).await,
            other => Err(Failure::Permanent(format!("`{other}` is not handled here"))),
        }
    }
}

async fn confirm(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let PaymentCaptured { amount_cents } = event.data()?;
    let confirmed = leave_placed(tx, event, "confirmed").await?;
    let order = find(tx, event).await?;
    let total_cents = order.quantity * order.unit_price_cents - order.discount_cents;
    if amount_cents != total_cents {
        let problem = format!("{amount_cents} cents were paid, the order costs {total_cents}");
        return Err(Failure::Permanent(problem));
    }
    if confirmed {
        let data = OrderConfirmed {
            customer: order.customer,
            address: order.address,
            version: order.version,
            sku: order.sku,
            quantity: order.quantity,
            total_cents,
        };
        return Ok(Effect::Applied {
            effect: "order confirmed",
            announces: Some(NewEvent::new(&event.entity, data)),
        });
    }
    if order.state != "cancelled" {
        return Ok(too_late(&order));
    }
    let data = RefundRequested {
        customer: order.customer,
        amount_cents,
    };
    Ok(Effect::Applied {
        effect: "refund requested",
        announces: Some(NewEvent::new(&event.entity, data)),
    })
}

async fn cancel(tx: &mut AnyConnection, event: &Event, reason: String) -> Result<Effect, Failure> {
    let cancelled = leave_placed(tx, event, "cancelled").await?;
    let order = find(tx, event).await?;
    if !cancelled {
        return Ok(too_late(&order));
    }
    let customer = order.customer;
    let data = OrderCancelled { customer, reason };
    Ok(Effect::Applied {
        effect: "order cancelled",
        announces: Some(NewEvent::new(&event.entity, data)),
    })
}

/// Counts a parcel; the last one ends the order.
async fn ship(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let parcel: ShipmentDispatched = event.data()?;
    let counted = sqlx::query(
        "UPDATE orders SET dispatched = quantity - $1, version = version + 1, \
         state = CASE WHEN $1 = 0 THEN 'shipped' ELSE state END \
         WHERE id = $2 AND state = 'confirmed' AND dispatched < quantity - $1",
    )
    .bind(parcel.left)
    .bind(&event.entity)
    .execute(&mut *tx)
    .await?;
    let order = find(tx, event).await?;
    if counted.rows_affected() == 0 {
        return Ok(too_late(&order));
    }
    let effect = match parcel.left {
        0 => "order shipped",
        _ => "parcel counted",
    };
    Ok(Effect::Applied {
        effect,
        announces: None,
    })
}

/// Takes the order from `placed` to `state`, and tells whether it was `placed`.
async fn leave_placed(
    tx: &mut AnyConnection,
    event: &Event,
    state: &'static str,
) -> sqlx::Result<bool> {
    let updated = sqlx::query(
        "UPDATE orders SET state = $1, version = version + 1 WHERE id = $2 AND state = 'placed'",
    )
    .bind(state)
    .bind(&event.entity)
    .execute(&mut *tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

async fn find(tx: &mut AnyConnection, event: &Event) -> Result<Row, Failure> {
    let row = sqlx::query_as(
        "SELECT customer, address, sku, quantity, unit_price_cents, discount_cents, state, version \
         FROM orders WHERE id = $1",
    )
    .bind(&event.entity)
    .fetch_optional(&mut *tx)
    .await?;
    row.ok_or_else(|| Failure::Permanent(format!("there is no order {}", event.entity)))
}

fn too_late(order: &Row) -> Effect {
    Effect::Discarded {
        reason: format!("order is {} already", order.state),
    }
}
