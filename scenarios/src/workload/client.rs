//! A client: a request that has no answer in time is sent again under the same key, to the next
//! instance of the gateway, and what was written is looked up afterwards at yet another.
//!
//! A client that makes a new order of every repetition is not modelled.

use std::time::Duration;

use serde_json::{Value, json};
use stormglass::Host;
use stormglass::simulation::{HttpError, Request, Response};

use super::{Manner, Operation};
use crate::deploy::{gateways, relays};
use crate::told::Told;

/// How often a client asks before it gives up.
const ATTEMPTS_MAX: u32 = 3;
/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a customer looks for an open order.
const LOOKS_MAX: u32 = 6;
/// How long a customer waits before looking again.
const GLANCE: Duration = Duration::from_millis(150);

/// Why an operation failed, as its client sees it.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The gateway refused the request; asking again is no use.
    #[error("refused with status {0}")]
    Refused(u16),
    /// The gateway asked to come again later, until the client gave up.
    #[error("unavailable, status {0}")]
    Unavailable(u16),
    /// No answer; the request may have been carried out.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No answer in time; the request may have been carried out.
    #[error("no answer in time")]
    TimedOut,
}

/// Carries an operation out, and gives what the customer was told, in that order.
///
/// # Errors
///
/// What the last attempt met, if the customer was told nothing.
pub async fn carry_out(client: Host, operation: Operation) -> Result<Vec<Told>, OperationError> {
    match operation {
        Operation::Place {
            customer,
            card,
            address,
            sku,
            quantity,
            unit_price_cents,
            idempotency_key,
            manner,
            gateway,
        } => {
            let body = json!({
                "customer": customer,
                "card": card,
                "address": address,
                "sku": sku,
                "quantity": quantity,
                "unit_price_cents": unit_price_cents,
            });
            let client = Client { client, gateway };
            client.place(&body, idempotency_key, manner).await
        }
        Operation::Cancel {
            customer,
            which,
            gateway,
        } => {
            let client = Client { client, gateway };
            let open = client.open_order(&customer, which, &["placed"]).await?;
            let Some((order_id, _)) = open else {
                return Ok(Vec::new());
            };
            let request = Request::post(format!("/orders/{order_id}/cancel"), &json!({}));
            let told = Told::Cancelled {
                order_id: order_id.clone(),
            };
            client.change(request, order_id, told).await
        }
        Operation::Readdress {
            customer,
            which,
            address,
            idempotency_key,
            gateway,
        } => {
            let client = Client { client, gateway };
            let open = client.open_order(&customer, which, &["placed", "confirmed"]);
            let Some((order_id, version)) = open.await? else {
                return Ok(Vec::new());
            };
            let body = json!({ "address": address, "version": version });
            let request = Request::post(format!("/orders/{order_id}/address"), &body);
            let request = request.header("idempotency-key", &idempotency_key);
            let told = Told::Readdressed {
                order_id: order_id.clone(),
                address,
            };
            client.change(request, order_id, told).await
        }
        Operation::Replay {
            consumer,
            after_ms,
            relay,
        } => {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let request = Request::post(format!("/parked/{consumer}/replay"), &json!({}));
            let response = ask(&client, &relays(&client), relay, &request).await?;
            let events = response.body["events"].as_u64().unwrap_or_default();
            Ok(vec![Told::Replayed { consumer, events }])
        }
    }
}

/// One customer's client.
struct Client {
    client: Host,
    /// The instance of the gateway that is asked first.
    gateway: u32,
}

impl Client {
    async fn place(
        &self,
        body: &Value,
        idempotency_key: String,
        manner: Manner,
    ) -> Result<Vec<Told>, OperationError> {
        let request = Request::post("/orders", body).header("idempotency-key", &idempotency_key);
        let placed = async |turn| {
            let response = self.ask(&request, turn).await?;
            Ok(Told::Placed {
                idempotency_key: idempotency_key.clone(),
                order_id: text(&response, "order_id"),
            })
        };
        let answers = match manner {
            Manner::AtOnce => {
                let (one, other) = tokio::join!(placed(0), placed(1));
                vec![one, other]
            }
            Manner::Once | Manner::Late { .. } => vec![placed(0).await],
        };
        let mut told = told_if_any(answers)?;
        if let Some(Told::Placed { order_id, .. }) = told.first() {
            let found = self.look(order_id).await;
            told.extend(found);
        }
        if let Manner::Late { after_ms } = manner {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            told.extend(placed(1).await);
        }
        Ok(told)
    }

    /// Asks for a change of an order; `told` is what the customer is told if it is made.
    async fn change(
        &self,
        request: Request,
        order_id: String,
        told: Told,
    ) -> Result<Vec<Told>, OperationError> {
        match self.ask(&request, 0).await {
            Ok(_) => {
                let found = self.look(&order_id).await;
                Ok(std::iter::once(told).chain(found).collect())
            }
            Err(OperationError::Refused(409)) => Ok(vec![Told::TooLate { order_id }]),
            Err(error) => Err(error),
        }
    }

    /// The id and the version of one of the customer's orders that are in one of `states`; the
    /// customer waits a little for one.
    async fn open_order(
        &self,
        customer: &str,
        which: usize,
        states: &[&str],
    ) -> Result<Option<(String, i64)>, OperationError> {
        let request = Request::get(format!("/orders?customer={customer}"));
        for _ in 0..LOOKS_MAX {
            let response = self.ask(&request, 0).await?;
            let orders = response.body["orders"].as_array();
            let mut open: Vec<&Value> = orders.into_iter().flatten().collect();
            open.retain(|order| states.iter().any(|state| order["state"] == *state));
            if !open.is_empty() {
                let order = open[which % open.len()];
                let id = order["order_id"].as_str().unwrap_or_default();
                let version = order["version"].as_i64().unwrap_or_default();
                return Ok(Some((id.to_owned(), version)));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(None)
    }

    /// Looks an order up after it was written; a look that nobody answers tells nothing.
    async fn look(&self, order_id: &str) -> Option<Told> {
        let request = Request::get(format!("/orders/{order_id}"));
        let order_id = order_id.to_owned();
        match self.ask(&request, 1).await {
            Ok(response) => Some(Told::Found {
                order_id,
                state: text(&response, "state"),
                address: text(&response, "address"),
            }),
            Err(OperationError::Refused(404)) => Some(Told::Missing { order_id }),
            Err(_) => None,
        }
    }

    /// Asks the instances of the gateway, beginning with the one whose turn it is.
    async fn ask(&self, request: &Request, turn: u32) -> Result<Response, OperationError> {
        let gateways = gateways(&self.client);
        ask(&self.client, &gateways, self.gateway + turn, request).await
    }
}

/// Asks until there is an answer, each time the next of `addresses`.
async fn ask(
    client: &Host,
    addresses: &[String],
    first: u32,
    request: &Request,
) -> Result<Response, OperationError> {
    let mut attempt = 0;
    loop {
        let address = &addresses[(first + attempt) as usize % addresses.len()];
        attempt += 1;
        match ask_once(client, address, request.clone()).await {
            Err(error) if attempt < ATTEMPTS_MAX && error.is_passing() => {
                tokio::time::sleep(PAUSE).await;
            }
            settled => return settled,
        }
    }
}

async fn ask_once(
    client: &Host,
    address: &str,
    request: Request,
) -> Result<Response, OperationError> {
    let answer = tokio::time::timeout(PATIENCE, client.http(address, request)).await;
    let response = answer.map_err(|_| OperationError::TimedOut)??;
    match response.status {
        200..=299 => Ok(response),
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

fn text(response: &Response, field: &str) -> String {
    response.body[field].as_str().unwrap_or_default().to_owned()
}

/// What was told, if anything was; otherwise the first error.
fn told_if_any(answers: Vec<Result<Told, OperationError>>) -> Result<Vec<Told>, OperationError> {
    let mut told = Vec::new();
    let mut failed = None;
    for answer in answers {
        match answer {
            Ok(answer) => told.push(answer),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) if told.is_empty() => Err(error),
        _ => Ok(told),
    }
}
