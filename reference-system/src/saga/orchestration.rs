//! The orchestrated saga: a process that knows every step, keeps how far each order has come, and asks each service in turn.
//!
//! It changes nobody's state but its own. Whether an order can still be confirmed or cancelled is for the order service to say,
//! which customers ask as well; so a charge that meets a cancelled order comes back as a request for its refund.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::contract::{
    CancelOrder, PaymentDeclined, ShipmentDispatched, StockRejected, event_type, topic,
};
use crate::event::{Event, NewEvent};
use crate::schema::{Engine, script};

use super::commands::command;
use super::deadlines::{self, Deadline};
use super::{Expiry, Limits, Step};

/// The scripts that create the service's tables.
#[must_use]
pub fn scripts(engine: Engine) -> [&'static str; 2] {
    [script!(engine, "saga"), deadlines::schema(engine)]
}

/// Drives sagas until it has to stop; a [`Timer`](super::Timer) belongs beside it.
pub async fn consumer(environment: Environment, limits: Limits) {
    consumer::run(environment, Box::new(Orchestrator(limits))).await
}

/// The orchestrator's consumer.
#[derive(Clone, Copy, Debug)]
pub struct Orchestrator(pub Limits);

/// How far a saga has come.
#[derive(Clone, Copy)]
enum State {
    /// Stock is asked for.
    Reserving,
    /// The card is to be charged.
    Charging,
    /// The money is there: the order is to be confirmed and shipped.
    Paid,
    /// The order is to be cancelled.
    Cancelling,
    /// It is, and what was done is being undone.
    Cancelled,
    /// It is on its way.
    Done,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Reserving => "reserving",
            Self::Charging => "charging",
            Self::Paid => "paid",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

#[async_trait]
impl Handler for Orchestrator {
    fn consumer(&self) -> &'static str {
        "saga"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[
            topic::ORDERS,
            topic::INVENTORY,
            topic::PAYMENTS,
            topic::SHIPMENTS,
        ]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
            event_type::ORDER_PLACED,
            event_type::ORDER_CONFIRMED,
            event_type::ORDER_CANCELLED,
            event_type::REFUND_REQUESTED,
            event_type::STOCK_RESERVED,
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
impl Prepared for Orchestrator {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        match event.event_type.as_str() {
            event_type::ORDER_PLACED => begin(tx, &self.0, event).await,
            event_type::STOCK_RESERVED => charge(tx, &self.0, event).await,
            event_type::PAYMENT_CAPTURED => confirm(tx, &self.0, event).await,
            event_type::ORDER_CONFIRMED => Ok(asked("shipment asked for", ship(event))),
            event_type::SHIPMENT_DISPATCHED => end(tx, event).await,
            event_type::STOCK_REJECTED => {
                let StockRejected { reason, .. } = event.data()?;
                give_up(tx, event, reason).await
            }
            event_type::PAYMENT_DECLINED => {
                let PaymentDeclined { reason, .. } = event.data()?;
                give_up(tx, event, reason).await
            }
            event_type::ORDER_CANCELLED => compensate(tx, event).await,
            event_type::REFUND_REQUESTED => Ok(asked(
                "refund asked for",
                command(event_type::REFUND_CARD, event),
            )),
            other => Err(Failure::Permanent(format!("`{other}` is not handled here"))),
        }
    }
}

async fn begin(tx: &mut AnyConnection, limits: &Limits, event: &Event) -> Result<Effect, Failure> {
    sqlx::query("INSERT INTO sagas (order_id, state) VALUES ($1, $2)")
        .bind(&event.entity)
        .bind(State::Reserving.name())
        .execute(&mut *tx)
        .await?;
    deadlines::begin(tx, limits, Step::Reservation, event).await?;
    Ok(asked(
        "reservation asked for",
        command(event_type::RESERVE_STOCK, event),
    ))
}

async fn charge(tx: &mut AnyConnection, limits: &Limits, event: &Event) -> Result<Effect, Failure> {
    if !go(tx, &event.entity, &[State::Reserving], State::Charging).await? {
        // The release has been asked for behind the reservation.
        return Ok(too_late());
    }
    deadlines::begin(tx, limits, Step::Charge, event).await?;
    Ok(asked(
        "charge asked for",
        command(event_type::CHARGE_CARD, event),
    ))
}

/// The money is there. Whether that was in time is for the order service to say: of an order that is cancelled it asks the refund.
async fn confirm(
    tx: &mut AnyConnection,
    limits: &Limits,
    event: &Event,
) -> Result<Effect, Failure> {
    if go(tx, &event.entity, &[State::Charging], State::Paid).await? {
        deadlines::begin(tx, limits, Step::Shipment, event).await?;
    }
    let confirm = command(event_type::CONFIRM_ORDER, event);
    Ok(asked("confirmation asked for", confirm))
}

fn ship(event: &Event) -> NewEvent {
    command(event_type::SHIP_ORDER, event)
}

async fn end(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let ShipmentDispatched { left, .. } = event.data()?;
    // An order that was to be cancelled may have been confirmed first.
    let from = [State::Paid, State::Cancelling];
    if left > 0 || !go(tx, &event.entity, &from, State::Done).await? {
        let reason = "the order is not on its way as a whole".to_owned();
        return Ok(Effect::Discarded { reason });
    }
    deadlines::end(tx, &event.entity).await?;
    Ok(Effect::Applied {
        effect: "saga ended",
        announces: None,
    })
}

/// A step was refused.
async fn give_up(tx: &mut AnyConnection, event: &Event, reason: String) -> Result<Effect, Failure> {
    let from = [State::Reserving, State::Charging];
    if !go(tx, &event.entity, &from, State::Cancelling).await? {
        return Ok(too_late());
    }
    deadlines::end(tx, &event.entity).await?;
    let cancel = NewEvent::new(&event.entity, CancelOrder { reason });
    Ok(asked("cancellation asked for", cancel))
}

/// The order is cancelled, whoever has asked for it.
async fn compensate(tx: &mut AnyConnection, event: &Event) -> Result<Effect, Failure> {
    let from = [
        State::Reserving,
        State::Charging,
        State::Paid,
        State::Cancelling,
    ];
    if !go(tx, &event.entity, &from, State::Cancelled).await? {
        return Ok(too_late());
    }
    deadlines::end(tx, &event.entity).await?;
    Ok(asked(
        "release asked for",
        command(event_type::RELEASE_STOCK, event),
    ))
}

#[async_trait]
impl Expiry for Orchestrator {
    async fn expire(&self, tx: &mut AnyConnection, deadline: &Deadline) -> sqlx::Result<Effect> {
        let (order_id, step) = (&deadline.order_id, deadline.step);
        let from = match step {
            Step::Reservation => State::Reserving,
            Step::Charge => State::Charging,
            Step::Shipment => {
                return Ok(Effect::Applied {
                    effect: "shipment timed out",
                    announces: None,
                });
            }
        };
        if !go(tx, order_id, &[from], State::Cancelling).await? {
            return Ok(too_late());
        }
        let reason = format!("its {} was not answered in time", step.name());
        Ok(Effect::Applied {
            effect: "order timed out",
            announces: Some(NewEvent::new(order_id, CancelOrder { reason })),
        })
    }
}

/// Takes the saga from one of these states to another, and tells whether it was in one of them.
async fn go(
    tx: &mut AnyConnection,
    order_id: &str,
    from: &[State],
    to: State,
) -> sqlx::Result<bool> {
    for state in from {
        let gone = sqlx::query("UPDATE sagas SET state = $1 WHERE order_id = $2 AND state = $3")
            .bind(to.name())
            .bind(order_id)
            .bind(state.name())
            .execute(&mut *tx)
            .await?;
        if gone.rows_affected() == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn asked(effect: &'static str, command: NewEvent) -> Effect {
    Effect::Applied {
        effect,
        announces: Some(command),
    }
}

fn too_late() -> Effect {
    let reason = "the saga has left this state".to_owned();
    Effect::Discarded { reason }
}
