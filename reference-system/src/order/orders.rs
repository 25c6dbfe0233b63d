//! Placing an order and looking one up.

use std::future::Future;

use serde::Serialize;

use crate::correlation::Correlation;
use crate::dependencies::Environment;
use crate::event::contract::OrderPlaced;
use crate::event::{Event, NewEvent};
use crate::fingerprint::fingerprint;
use crate::journal;
use crate::ports::{Database, Identifiers, Transaction};
use crate::publishing::PublishPattern;

/// An order to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceOrder {
    /// The customer's mail address.
    pub customer: String,
    /// The card's token.
    pub card: String,
    /// The article.
    pub sku: String,
    /// How many; at least 1.
    pub quantity: i64,
    /// The price of one, in cents; at least 1.
    pub unit_price_cents: i64,
    /// Requests with one key place one order.
    pub idempotency_key: Option<String>,
}

/// An order as its customer may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderView {
    /// The order's id.
    pub order_id: String,
    /// `placed`, `confirmed`, `cancelled` or `shipped`.
    pub state: String,
    /// The customer's mail address.
    pub customer: String,
    /// The article.
    pub sku: String,
    /// How many.
    pub quantity: i64,
    /// The price of one, in cents.
    pub unit_price_cents: i64,
}

/// Why an order was not placed or found.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for a different order")]
    KeyReused,
    /// The database failed; the order may stand if its commit's answer was lost.
    #[error("database unavailable: {0}")]
    Database(#[from] sqlx::Error),
}

/// What the gateway calls.
pub trait Orders: Clone + Send + Sync + 'static {
    /// Places an order and gives its id; a known idempotency key gives the id of the order it placed.
    ///
    /// # Errors
    /// See [`OrdersError`].
    fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> impl Future<Output = Result<String, OrdersError>> + Send;

    /// The order of this id, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    fn find(
        &self,
        order_id: &str,
    ) -> impl Future<Output = Result<Option<OrderView>, OrdersError>> + Send;
}

/// [`Orders`] on the service's own database.
#[derive(Clone, Debug)]
pub struct OrderDesk<E> {
    environment: E,
}

impl<E: Environment> OrderDesk<E> {
    /// A desk in this environment.
    pub fn new(environment: E) -> Self {
        Self { environment }
    }

    async fn insert<T: Transaction>(
        &self,
        tx: &mut T,
        event: &Event,
        order: &PlaceOrder,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO orders (id, customer, sku, quantity, unit_price_cents, state) \
             VALUES ($1, $2, $3, $4, $5, 'placed')",
        )
        .bind(&event.entity)
        .bind(&order.customer)
        .bind(&order.sku)
        .bind(order.quantity)
        .bind(order.unit_price_cents)
        .execute(tx.executor())
        .await?;
        let entry = journal::Entry {
            effect: "order placed",
            entity: &event.entity,
            correlation_id: &event.correlation_id,
            cause_id: None,
            announced_by: Some(event),
        };
        journal::append(tx, entry).await?;
        let publishing = self.environment.publishing();
        publishing.record(tx, std::slice::from_ref(event)).await
    }
}

impl<E: Environment> Orders for OrderDesk<E> {
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError> {
        validate(&order)?;
        let identifiers = self.environment.identifiers();
        let order_id = identifiers.next().to_string();
        let mut tx = self.environment.database().begin().await?;
        if let Some(placed) = claim_key(&mut tx, &order, &order_id).await? {
            tx.rollback().await?;
            return Ok(placed);
        }
        let event = correlation.event(identifiers, announcement(&order_id, &order));
        self.insert(&mut tx, &event, &order).await?;
        tx.commit().await?;
        tracing::info!(order_id, event_id = %event.id, "order placed");
        let publishing = self.environment.publishing();
        publishing.after_commit(std::slice::from_ref(&event)).await;
        Ok(order_id)
    }

    async fn find(&self, order_id: &str) -> Result<Option<OrderView>, OrdersError> {
        let mut tx = self.environment.database().begin().await?;
        let columns: Option<(String, String, String, String, i64, i64)> = sqlx::query_as(
            "SELECT id, state, customer, sku, quantity, unit_price_cents \
             FROM orders WHERE id = $1",
        )
        .bind(order_id)
        .fetch_optional(tx.executor())
        .await?;
        tx.rollback().await?;
        Ok(columns.map(
            |(order_id, state, customer, sku, quantity, unit_price_cents)| OrderView {
                order_id,
                state,
                customer,
                sku,
                quantity,
                unit_price_cents,
            },
        ))
    }
}

fn validate(order: &PlaceOrder) -> Result<(), OrdersError> {
    let texts = [&order.customer, &order.card, &order.sku];
    let problem = if texts.iter().any(|text| text.trim().is_empty()) {
        "customer, card and sku must not be empty"
    } else if order.quantity < 1 {
        "quantity must be at least 1"
    } else if order.unit_price_cents < 1 {
        "unit_price_cents must be at least 1"
    } else if order.quantity.checked_mul(order.unit_price_cents).is_none() {
        "the order's total is too large"
    } else {
        return Ok(());
    };
    Err(OrdersError::Invalid(problem))
}

fn announcement(order_id: &str, order: &PlaceOrder) -> NewEvent {
    let data = OrderPlaced {
        customer: order.customer.clone(),
        card: order.card.clone(),
        sku: order.sku.clone(),
        quantity: order.quantity,
        unit_price_cents: order.unit_price_cents,
    };
    NewEvent::new(order_id, data)
}

/// Binds the request's idempotency key to `order_id`, or gives the order that it is bound to already.
///
/// On PostgreSQL the insert waits for another transaction with the same key, so that the look-up then sees its order.
async fn claim_key<T: Transaction>(
    tx: &mut T,
    order: &PlaceOrder,
    order_id: &str,
) -> Result<Option<String>, OrdersError> {
    let Some(key) = &order.idempotency_key else {
        return Ok(None);
    };
    let claimed = sqlx::query(
        "INSERT INTO requests (idempotency_key, fingerprint, order_id) VALUES ($1, $2, $3) \
         ON CONFLICT DO NOTHING",
    )
    .bind(key)
    .bind(request_fingerprint(order))
    .bind(order_id)
    .execute(tx.executor())
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let (fingerprint, placed): (String, String) =
        sqlx::query_as("SELECT fingerprint, order_id FROM requests WHERE idempotency_key = $1")
            .bind(key)
            .fetch_one(tx.executor())
            .await?;
    if fingerprint != request_fingerprint(order) {
        return Err(OrdersError::KeyReused);
    }
    Ok(Some(placed))
}

fn request_fingerprint(order: &PlaceOrder) -> String {
    let numbers = [order.quantity, order.unit_price_cents].map(i64::to_le_bytes);
    let parts = [
        order.customer.as_bytes(),
        order.card.as_bytes(),
        order.sku.as_bytes(),
        &numbers[0],
        &numbers[1],
    ];
    format!("{:016x}", fingerprint(parts))
}
