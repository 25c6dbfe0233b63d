//! The owner of orders, as services ask it that were told of an order by a thin event.

mod http;

use async_trait::async_trait;

use crate::order::OrderView;

pub use http::HttpOrderSource;

/// Why an order could not be had.
#[derive(Debug, thiserror::Error)]
pub enum OrderSourceError {
    /// The owner does not know the order.
    #[error("there is no order {0}")]
    Unknown(String),
    /// The owner cannot be reached, or has trouble of its own.
    #[error("owner of orders unavailable: {0}")]
    Unavailable(String),
}

/// Whoever can be asked how an order stands.
#[async_trait]
pub trait OrderSource: Send + Sync {
    /// How an order stands now; the question belongs to the flow with this correlation id.
    ///
    /// # Errors
    /// See [`OrderSourceError`].
    async fn order(
        &self,
        order_id: &str,
        correlation_id: &str,
    ) -> Result<OrderView, OrderSourceError>;
}
