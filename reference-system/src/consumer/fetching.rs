//! Fetching: a thin event says that something happened, and what its consumer needs to know is asked of the service that owns
//! it, before the event is handled as if it had carried it.
//!
//! What is fetched is the state of now, not of then: it may be newer than the event, so the version that came with it counts,
//! and whoever keeps the newest version keeps it. State that is older than the event cannot be meant, and is asked for again;
//! so is an owner that does not answer, which holds the event up and never uses up an attempt.

use std::sync::Arc;

use async_trait::async_trait;

use crate::database::Database;
use crate::event::contract::{Contract, OrderConfirmed, OrderConfirmedThin};
use crate::event::{Event, NewEvent};
use crate::order::OrderView;
use crate::ports::order_source::{OrderSource, OrderSourceError};

use super::{Effect, Failure, Handler, Prepared};

/// A handler whose thin events are completed before it sees them.
pub struct Fetching {
    handler: Box<dyn Handler>,
    orders: Arc<dyn OrderSource>,
}

impl Fetching {
    /// Completes events for `handler` from `orders`.
    #[must_use]
    pub fn new(handler: Box<dyn Handler>, orders: Arc<dyn OrderSource>) -> Self {
        Self { handler, orders }
    }

    /// The event as a hybrid one would have been, if it is a thin one.
    async fn complete(&self, event: &Event) -> Result<Option<Event>, Failure> {
        let is_thin = event.event_type == OrderConfirmedThin::EVENT_TYPE
            && event.schema_version == OrderConfirmedThin::SCHEMA_VERSION;
        if !is_thin {
            return Ok(None);
        }
        let OrderConfirmedThin { version } = event.data()?;
        let order = self
            .orders
            .order(&event.entity, &event.correlation_id)
            .await?;
        if order.version < version {
            let problem = format!("order is in version {} yet, not {version}", order.version);
            return Err(Failure::Transient(problem));
        }
        let whole = NewEvent::new(&event.entity, OrderConfirmed::from(order));
        Ok(Some(Event {
            schema_version: whole.schema_version,
            payload: whole.payload,
            ..event.clone()
        }))
    }
}

impl From<OrderView> for OrderConfirmed {
    fn from(order: OrderView) -> Self {
        Self {
            total_cents: order.quantity * order.unit_price_cents - order.discount_cents,
            customer: order.customer,
            address: order.address,
            version: order.version,
            sku: order.sku,
            quantity: order.quantity,
        }
    }
}

impl From<OrderSourceError> for Failure {
    fn from(error: OrderSourceError) -> Self {
        match error {
            OrderSourceError::Unknown(_) => Self::Permanent(error.to_string()),
            OrderSourceError::Unavailable(_) => Self::Transient(error.to_string()),
        }
    }
}

#[async_trait]
impl Handler for Fetching {
    fn consumer(&self) -> &'static str {
        self.handler.consumer()
    }

    fn topics(&self) -> &'static [&'static str] {
        self.handler.topics()
    }

    fn handles(&self) -> &'static [&'static str] {
        self.handler.handles()
    }

    async fn prepare(
        &self,
        database: &Database,
        event: &Event,
    ) -> Result<Box<dyn Prepared>, Failure> {
        let Some(event) = self.complete(event).await? else {
            return self.handler.prepare(database, event).await;
        };
        let prepared = self.handler.prepare(database, &event).await?;
        Ok(Box::new(Completed { prepared, event }))
    }
}

/// What was prepared for an event that has been completed.
struct Completed {
    prepared: Box<dyn Prepared>,
    event: Event,
}

#[async_trait]
impl Prepared for Completed {
    async fn apply(
        self: Box<Self>,
        tx: &mut sqlx::AnyConnection,
        _: &Event,
    ) -> Result<Effect, Failure> {
        self.prepared.apply(tx, &self.event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlation::Correlation;

    /// An owner that gives this answer.
    struct Owner(Result<OrderView, &'static str>);

    #[async_trait]
    impl OrderSource for Owner {
        async fn order(&self, _: &str, _: &str) -> Result<OrderView, OrderSourceError> {
            let down = |why: &str| OrderSourceError::Unavailable(why.to_owned());
            self.0.clone().map_err(down)
        }
    }

    fn order(version: i64) -> OrderView {
        OrderView {
            order_id: "order-1".to_owned(),
            state: "confirmed".to_owned(),
            customer: "ada@example.org".to_owned(),
            address: format!("Mill Lane {version}"),
            sku: "tea".to_owned(),
            quantity: 2,
            dispatched: 0,
            unit_price_cents: 300,
            discount_cents: 50,
            version,
        }
    }

    async fn completed(answer: Result<OrderView, &'static str>) -> Result<Option<Event>, Failure> {
        let event = Correlation::at_ingress(None)
            .event(NewEvent::new("order-1", OrderConfirmedThin { version: 2 }));
        let handler = Box::new(crate::shipping::Dispatching);
        let fetching = Fetching::new(handler, Arc::new(Owner(answer)));
        let completed = fetching.complete(&event).await?;
        assert!(completed.as_ref().is_none_or(|own| own.id == event.id));
        Ok(completed)
    }

    #[tokio::test]
    async fn a_thin_event_is_completed_with_the_state_of_now() {
        for version in [2, 3] {
            let event = completed(Ok(order(version))).await.unwrap().unwrap();
            let data: OrderConfirmed = event.data().unwrap();
            assert_eq!(data.version, version);
            assert_eq!(data.address, format!("Mill Lane {version}"));
            assert_eq!(data.total_cents, 550);
        }
    }

    #[tokio::test]
    async fn an_owner_that_is_down_or_behind_holds_the_event_up() {
        for answer in [Err("down"), Ok(order(1))] {
            let failed = completed(answer).await;
            assert!(matches!(failed, Err(Failure::Transient(_))), "{failed:?}");
        }
    }

    #[tokio::test]
    async fn an_event_that_carries_everything_is_left_as_it_is() {
        let whole = NewEvent::new("order-1", OrderConfirmed::from(order(2)));
        let event = Correlation::at_ingress(None).event(whole);
        let owner = Arc::new(Owner(Err("never asked")));
        let fetching = Fetching::new(Box::new(crate::shipping::Dispatching), owner);
        assert_eq!(fetching.complete(&event).await.unwrap(), None);
    }
}
