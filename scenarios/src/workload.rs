//! The workload: what clients ask of the shop, and how a careful client asks.
//!
//! A client repeats a request that has no answer under the same idempotency key, as it should; a
//! client that makes a new order of every repetition is not modelled.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stormglass::Host;
use stormglass::simulation::{HttpError, Request};

use crate::deploy::{ARTICLES, GATEWAY};
use crate::told::Told;

/// How often a client asks before it gives up.
const ATTEMPTS_MAX: u32 = 3;
/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing that a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Order something.
    Place {
        /// The customer's mail address.
        customer: String,
        /// The card's token.
        card: String,
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// The price of one, in cents.
        unit_price_cents: i64,
        /// What makes a repeated request harmless.
        idempotency_key: String,
    },
}

/// Why an operation failed, as its client sees it.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The gateway refused the request; asking again is no use.
    #[error("refused with status {0}")]
    Refused(u16),
    /// The gateway asked to come again later, until the client gave up.
    #[error("unavailable, status {0}")]
    Unavailable(u16),
    /// No answer; the order may have been placed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No answer in time; the order may have been placed.
    #[error("no answer in time")]
    TimedOut,
}

/// The operations of a workload.
pub fn operation() -> impl Strategy<Value = Operation> {
    let articles: Vec<&str> = ARTICLES.iter().map(|(sku, _)| *sku).collect();
    let card = prop_oneof![3 => Just("visa"), 1 => Just("declined")];
    let customer = select(&["ada", "ben", "cyd"][..]);
    (
        customer,
        card,
        select(articles),
        1..=3_i64,
        100..=2_000_i64,
        any::<u64>(),
    )
        .prop_map(
            |(customer, card, sku, quantity, unit_price_cents, key)| Operation::Place {
                customer: format!("{customer}@example.org"),
                card: card.to_owned(),
                sku: sku.to_owned(),
                quantity,
                unit_price_cents,
                idempotency_key: format!("{key:016x}"),
            },
        )
}

/// Carries an operation out, and gives what its client was told.
///
/// # Errors
///
/// What the last attempt met.
pub async fn carry_out(client: Host, operation: Operation) -> Result<Vec<Told>, OperationError> {
    let Operation::Place {
        customer,
        card,
        sku,
        quantity,
        unit_price_cents,
        idempotency_key,
    } = operation;
    let body = json!({
        "customer": customer,
        "card": card,
        "sku": sku,
        "quantity": quantity,
        "unit_price_cents": unit_price_cents,
    });
    let request = Request::post("/orders", &body).header("idempotency-key", &idempotency_key);
    let mut attempt = 1;
    loop {
        match ask(&client, request.clone()).await {
            Err(error) if attempt < ATTEMPTS_MAX && error.is_passing() => {
                tokio::time::sleep(PAUSE).await;
                attempt += 1;
            }
            settled => {
                return settled.map(|order_id| {
                    vec![Told::Placed {
                        idempotency_key,
                        order_id,
                    }]
                });
            }
        }
    }
}

async fn ask(client: &Host, request: Request) -> Result<String, OperationError> {
    let answer = tokio::time::timeout(PATIENCE, client.http(GATEWAY, request)).await;
    let response = answer.map_err(|_| OperationError::TimedOut)??;
    match response.status {
        202 => Ok(response.body["order_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned()),
        status @ 500.. => Err(OperationError::Unavailable(status)),
        status => Err(OperationError::Refused(status)),
    }
}

impl OperationError {
    /// Whether the same request may succeed later.
    fn is_passing(&self) -> bool {
        !matches!(self, OperationError::Refused(_))
    }
}
