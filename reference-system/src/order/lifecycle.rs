//! An order's way from `placed` to `shipped` or `cancelled`, as the events of the other services drive it.
//!
//! Every step is one conditional update: it locks the order's row, and refuses to put an older state over a newer one.

use crate::consumer::{Effect, Failure, Handler};
use crate::event::contract::{
    OrderCancelled, OrderConfirmed, PaymentCaptured, PaymentDeclined, ShipmentDispatched,
    StockRejected, event_type, topic,
};
use crate::event::{Event, NewEvent};
use crate::ports::{Database, Transaction};

/// The order service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct OrderLifecycle;

/// A change of an order's state.
struct Step {
    from: &'static str,
    to: &'static str,
}

const CONFIRM: Step = Step {
    from: "placed",
    to: "confirmed",
};
const CANCEL: Step = Step {
    from: "placed",
    to: "cancelled",
};
const SHIP: Step = Step {
    from: "confirmed",
    to: "shipped",
};

/// What the events say about an order.
struct Row {
    customer: String,
    sku: String,
    quantity: i64,
    unit_price_cents: i64,
}

impl Handler for OrderLifecycle {
    type Prepared = ();

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

    async fn prepare<D: Database>(&self, _: &D, _: &Event) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply<T: Transaction>(
        &self,
        tx: &mut T,
        event: &Event,
        (): (),
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
            event_type::PAYMENT_CAPTURED => confirm(tx, event).await,
            event_type::SHIPMENT_DISPATCHED => ship(tx, event).await,
            other => Err(Failure::Permanent(format!("`{other}` is not handled here"))),
        }
    }
}

async fn confirm<T: Transaction>(tx: &mut T, event: &Event) -> Result<Effect, Failure> {
    let PaymentCaptured { amount_cents } = event.data()?;
    let (too_late, order) = step(tx, event, CONFIRM).await?;
    let total_cents = order.quantity * order.unit_price_cents;
    if amount_cents != total_cents {
        let problem = format!("{amount_cents} cents were paid, the order costs {total_cents}");
        return Err(Failure::Permanent(problem));
    }
    let data = OrderConfirmed {
        customer: order.customer,
        sku: order.sku,
        quantity: order.quantity,
        total_cents,
    };
    let announces = Some(NewEvent::new(&event.entity, data));
    Ok(too_late.unwrap_or(Effect::Applied {
        effect: "order confirmed",
        announces,
    }))
}

async fn cancel<T: Transaction>(
    tx: &mut T,
    event: &Event,
    reason: String,
) -> Result<Effect, Failure> {
    let (too_late, order) = step(tx, event, CANCEL).await?;
    let customer = order.customer;
    let data = OrderCancelled { customer, reason };
    let announces = Some(NewEvent::new(&event.entity, data));
    Ok(too_late.unwrap_or(Effect::Applied {
        effect: "order cancelled",
        announces,
    }))
}

async fn ship<T: Transaction>(tx: &mut T, event: &Event) -> Result<Effect, Failure> {
    let _: ShipmentDispatched = event.data()?;
    let (too_late, _) = step(tx, event, SHIP).await?;
    Ok(too_late.unwrap_or(Effect::Applied {
        effect: "order shipped",
        announces: None,
    }))
}

/// Takes the step if the order is where it starts; otherwise says why the event is too late.
async fn step<T: Transaction>(
    tx: &mut T,
    event: &Event,
    step: Step,
) -> Result<(Option<Effect>, Row), Failure> {
    let updated = sqlx::query("UPDATE orders SET state = $1 WHERE id = $2 AND state = $3")
        .bind(step.to)
        .bind(&event.entity)
        .bind(step.from)
        .execute(tx.executor())
        .await?;
    let columns: Option<(String, String, i64, i64, String)> = sqlx::query_as(
        "SELECT customer, sku, quantity, unit_price_cents, state FROM orders WHERE id = $1",
    )
    .bind(&event.entity)
    .fetch_optional(tx.executor())
    .await?;
    let Some((customer, sku, quantity, unit_price_cents, state)) = columns else {
        let problem = format!("there is no order {}", event.entity);
        return Err(Failure::Permanent(problem));
    };
    let too_late = (updated.rows_affected() == 0).then(|| Effect::Discarded {
        reason: format!("order is {state} already"),
    });
    let order = Row {
        customer,
        sku,
        quantity,
        unit_price_cents,
    };
    Ok((too_late, order))
}
