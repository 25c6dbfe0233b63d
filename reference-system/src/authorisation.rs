//! The check before an order is taken: may this customer order?
//!
//! The answer is needed at once, so the question is a call ([`Authorisation`]). That it can be asked by events as well
//! ([`by_events`]) is for those who compare the two.
//!
//! Who gets no answer has none: it neither remembers the last one nor guesses, because both would let through what was
//! forbidden meanwhile.

pub mod by_events;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;

use crate::correlation::Correlation;
use crate::customers::MayOrder;
use crate::order::{OrderView, Orders, OrdersError, PlaceOrder, Readdress};

/// How long an answer is waited for: the customer waits as well.
const PATIENCE: Duration = Duration::from_millis(500);

/// There is no answer.
#[derive(Debug, thiserror::Error)]
#[error("nobody can say whether the customer may order: {0}")]
pub struct NoAnswer(pub String);

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        Self(error.to_string())
    }
}

/// Whoever can be asked.
#[async_trait]
pub trait Check: Send + Sync {
    /// Whether orders are taken from the customer of this id now; the question belongs to this flow.
    ///
    /// # Errors
    /// When there is no answer in time.
    async fn may_order(&self, customer: &str, flow: &Correlation) -> Result<bool, NoAnswer>;
}

/// The service that knows, asked by a call.
#[derive(Clone, Debug)]
pub struct Authorisation {
    client: reqwest::Client,
    customers: Url,
}

impl Authorisation {
    /// Asks the [customers](crate::customers) at this address, such as `http://customers.example`.
    #[must_use]
    pub fn new(customers: Url) -> Self {
        let client = reqwest::Client::new();
        Self { client, customers }
    }
}

#[async_trait]
impl Check for Authorisation {
    async fn may_order(&self, customer: &str, _: &Correlation) -> Result<bool, NoAnswer> {
        let mut url = self.customers.clone();
        // An address that has no path is no address of HTTP, and is refused when it is called.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["customers", customer, "may-order"]);
        }
        let response = self.client.get(url).timeout(PATIENCE).send().await?;
        let MayOrder { may_order } = response.error_for_status()?.json().await?;
        Ok(may_order)
    }
}

/// Orders that are taken only from those who may order.
pub struct Authorised {
    orders: Arc<dyn Orders>,
    check: Arc<dyn Check>,
}

impl Authorised {
    /// Lets through to `orders` whom `check` lets through.
    #[must_use]
    pub fn new(orders: Arc<dyn Orders>, check: Arc<dyn Check>) -> Self {
        Self { orders, check }
    }
}

#[async_trait]
impl Orders for Authorised {
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError> {
        if !self.check.may_order(&order.customer, &correlation).await? {
            return Err(OrdersError::Invalid(
                "no orders are taken from this customer",
            ));
        }
        self.orders.place(order, correlation).await
    }

    async fn cancel(&self, order_id: &str, correlation: Correlation) -> Result<(), OrdersError> {
        self.orders.cancel(order_id, correlation).await
    }

    async fn readdress(
        &self,
        order_id: &str,
        change: Readdress,
        correlation: Correlation,
    ) -> Result<(), OrdersError> {
        self.orders.readdress(order_id, change, correlation).await
    }

    async fn find(&self, order_id: &str) -> Result<Option<OrderView>, OrdersError> {
        self.orders.find(order_id).await
    }

    async fn of_customer(&self, customer: &str) -> Result<Vec<OrderView>, OrdersError> {
        self.orders.of_customer(customer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customers::{self, Customer};
    use crate::{Database, Shutdown, migrate};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_answer_is_what_the_row_says_now() {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        let script = customers::schema(database.engine());
        migrate(&database, script).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(customers::serve(listener, database, Shutdown::never()));
        let (authorisation, http) = (
            Authorisation::new(url.parse().unwrap()),
            reqwest::Client::new(),
        );
        let ada = format!("{url}/customers/ada");
        let flow = Correlation::at_ingress(None);
        assert!(!authorisation.may_order("ada", &flow).await.unwrap());
        for may_order in [true, false, true] {
            let name = "Ada".to_owned();
            let customer = Customer { name, may_order };
            let put = http.put(&ada).json(&customer).send().await.unwrap();
            assert_eq!(put.status(), 204);
            assert_eq!(
                authorisation.may_order("ada", &flow).await.unwrap(),
                may_order
            );
            let found: Customer = http.get(&ada).send().await.unwrap().json().await.unwrap();
            assert_eq!(found, customer);
        }
        let deleted = async || http.delete(&ada).send().await.unwrap().status();
        assert_eq!(
            (deleted().await.as_u16(), deleted().await.as_u16()),
            (204, 404)
        );
        assert!(!authorisation.may_order("ada", &flow).await.unwrap());
    }

    #[tokio::test]
    async fn without_an_answer_nothing_is_guessed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let authorisation = Authorisation::new(url.parse().unwrap());
        let flow = Correlation::at_ingress(None);
        assert!(authorisation.may_order("ada", &flow).await.is_err());
    }
}
