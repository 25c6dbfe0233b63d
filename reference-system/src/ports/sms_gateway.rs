//! Text messages. Each carries an idempotency key: a repeated key is not sent again.

mod http;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use http::HttpSmsGateway;

/// One text message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextMessage {
    /// The order that it is about, for the gateway's own records.
    pub order_id: String,
    /// The number that it is sent to.
    pub to: String,
    /// The text.
    pub text: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("text messages unavailable: {0}")]
pub struct SmsGatewayError(pub String);

/// A service that sends text messages.
#[async_trait]
pub trait SmsGateway: Send + Sync {
    /// Sends the message, once per idempotency key.
    ///
    /// # Errors
    /// When there is no answer; it may have been sent, so repeat with the same key.
    async fn send(
        &self,
        idempotency_key: &str,
        message: TextMessage,
    ) -> Result<(), SmsGatewayError>;
}
