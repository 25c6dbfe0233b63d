//! The payment service: charges the card for an order whose stock is reserved.
//!
//! The idempotency key of a charge is made from the order's id. A key from the event would stop a redelivery as well;
//! one from the order also stops a second event for the same order, so that no crash or repetition anywhere upstream
//! charges twice.

use std::convert::Infallible;

use crate::consumer::{self, Effect, Failure, Handler};
use crate::dependencies::Environment;
use crate::event::contract::{PaymentCaptured, PaymentDeclined, StockReserved, event_type, topic};
use crate::event::{Event, NewEvent};
use crate::ports::card_processor::{CardProcessor, Charge, ChargeOutcome};
use crate::ports::{Database, Transaction};
use crate::schema::{Engine, script};

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "payment")
}

/// Charges for orders, for ever.
pub async fn consumer<E: Environment>(environment: E, processor: impl CardProcessor) -> Infallible {
    consumer::run(environment, Charging::new(processor)).await
}

/// The key under which the order of this id is charged.
#[must_use]
pub fn idempotency_key(order_id: &str) -> String {
    format!("charge-{order_id}")
}

/// The payment service's consumer.
#[derive(Clone, Debug)]
pub struct Charging<C> {
    processor: C,
}

impl<C: CardProcessor> Charging<C> {
    /// Charges at `processor`.
    pub fn new(processor: C) -> Self {
        Self { processor }
    }
}

/// A charge that was asked for, and the answer.
#[derive(Clone, Debug)]
pub struct Charged {
    amount_cents: i64,
    outcome: ChargeOutcome,
}

impl<C: CardProcessor> Handler for Charging<C> {
    type Prepared = Charged;

    fn consumer(&self) -> &'static str {
        "payment"
    }

    fn topics(&self) -> &'static [&'static str] {
        &[topic::INVENTORY]
    }

    fn handles(&self) -> &'static [&'static str] {
        &[event_type::STOCK_RESERVED]
    }

    async fn prepare<D: Database>(&self, _: &D, event: &Event) -> Result<Charged, Failure> {
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
        let answer = self.processor.charge(&key, charge).await;
        let outcome = answer.map_err(|error| Failure::Transient(error.to_string()))?;
        Ok(Charged {
            amount_cents,
            outcome,
        })
    }

    async fn apply<T: Transaction>(
        &self,
        tx: &mut T,
        event: &Event,
        charged: Charged,
    ) -> Result<Effect, Failure> {
        let amount_cents = charged.amount_cents;
        let (state, effect, announces) = match charged.outcome {
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
            "INSERT INTO payments (order_id, amount_cents, state) VALUES ($1, $2, $3) \
             ON CONFLICT (order_id) DO UPDATE SET state = excluded.state",
        )
        .bind(&event.entity)
        .bind(amount_cents)
        .bind(state)
        .execute(tx.executor())
        .await?;
        Ok(Effect::Applied {
            effect,
            announces: Some(announces),
        })
    }
}
