//! The payment service: charges the card for an order whose stock is reserved, and gives the money back when asked to.
//!
//! The idempotency keys of a charge and of a refund are made from the order's id. A key from the event would stop a redelivery as well;
//! one from the order also stops a second event for the same order, so that no crash or repetition anywhere upstream
//! charges twice.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::consumer::{self, Effect, Failure, Handler, Prepared};
use crate::database::Database;
use crate::environment::Environment;
use crate::event::contract::{
    PaymentCaptured, PaymentDeclined, PaymentRefunded, RefundRequested, StockReserved, event_type,
    topic,
};
use crate::event::{Event, NewEvent};
use crate::ports::card_processor::{CardProcessor, Charge, ChargeOutcome};
use crate::schema::{Engine, script};

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "payment")
}

/// Charges for orders until it has to stop.
pub async fn consumer(environment: Environment, processor: Arc<dyn CardProcessor>) {
    consumer::run(environment, Box::new(Charging::new(processor))).await
}

/// The key under which the order of this id is charged.
#[must_use]
pub fn idempotency_key(order_id: &str) -> String {
    format!("charge-{order_id}")
}

/// The key under which the order of this id is given its money back.
#[must_use]
pub fn refund_key(order_id: &str) -> String {
    format!("refund-{order_id}")
}

/// The payment service's consumer.
pub struct Charging {
    processor: Arc<dyn CardProcessor>,
}

impl Charging {
    /// Charges at `processor`.
    #[must_use]
    pub fn new(processor: Arc<dyn CardProcessor>) -> Self {
        Self { processor }
    }
}

/// What the card processor did.
enum Called {
    /// It was asked to charge, and answered.
    Charged {
        /// What was asked for.
        charge: Charge,
        /// The answer.
        outcome: ChargeOutcome,
    },
    /// It has given the money back.
    Refunded(RefundRequested),
}

#[async_trait]
impl Handler for Charging {
    fn consumer(&self) -> &'static str {
        "payment"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::INVENTORY, topic::ORDERS]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[event_type::STOCK_RESERVED, event_type::REFUND_REQUESTED]
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let called = match event.event_type.as_str() {
            event_type::STOCK_RESERVED => self.charge(event).await,
            event_type::REFUND_REQUESTED => self.refund(database, event).await,
            other => Err(Failure::Permanent(format!("`{other}` is not handled here"))),
        };
        Ok(Box::new(called?))
    }
}

#[async_trait]
impl Prepared for Called {
    async fn apply(
        self: Box<Self>,
        tx: &mut AnyConnection,
        event: &Event,
    ) -> Result<Effect, Failure> {
        match *self {
            Called::Charged { charge, outcome } => record(tx, event, charge, outcome).await,
            Called::Refunded(refund) => record_refund(tx, event, refund).await,
        }
    }
}

impl Charging {
    async fn charge(&self, event: &Event) -> Result<Called, Failure> {
        let reserved: StockReserved = event.data()?;
        let amount_cents = reserved.amount_cents;
        if amount_cents < 1 {
            let problem = format!("{amount_cents} cents cannot be charged");
            return Err(Failure::Permanent(problem));
        }
        let charge = Charge {
            order_id: event.entity.clone(),
            card: reserved.card,
            amount_cents,
        };
        let key = idempotency_key(&event.entity);
        let answer = self.processor.charge(&key, charge.clone()).await;
        let outcome = answer.map_err(|error| Failure::Transient(error.to_string()))?;
        Ok(Called::Charged { charge, outcome })
    }

    /// Gives back what the payment on record says, whatever the event says.
    async fn refund(&self, database: &Database, event: &Event) -> Result<Called, Failure> {
        let request: RefundRequested = event.data()?;
        let paid: Option<(String, i64)> = sqlx::query_as(
            "SELECT card, amount_cents FROM payments WHERE order_id = $1 AND state <> 'declined'",
        )
        .bind(&event.entity)
        .fetch_optional(database.reads())
        .await?;
        let unpaid = || Failure::Permanent(format!("order {} is not paid", event.entity));
        let (card, amount_cents) = paid.ok_or_else(unpaid)?;
        let refund = Charge {
            order_id: event.entity.clone(),
            card,
            amount_cents,
        };
        let key = refund_key(&event.entity);
        let answer = self.processor.refund(&key, refund).await;
        answer.map_err(|error| Failure::Transient(error.to_string()))?;
        Ok(Called::Refunded(RefundRequested {
            amount_cents,
            ..request
        }))
    }
}

async fn record(
    tx: &mut AnyConnection,
    event: &Event,
    charge: Charge,
    outcome: ChargeOutcome,
) -> Result<Effect, Failure> {
    let amount_cents = charge.amount_cents;
    let (state, effect, announces) = match outcome {
        ChargeOutcome::Captured => (
            "captured",
            "payment captured",
            NewEvent::new(&event.entity, PaymentCaptured { amount_cents }),
        ),
        ChargeOutcome::Declined { reason } => {
            let data = PaymentDeclined {
                amount_cents,
                reason,
            };
            let announces = NewEvent::new(&event.entity, data);
            ("declined", "payment declined", announces)
        }
    };
    sqlx::query(
        "INSERT INTO payments (order_id, card, amount_cents, state) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (order_id) DO UPDATE SET state = excluded.state",
    )
    .bind(&event.entity)
    .bind(&charge.card)
    .bind(amount_cents)
    .bind(state)
    .execute(&mut *tx)
    .await?;
    Ok(Effect::Applied {
        effect,
        announces: Some(announces),
    })
}

async fn record_refund(
    tx: &mut AnyConnection,
    event: &Event,
    refund: RefundRequested,
) -> Result<Effect, Failure> {
    let refunded = sqlx::query(
        "UPDATE payments SET state = 'refunded' WHERE order_id = $1 AND state = 'captured'",
    )
    .bind(&event.entity)
    .execute(&mut *tx)
    .await?;
    if refunded.rows_affected() == 0 {
        let reason = "the money went back already".to_owned();
        return Ok(Effect::Discarded { reason });
    }
    let data = PaymentRefunded {
        customer: refund.customer,
        amount_cents: refund.amount_cents,
    };
    Ok(Effect::Applied {
        effect: "payment refunded",
        announces: Some(NewEvent::new(&event.entity, data)),
    })
}
