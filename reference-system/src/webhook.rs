//! The webhook service: tells a partner over HTTP what becomes of orders, signed, and again until the partner has taken it.
//!
//! An event is only noted by the consumer; what is noted is sent by a process of its own, so that a partner who is away holds up nobody's
//! events. A partner gets the events of one order one after the other and in their order, each at least once and under one id.
//!
//! Reading order: [`Noting`] what is noted, [`dispatch`] how it is sent, [`signature`] how it is signed; [`receiver`] is how a
//! partner takes it once.

pub mod dispatch;
pub mod receiver;
pub mod signature;

use async_trait::async_trait;
use serde_json::json;
use sqlx::AnyConnection;

use crate::clock::now_ms;
use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::Event;
use crate::event::contract::{event_type, topic};
use crate::schema::{Engine, script};
use crate::telemetry::TraceContext;

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "webhook")
}

/// Notes events until it has to stop.
pub async fn consumer(environment: Environment) {
    consumer::run(environment, Box::new(Noting)).await
}

/// The webhook service's consumer.
#[derive(Clone, Copy, Debug)]
pub struct Noting;

#[async_trait]
impl Handler for Noting {
    fn consumer(&self) -> &'static str {
        "webhook"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::SHIPMENTS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[
            event_type::ORDER_CONFIRMED,
            event_type::ORDER_CANCELLED,
            event_type::SHIPMENT_DISPATCHED,
        ]
    }

    async fn prepare(&self, _: &Database, _: &Event) -> Result<Box<dyn Prepared>, Failure> {
        Ok(Box::new(*self))
    }
}

#[async_trait]
impl Prepared for Noting {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        // A map of texts is always an object.
        let trace = serde_json::to_string(&TraceContext::current()).unwrap_or_default();
        sqlx::query(
            "INSERT INTO deliveries (event_id, entity, body, trace, state, due_at_ms) \
             VALUES ($1, $2, $3, $4, 'due', $5)",
        )
        .bind(event.id.to_string())
        .bind(&event.entity)
        .bind(body(event))
        .bind(trace)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
        Ok(Effect::Applied {
            effect: "partner to be told",
            announces: None,
        })
    }
}

/// What the partner gets: the order and how it stands, and nothing of who the customer is.
fn body(event: &Event) -> String {
    let part = |name: &str| event.payload.get(name);
    json!({
        "type": event.event_type,
        "correlation_id": event.correlation_id,
        "data": {
            "order_id": event.entity,
            "sku": part("sku"),
            "quantity": part("quantity"),
            "reason": part("reason"),
        },
    })
    .to_string()
}
