//! The order service: takes and changes orders, and follows each through stock, payment and shipment, as a saga by choreography.
//!
//! It never asks another service anything; it learns from their events.

mod desk;
mod lifecycle;
mod orders;
mod placing;
mod requests;

use crate::consumer;
use crate::environment::Environment;
use crate::schema::{Engine, script};

pub use desk::OrderDesk;
pub use lifecycle::OrderLifecycle;
pub use orders::{OrderView, Orders, OrdersError, PlaceOrder, Readdress};
pub use placing::OrderPlacedVersion;

/// The script that creates the service's tables.
#[must_use]
pub fn schema(engine: Engine) -> &'static str {
    script!(engine, "order")
}

/// Follows the orders until it has to stop.
pub async fn consumer(environment: Environment) {
    consumer::run(environment, Box::new(OrderLifecycle)).await
}
