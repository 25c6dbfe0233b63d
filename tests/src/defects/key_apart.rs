//! `key-apart`: the idempotency key is bound to the order in another transaction than the order's own.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::Database;
use reference_system::Environment;
use reference_system::correlation::Correlation;
use reference_system::order::{OrderDesk, OrderView, Orders, OrdersError, PlaceOrder, Readdress};
use scenarios::deploy::Processes;

/// Wraps the desk in a memory of answers, as a middleware does that knows nothing of orders.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyApart;

impl Processes for KeyApart {
    fn desk(&self, environment: Environment) -> Arc<dyn Orders> {
        Arc::new(Remembering {
            database: environment.database.clone(),
            desk: OrderDesk::new(environment),
        })
    }
}

struct Remembering {
    desk: OrderDesk,
    database: Database,
}

#[async_trait]
impl Orders for Remembering {
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError> {
        let Some(key) = order.idempotency_key.clone() else {
            return self.desk.place(order, correlation).await;
        };
        if let Some(known) = self.recall(&key).await? {
            return Ok(known);
        }
        let unkeyed = PlaceOrder {
            idempotency_key: None,
            ..order
        };
        let placed = self.desk.place(unkeyed, correlation).await?;
        self.remember(&key, &placed).await?;
        Ok(placed)
    }

    async fn cancel(&self, order_id: &str, correlation: Correlation) -> Result<(), OrdersError> {
        self.desk.cancel(order_id, correlation).await
    }

    async fn readdress(
        &self,
        order_id: &str,
        change: Readdress,
        correlation: Correlation,
    ) -> Result<(), OrdersError> {
        self.desk.readdress(order_id, change, correlation).await
    }

    async fn of_customer(&self, customer: &str) -> Result<Vec<OrderView>, OrdersError> {
        self.desk.of_customer(customer).await
    }

    async fn find(&self, order_id: &str) -> Result<Option<OrderView>, OrdersError> {
        self.desk.find(order_id).await
    }
}

impl Remembering {
    async fn recall(&self, key: &str) -> sqlx::Result<Option<String>> {
        let order = sqlx::query_scalar("SELECT order_id FROM requests WHERE idempotency_key = $1")
            .bind(key)
            .fetch_optional(self.database.reads())
            .await?;
        Ok(order)
    }

    async fn remember(&self, key: &str, order: &str) -> sqlx::Result<()> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO requests (idempotency_key, fingerprint, order_id) VALUES ($1, '', $2) \
             ON CONFLICT DO NOTHING",
        )
        .bind(key)
        .bind(order)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}
