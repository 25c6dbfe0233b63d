//! The order desk: [`Orders`] on the service's own database, each request in one transaction.
//!
//! It deliberately asks no other service: whether an order can be paid or sent shows later.

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::correlation::Correlation;
use crate::database::Transaction;
use crate::environment::Environment;
use crate::event::contract::{OrderCancelled, OrderReaddressed};
use crate::event::{Event, NewEvent};
use crate::identifiers::new_id;
use crate::journal;

use super::orders::{OrderView, Orders, OrdersError, PlaceOrder, Readdress};
use super::placing::{placed, validate};
use super::requests::{Request, claim};

/// The columns of an [`OrderView`], in the order of its fields.
type Columns = (
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    i64,
    i64,
);

/// [`Orders`] on the service's own database.
pub struct OrderDesk {
    environment: Environment,
}

impl OrderDesk {
    /// A desk in this environment.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// Writes down that a customer's request changed an order, and the event that announces it.
    async fn announce(
        &self,
        tx: &mut AnyConnection,
        effect: &'static str,
        event: &Event,
    ) -> sqlx::Result<()> {
        let entry = journal::Entry {
            effect,
            entity: &event.entity,
            correlation_id: &event.correlation_id,
            cause_id: None,
            announced_by: Some(event),
        };
        journal::append(tx, entry).await?;
        let publishing = &self.environment.publishing;
        publishing.record(tx, std::slice::from_ref(event)).await
    }

    /// Ends the transaction of a request.
    async fn commit(&self, tx: Transaction, event: &Event) -> sqlx::Result<()> {
        tx.commit().await?;
        tracing::info!(order_id = event.entity, event_id = %event.id, event.event_type, "accepted");
        let publishing = &self.environment.publishing;
        publishing.after_commit(std::slice::from_ref(event)).await;
        Ok(())
    }
}

#[async_trait]
impl Orders for OrderDesk {
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError> {
        let version = self.environment.settings.order_placed;
        validate(&order, version)?;
        let order_id = new_id().to_string();
        let mut tx = self.environment.database.begin().await?;
        let request = Request::placing(&order);
        if let Some(placed) = claim(&mut tx, request, &order_id).await? {
            tx.rollback().await?;
            return Ok(placed);
        }
        insert(&mut tx, &order_id, &order).await?;
        let event = correlation.event(placed(&order_id, order, version));
        self.announce(&mut tx, "order placed", &event).await?;
        self.commit(tx, &event).await?;
        Ok(order_id)
    }

    async fn cancel(&self, order_id: &str, correlation: Correlation) -> Result<(), OrdersError> {
        let mut tx = self.environment.database.begin().await?;
        let cancelled: Option<(String,)> = sqlx::query_as(
            "UPDATE orders SET state = 'cancelled', version = version + 1 \
             WHERE id = $1 AND state = 'placed' RETURNING customer",
        )
        .bind(order_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((customer,)) = cancelled else {
            let order = find(&mut tx, order_id).await?;
            tx.rollback().await?;
            return match order {
                Some(order) if order.state == "cancelled" => Ok(()),
                order => Err(too_late(order_id, order)),
            };
        };
        let reason = "cancelled by the customer".to_owned();
        let data = OrderCancelled { customer, reason };
        let new = NewEvent::new(order_id, data);
        let event = correlation.event(new);
        self.announce(&mut tx, "order cancelled", &event).await?;
        self.commit(tx, &event).await?;
        Ok(())
    }

    async fn readdress(
        &self,
        order_id: &str,
        change: Readdress,
        correlation: Correlation,
    ) -> Result<(), OrdersError> {
        if change.address.trim().is_empty() {
            return Err(OrdersError::Invalid("address must not be empty"));
        }
        let mut tx = self.environment.database.begin().await?;
        let request = Request::readdressing(order_id, &change);
        if claim(&mut tx, request, order_id).await?.is_some() {
            tx.rollback().await?;
            return Ok(());
        }
        let changed: Option<(i64,)> = sqlx::query_as(
            "UPDATE orders SET address = $1, version = version + 1 \
             WHERE id = $2 AND version = $3 AND state IN ('placed', 'confirmed') \
             RETURNING version",
        )
        .bind(&change.address)
        .bind(order_id)
        .bind(change.version)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((version,)) = changed else {
            let order = find(&mut tx, order_id).await?;
            tx.rollback().await?;
            return Err(too_late(order_id, order));
        };
        let address = change.address;
        let new = NewEvent::new(order_id, OrderReaddressed { address, version });
        let event = correlation.event(new);
        self.announce(&mut tx, "address changed", &event).await?;
        self.commit(tx, &event).await?;
        Ok(())
    }

    async fn find(&self, order_id: &str) -> Result<Option<OrderView>, OrdersError> {
        let mut reader = self.environment.database.reads().acquire().await?;
        Ok(find(&mut reader, order_id).await?)
    }

    async fn of_customer(&self, customer: &str) -> Result<Vec<OrderView>, OrdersError> {
        // Ids of orders are ordered by time.
        let orders: Vec<Columns> = sqlx::query_as(
            "SELECT id, state, customer, address, sku, quantity, dispatched, unit_price_cents, discount_cents, version \
             FROM orders WHERE customer = $1 ORDER BY id DESC",
        )
        .bind(customer)
        .fetch_all(self.environment.database.reads())
        .await?;
        Ok(orders.into_iter().map(OrderView::from).collect())
    }
}

impl From<Columns> for OrderView {
    fn from(columns: Columns) -> Self {
        let (
            order_id,
            state,
            customer,
            address,
            sku,
            quantity,
            dispatched,
            price,
            discount,
            version,
        ) = columns;
        Self {
            order_id,
            state,
            customer,
            address,
            sku,
            quantity,
            dispatched,
            unit_price_cents: price,
            discount_cents: discount,
            version,
        }
    }
}

async fn insert(tx: &mut AnyConnection, order_id: &str, order: &PlaceOrder) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO orders \
         (id, customer, address, sku, quantity, unit_price_cents, discount_cents, state) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'placed')",
    )
    .bind(order_id)
    .bind(&order.customer)
    .bind(&order.address)
    .bind(&order.sku)
    .bind(order.quantity)
    .bind(order.unit_price_cents)
    .bind(order.discount_cents)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn find(tx: &mut AnyConnection, order_id: &str) -> sqlx::Result<Option<OrderView>> {
    let order: Option<Columns> = sqlx::query_as(
        "SELECT id, state, customer, address, sku, quantity, dispatched, unit_price_cents, discount_cents, version \
         FROM orders WHERE id = $1",
    )
    .bind(order_id)
    .fetch_optional(&mut *tx)
    .await?;
    Ok(order.map(OrderView::from))
}

fn too_late(order_id: &str, order: Option<OrderView>) -> OrdersError {
    match order {
        Some(OrderView { state, version, .. }) => OrdersError::TooLate { state, version },
        None => OrdersError::Unknown(order_id.to_owned()),
    }
}
