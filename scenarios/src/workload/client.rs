//! A client: a request that has no answer in time is sent again under the same key, to the next
//! instance of the gateway, and what was written is looked up afterwards at yet another.
//!
//! A client that makes a new order of every repetition is not modelled.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use tokio::net::lookup_host;

use super::{Manner, Operation};
use crate::deploy::{HTTP_PORT, OPERATORS_TOKEN};
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
    Http(#[from] reqwest::Error),
    /// The name of the service is not known.
    #[error("no address: {0}")]
    Lookup(#[from] std::io::Error),
}

/// Carries an operation out, and gives what the customer was told, in that order.
///
/// # Errors
///
/// What the last attempt met, if the customer was told nothing.
pub async fn carry_out(operation: Operation) -> Result<Vec<Told>, OperationError> {
    match operation {
        Operation::Place {
            customer,
            card,
            address,
            sku,
            quantity,
            unit_price_cents,
            discount_cents,
            idempotency_key,
            manner,
            gateway,
        } => {
            let mut body = json!({
                "customer": customer,
                "card": card,
                "address": address,
                "sku": sku,
                "quantity": quantity,
                "unit_price_cents": unit_price_cents,
            });
            if discount_cents > 0 {
                body["discount_cents"] = discount_cents.into();
            }
            let client = Client::of("gateway", gateway);
            client.place(&body, idempotency_key, manner).await
        }
        Operation::Cancel {
            customer,
            which,
            gateway,
        } => {
            let client = Client::of("gateway", gateway);
            let open = client.open_order(&customer, which, &["placed"]).await?;
            let Some((order_id, _)) = open else {
                return Ok(Vec::new());
            };
            let request = Request::post(format!("/orders/{order_id}/cancel"), json!({}));
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
            let client = Client::of("gateway", gateway);
            let open = client.open_order(&customer, which, &["placed", "confirmed"]);
            let Some((order_id, version)) = open.await? else {
                return Ok(Vec::new());
            };
            let body = json!({ "address": address, "version": version });
            let request = Request::post(format!("/orders/{order_id}/address"), body);
            let request = request.under(&idempotency_key);
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
            let order = json!({ "who": "operator", "why": "the cause is gone" });
            let request = Request::post(format!("/parked/{consumer}/replay"), order);
            let request = request.by_operator();
            let response = Client::of("relay", relay).ask(&request, 0).await?;
            let events = response.body["events"].as_u64().unwrap_or_default();
            Ok(vec![Told::Replayed { consumer, events }])
        }
        Operation::Release {
            topic,
            after_ms,
            relay,
        } => {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let order = json!({ "who": "operator", "why": "the limit is raised" });
            let request = Request::post(format!("/outbox/{topic}/release"), order);
            let request = request.by_operator();
            let response = Client::of("relay", relay).ask(&request, 0).await?;
            let events = response.body["events"].as_u64().unwrap_or_default();
            Ok(vec![Told::Released { topic, events }])
        }
    }
}

/// What is asked for.
struct Request {
    method: Method,
    path: String,
    idempotency_key: Option<String>,
    body: Option<Value>,
    is_operators: bool,
}

impl Request {
    fn get(path: String) -> Self {
        Request {
            method: Method::GET,
            path,
            idempotency_key: None,
            body: None,
            is_operators: false,
        }
    }

    fn post(path: String, body: Value) -> Self {
        Request {
            method: Method::POST,
            path,
            idempotency_key: None,
            body: Some(body),
            is_operators: false,
        }
    }

    fn under(self, idempotency_key: &str) -> Self {
        Request {
            idempotency_key: Some(idempotency_key.to_owned()),
            ..self
        }
    }

    /// The same with the operators' token.
    fn by_operator(self) -> Self {
        Request {
            is_operators: true,
            ..self
        }
    }
}

/// What is answered.
struct Response {
    body: Value,
}

/// The client of one customer, or operator.
struct Client {
    http: reqwest::Client,
    /// The service that is asked.
    service: &'static str,
    /// Its instance that is asked first.
    first: u32,
}

impl Client {
    fn of(service: &'static str, first: u32) -> Self {
        Client {
            http: reqwest::Client::new(),
            service,
            first,
        }
    }

    async fn place(
        &self,
        body: &Value,
        idempotency_key: String,
        manner: Manner,
    ) -> Result<Vec<Told>, OperationError> {
        let request = Request::post("/orders".to_owned(), body.clone()).under(&idempotency_key);
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

    /// Asks until there is an answer, each time the next instance of the service, beginning with the one whose turn it
    /// is.
    async fn ask(&self, request: &Request, turn: u32) -> Result<Response, OperationError> {
        let mut addresses: Vec<SocketAddr> =
            lookup_host((self.service, HTTP_PORT)).await?.collect();
        addresses.sort();
        let mut attempt = 0;
        loop {
            let next = self.first + turn + attempt;
            let address = addresses[next as usize % addresses.len()];
            attempt += 1;
            match self.ask_once(address, request).await {
                Err(error) if attempt < ATTEMPTS_MAX && error.is_passing() => {
                    tokio::time::sleep(PAUSE).await;
                }
                settled => return settled,
            }
        }
    }

    async fn ask_once(
        &self,
        address: SocketAddr,
        request: &Request,
    ) -> Result<Response, OperationError> {
        let url = format!("http://{address}{}", request.path);
        let mut asked = self
            .http
            .request(request.method.clone(), url)
            .timeout(PATIENCE);
        if let Some(key) = &request.idempotency_key {
            asked = asked.header("idempotency-key", key);
        }
        if request.is_operators {
            asked = asked.bearer_auth(OPERATORS_TOKEN);
        }
        if let Some(body) = &request.body {
            asked = asked.json(body);
        }
        let answer = asked.send().await?;
        match answer.status().as_u16() {
            200..=299 => {
                let body = answer.json().await?;
                Ok(Response { body })
            }
            status @ 500.. => Err(OperationError::Unavailable(status)),
            status => Err(OperationError::Refused(status)),
        }
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
