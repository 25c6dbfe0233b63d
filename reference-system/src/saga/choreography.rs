//! The choreographed saga: services react to each other's events as they do without it, and the order service sees to it that the order
//! does not wait for one for ever.
//!
//! A deadline is set where the step begins: with the event that announces the order's change, or with the event that tells of
//! another service's. Nobody but the order service knows of deadlines.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::event::contract::{OrderCancelled, ShipmentDispatched, event_type};
use crate::event::{Event, NewEvent};
use crate::order::OrderLifecycle;
use crate::publishing::PublishPattern;

use super::deadlines::{self, Deadline};
use super::{Expiry, Limits, Step};

/// The order service's publishing: what it announces begins a step, or ends the last one.
pub struct TimedPublishing {
    publishing: Arc<dyn PublishPattern>,
    limits: Limits,
}

impl TimedPublishing {
    /// Publishes as `publishing` does.
    #[must_use]
    pub fn new(publishing: Arc<dyn PublishPattern>, limits: Limits) -> Self {
        Self { publishing, limits }
    }

    async fn keep_time(&self, tx: &mut AnyConnection, event: &Event) -> sqlx::Result<()> {
        let step = match event.event_type.as_str() {
            event_type::ORDER_PLACED => Step::Reservation,
            event_type::ORDER_CONFIRMED => Step::Shipment,
            event_type::ORDER_CANCELLED => return deadlines::end(tx, &event.entity).await,
            _ => return Ok(()),
        };
        deadlines::begin(tx, &self.limits, step, event).await
    }
}

#[async_trait]
impl PublishPattern for TimedPublishing {
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        for event in events {
            self.keep_time(tx, event).await?;
        }
        self.publishing.record(tx, events).await
    }

    async fn after_commit(&self, events: &[Event]) {
        self.publishing.after_commit(events).await
    }
}

/// The order service's consumer, which also keeps the time of what other services do.
#[derive(Clone, Copy, Debug)]
pub struct TimedLifecycle(pub Limits);

#[async_trait]
impl Handler for TimedLifecycle {
    fn consumer(&self) -> &'static str {
        OrderLifecycle.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        OrderLifecycle.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
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
impl Prepared for TimedLifecycle {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        match event.event_type.as_str() {
            event_type::STOCK_RESERVED => await_charge(tx, &self.0, event).await,
            event_type::SHIPMENT_DISPATCHED => {
                let effect = Box::new(OrderLifecycle).apply(tx, event).await?;
                let ShipmentDispatched { left, .. } = event.data()?;
                if left == 0 {
                    deadlines::end(tx, &event.entity).await?;
                }
                Ok(effect)
            }
            _ => Box::new(OrderLifecycle).apply(tx, event).await,
        }
    }
}

/// The reservation is answered; from now on the charge is waited for.
async fn await_charge(
    tx: &mut AnyConnection,
    limits: &Limits,
    event: &Event,
) -> Result<Effect, Failure> {
    match deadlines::go_on(tx, limits, Step::Reservation, Step::Charge, event).await? {
        true => Ok(Effect::Applied {
            effect: "charge awaited",
            announces: None,
        }),
        false => {
            let reason = "the order does not wait for its reservation".to_owned();
            Ok(Effect::Discarded { reason })
        }
    }
}

/// What the order service does about a step that was not answered in time.
#[derive(Clone, Copy, Debug)]
pub struct Choreography;

#[async_trait]
impl Expiry for Choreography {
    async fn expire(&self, tx: &mut AnyConnection, deadline: &Deadline) -> sqlx::Result<Effect> {
        if deadline.step == Step::Shipment {
            return Ok(Effect::Applied {
                effect: "shipment timed out",
                announces: None,
            });
        }
        let cancelled: Option<(String,)> = sqlx::query_as(
            "UPDATE orders SET state = 'cancelled', version = version + 1 \
             WHERE id = $1 AND state = 'placed' RETURNING customer",
        )
        .bind(&deadline.order_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((customer,)) = cancelled else {
            let reason = "the order has left its state".to_owned();
            return Ok(Effect::Discarded { reason });
        };
        let reason = format!("its {} was not answered in time", deadline.step.name());
        let data = OrderCancelled { customer, reason };
        Ok(Effect::Applied {
            effect: "order timed out",
            announces: Some(NewEvent::new(&deadline.order_id, data)),
        })
    }
}
