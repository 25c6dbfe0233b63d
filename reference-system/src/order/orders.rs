//! What customers ask of the order service, as the gateway hands it on: words only, no storage.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::authorisation::NoAnswer;
use crate::correlation::Correlation;
use crate::synchronous::ServiceError;

/// An order to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceOrder {
    /// The customer's mail address.
    pub customer: String,
    /// The card's token.
    pub card: String,
    /// Where it is to be sent.
    pub address: String,
    /// The article.
    pub sku: String,
    /// How many; at least 1.
    pub quantity: i64,
    /// The price of one, in cents; at least 1.
    pub unit_price_cents: i64,
    /// What a voucher takes off the whole, in cents; something is left to pay.
    pub discount_cents: i64,
    /// Requests with one key place one order.
    pub idempotency_key: Option<String>,
}

/// Another address for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readdress {
    /// Where it is to be sent instead.
    pub address: String,
    /// The version of the order that the customer saw: what was changed since is not overwritten.
    pub version: i64,
    /// Requests with one key change the order once.
    pub idempotency_key: Option<String>,
}

/// An order as its customer may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// The order's id.
    pub order_id: String,
    /// `placed`, `confirmed`, `cancelled` or `shipped`.
    pub state: String,
    /// The customer's mail address.
    pub customer: String,
    /// Where it is sent.
    pub address: String,
    /// The article.
    pub sku: String,
    /// How many.
    pub quantity: i64,
    /// How many of them are on their way.
    pub dispatched: i64,
    /// The price of one, in cents.
    pub unit_price_cents: i64,
    /// What a voucher takes off the whole, in cents.
    pub discount_cents: i64,
    /// Raised by every change.
    pub version: i64,
}

/// Why a customer's request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for a different request")]
    KeyReused,
    /// There is no such order.
    #[error("there is no order {0}")]
    Unknown(String),
    /// The order is too far on its way, or was changed meanwhile.
    #[error("order is {state} in version {version}")]
    TooLate {
        /// The order's state.
        state: String,
        /// The order's version.
        version: i64,
    },
    /// The database failed; the change may stand if its commit's answer was lost.
    #[error("database unavailable: {0}")]
    Database(#[from] sqlx::Error),
    /// A service that has to do its part at once has not; the change stands here, and wherever it was made before.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Nobody can say whether the customer may order.
    #[error(transparent)]
    Unanswered(#[from] NoAnswer),
}

/// What the gateway calls.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Places an order and gives its id; a known idempotency key gives the id of the order it placed.
    ///
    /// # Errors
    /// See [`OrdersError`].
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError>;

    /// Cancels an order that is not paid yet; one that is cancelled stays so.
    ///
    /// A charge that is under way is given back.
    ///
    /// # Errors
    /// See [`OrdersError`].
    async fn cancel(&self, order_id: &str, correlation: Correlation) -> Result<(), OrdersError>;

    /// Sends what is not on its way yet to another address.
    ///
    /// # Errors
    /// See [`OrdersError`].
    async fn readdress(
        &self,
        order_id: &str,
        change: Readdress,
        correlation: Correlation,
    ) -> Result<(), OrdersError>;

    /// The order of this id, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    async fn find(&self, order_id: &str) -> Result<Option<OrderView>, OrdersError>;

    /// A customer's orders, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    async fn of_customer(&self, customer: &str) -> Result<Vec<OrderView>, OrdersError>;
}
