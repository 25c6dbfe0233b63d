//! Tracking: tells analytics of every order that is placed, beside the customer's request and never within it.
//!
//! An order is put into a queue of bounded length, and the request goes on. What does not fit, what the broker does not take at the first try
//! and what the process has in its queue when it dies is lost; all but the last is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::correlation::Correlation;
use crate::event::contract::OrderTracked;
use crate::event::{Event, NewEvent};
use crate::order::{OrderView, Orders, OrdersError, PlaceOrder, Readdress};
use crate::ports::Broker;
use crate::shutdown::Shutdown;

/// How many orders may wait to be told of.
const QUEUE: usize = 1_000;

/// What became of what was tracked. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<AtomicU64>);

impl Losses {
    /// How many orders analytics was not told of.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, order_id: &str, why: &str) {
        let lost = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(order_id, why, lost, "not tracked");
    }
}

/// Orders that are tracked once they are placed.
pub struct Tracked {
    orders: Arc<dyn Orders>,
    queue: Sender<Event>,
    losses: Losses,
}

/// What tells analytics.
pub struct Tracking {
    broker: Arc<dyn Broker>,
    queue: Receiver<Event>,
    losses: Losses,
}

/// Tracks what is placed at `orders`; nothing is told until [`Tracking::run`] runs.
#[must_use]
pub fn tracked(orders: Arc<dyn Orders>, broker: Arc<dyn Broker>) -> (Tracked, Tracking) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let losses = Losses::default();
    let tracked = Tracked {
        orders,
        queue: sender,
        losses: losses.clone(),
    };
    let tracking = Tracking {
        broker,
        queue,
        losses,
    };
    (tracked, tracking)
}

impl Tracking {
    /// The count of what is lost.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.losses.clone()
    }

    /// Publishes what is tracked until it has to stop; each order in one try.
    pub async fn run(mut self, shutdown: Shutdown) {
        while let Some(Some(event)) = shutdown.unless_it_comes(self.queue.recv()).await {
            let message = event.encode(event.entity.clone());
            if let Err(error) = self.broker.publish(message).await {
                self.losses.add(&event.entity, &error.to_string());
            }
        }
    }
}

#[async_trait]
impl Orders for Tracked {
    async fn place(
        &self,
        order: PlaceOrder,
        correlation: Correlation,
    ) -> Result<String, OrdersError> {
        let data = OrderTracked {
            sku: order.sku.clone(),
            quantity: order.quantity,
            amount_cents: order
                .quantity
                .saturating_mul(order.unit_price_cents)
                .saturating_sub(order.discount_cents),
        };
        let order_id = self.orders.place(order, correlation.clone()).await?;
        let event = correlation.event(NewEvent::new(&order_id, data));
        if let Err(error) = self.queue.try_send(event) {
            self.losses.add(&order_id, &error.to_string());
        }
        Ok(order_id)
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
