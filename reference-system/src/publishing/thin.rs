//! Thin events: whatever another pattern publishes, without what its consumers can fetch from its owner.
//!
//! The event stays small, says nothing that is out of date when it is read, and breaks nobody when the entity changes. Each
//! consumer calls the owner for it, and waits while the owner is down.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::AnyConnection;

use crate::event::contract::{Contract, OrderConfirmed, OrderConfirmedThin};
use crate::event::{Event, NewEvent};
use crate::publishing::PublishPattern;

/// Publishes confirmed orders thin, and everything else as it is.
pub struct Thin(pub Arc<dyn PublishPattern>);

/// The event without what can be fetched.
fn thinned(event: &Event) -> Cow<'_, Event> {
    let is_whole = event.event_type == OrderConfirmed::EVENT_TYPE;
    let whole = is_whole.then(|| event.data::<OrderConfirmed>());
    let Some(Ok(OrderConfirmed { version, .. })) = whole else {
        return Cow::Borrowed(event);
    };
    let thin = NewEvent::new(&event.entity, OrderConfirmedThin { version });
    Cow::Owned(Event {
        schema_version: thin.schema_version,
        payload: thin.payload,
        ..event.clone()
    })
}

fn all_thinned(events: &[Event]) -> Vec<Event> {
    events
        .iter()
        .map(|event| thinned(event).into_owned())
        .collect()
}

#[async_trait]
impl PublishPattern for Thin {
    async fn record(&self, tx: &mut AnyConnection, events: &[Event]) -> sqlx::Result<()> {
        self.0.record(tx, &all_thinned(events)).await
    }

    async fn after_commit(&self, events: &[Event]) {
        self.0.after_commit(&all_thinned(events)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlation::Correlation;
    use crate::event::contract::StockReleased;

    #[test]
    fn a_confirmed_order_is_named_and_everything_else_stays() {
        let flow = Correlation::at_ingress(Some("flow"));
        let confirmed = OrderConfirmed {
            customer: "ada@example.org".to_owned(),
            address: "Mill Lane 1".to_owned(),
            version: 2,
            sku: "tea".to_owned(),
            quantity: 2,
            total_cents: 600,
        };
        let event = flow.event(NewEvent::new("order-1", confirmed));
        let thin = thinned(&event);
        assert_eq!((thin.id, thin.schema_version), (event.id, 2));
        assert_eq!(thin.payload, serde_json::json!({ "version": 2 }));
        let released = StockReleased {
            sku: "tea".to_owned(),
            quantity: 1,
        };
        let other = flow.event(NewEvent::new("order-1", released));
        assert_eq!(*thinned(&other), other);
    }
}
