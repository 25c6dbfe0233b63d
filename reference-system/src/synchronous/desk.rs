//! The synchronous desk: a request that changes an order waits until every service has done its part, and fails if one has not.

use std::sync::Arc;

use async_trait::async_trait;

use crate::correlation::Correlation;
use crate::environment::Environment;
use crate::order::{OrderDesk, OrderView, Orders, OrdersError, PlaceOrder, Readdress};

use super::calls::{InTurn, Service};

/// [`Orders`] that wait for everybody.
pub struct SynchronousDesk {
    environment: Environment,
    /// In the order in which they are called.
    services: Arc<[Service]>,
}

impl SynchronousDesk {
    /// A desk in this environment that calls `services` in their order.
    #[must_use]
    pub fn new(environment: Environment, services: Vec<Service>) -> Self {
        let services = services.into();
        Self {
            environment,
            services,
        }
    }

    /// Carries out a request at a desk of its own, whose calls tell how they went.
    async fn wait_for<T>(
        &self,
        request: impl AsyncFnOnce(OrderDesk) -> Result<T, OrdersError>,
    ) -> Result<T, OrdersError> {
        let calls = Arc::new(InTurn::new(self.services.clone()));
        let environment = Environment {
            publishing: calls.clone(),
            ..self.environment.clone()
        };
        let done = request(OrderDesk::new(environment)).await?;
        match calls.failure() {
            Some(error) => Err(OrdersError::Service(error)),
            None => Ok(done),
        }
    }

    fn reader(&self) -> OrderDesk {
        OrderDesk::new(self.environment.clone())
    }
}

#[async_trait]
impl Orders for SynchronousDesk {
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError> {
        let place = async |desk: OrderDesk| desk.place(order, correlation).await;
        self.wait_for(place).await
    }

    async fn cancel(&self, order_id: &str, correlation: Correlation) -> Result<(), OrdersError> {
        let cancel = async |desk: OrderDesk| desk.cancel(order_id, correlation).await;
        self.wait_for(cancel).await
    }

    async fn readdress(
        &self,
        order_id: &str,
        change: Readdress,
        correlation: Correlation,
    ) -> Result<(), OrdersError> {
        let readdress = async |desk: OrderDesk| desk.readdress(order_id, change, correlation).await;
        self.wait_for(readdress).await
    }

    async fn find(&self, order_id: &str) -> Result<Option<OrderView>, OrdersError> {
        self.reader().find(order_id).await
    }

    async fn of_customer(&self, customer: &str) -> Result<Vec<OrderView>, OrdersError> {
        self.reader().of_customer(customer).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::database::Database;
    use crate::inventory::{self, Stockkeeping};
    use crate::payment::Charging;
    use crate::ports::broker::InProcessBroker;
    use crate::ports::card_processor::SandboxCardProcessor;
    use crate::schema::{Engine, migrate};
    use crate::synchronous::{ByAnswer, serve};
    use crate::{order, payment};

    async fn environment(schema: fn(Engine) -> &'static str) -> Environment {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        migrate(&database, schema(database.engine())).await.unwrap();
        Environment {
            publishing: Arc::new(ByAnswer),
            ..Environment::new(database, Arc::new(InProcessBroker::new()))
        }
    }

    /// A port of the loopback, and its address.
    async fn port() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url)
    }

    fn order() -> PlaceOrder {
        PlaceOrder {
            customer: "ada@example.org".to_owned(),
            card: "visa".to_owned(),
            address: "Mill Lane 1".to_owned(),
            sku: "tea".to_owned(),
            quantity: 1,
            unit_price_cents: 100,
            discount_cents: 0,
            idempotency_key: None,
        }
    }

    async fn count(environment: &Environment, query: &'static str) -> i64 {
        let counted = sqlx::query_scalar(query);
        let reads = environment.database.reads();
        counted.fetch_one(reads).await.unwrap()
    }

    #[tokio::test]
    async fn everybody_is_called_until_one_does_not_answer_and_what_is_done_stays_done() {
        let orders = environment(order::schema).await;
        let stock = environment(inventory::schema).await;
        let payments = environment(payment::schema).await;
        inventory::restock(&stock.database, "tea", 9).await.unwrap();
        let charging = || Charging::new(Arc::new(SandboxCardProcessor::default()));
        let (inventory, inventory_url) = port().await;
        let (payment, payment_url) = port().await;
        let (_, nowhere) = port().await;
        tokio::spawn(serve(inventory, stock.clone(), Box::new(Stockkeeping)));
        tokio::spawn(serve(payment, payments.clone(), Box::new(charging())));
        let desk = |payment_url: &str| {
            let services = vec![
                Service::new(&Stockkeeping, &inventory_url),
                Service::new(&charging(), payment_url),
            ];
            SynchronousDesk::new(orders.clone(), services)
        };

        let flow = || Correlation::at_ingress(None);
        let placed = desk(&payment_url).place(order(), flow()).await;
        assert!(placed.is_ok());
        let captured = "SELECT COUNT(*) FROM payments WHERE state = 'captured'";
        assert_eq!(count(&payments, captured).await, 1);

        let failed = desk(&nowhere).place(order(), flow()).await.unwrap_err();
        assert!(matches!(failed, OrdersError::Service(error) if error.service == "payment"));
        assert_eq!(count(&orders, "SELECT COUNT(*) FROM orders").await, 2);
        let held = "SELECT COUNT(*) FROM reservations WHERE state = 'held'";
        assert_eq!(count(&stock, held).await, 2);
        assert_eq!(count(&payments, captured).await, 1);
    }
}
