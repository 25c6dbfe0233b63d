//! The owner of orders over HTTP: `GET /orders/{id}` at a gateway, under the correlation id of the flow.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, StatusCode};

use super::{OrderSource, OrderSourceError};
use crate::order::OrderView;
use crate::telemetry::http;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The header with the flow that a request belongs to.
const CORRELATION_HEADER: &str = "x-correlation-id";

/// The gateway at an address.
#[derive(Clone, Debug)]
pub struct HttpOrderSource {
    client: Client,
    orders: String,
}

impl HttpOrderSource {
    /// The gateway at `url`, such as `http://orders.example`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            client: Client::new(),
            orders: format!("{}/orders", url.trim_end_matches('/')),
        }
    }
}

impl From<reqwest::Error> for OrderSourceError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[async_trait]
impl OrderSource for HttpOrderSource {
    async fn order(
        &self,
        order_id: &str,
        correlation_id: &str,
    ) -> Result<OrderView, OrderSourceError> {
        let request = self.client.get(format!("{}/{order_id}", self.orders));
        let request = request.header(CORRELATION_HEADER, correlation_id);
        let answer = http::send("gateway", request.timeout(PATIENCE)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(OrderSourceError::Unknown(order_id.to_owned()));
        }
        Ok(answer.error_for_status()?.json().await?)
    }
}
