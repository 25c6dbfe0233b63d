//! Upcasting: data of an earlier version becomes data of the version that consumers are written for.
//!
//! Each step knows two neighbouring versions and what the older one left unsaid; longer ways are several steps. Nothing is
//! ever brought down to an older version: who cannot read what is newer has to say so.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Event;
use super::contract::{Contract, OrderPlaced, OrderPlacedV1};

/// The way from one version of a type to the next.
struct Step {
    event_type: &'static str,
    from: u32,
    next: fn(&Value) -> serde_json::Result<Value>,
}

/// Every step there is.
const STEPS: [Step; 1] = [step::<OrderPlacedV1, OrderPlaced>()];

const fn step<Old, New>() -> Step
where
    Old: Contract + DeserializeOwned + Into<New>,
    New: Contract,
{
    assert!(New::SCHEMA_VERSION == Old::SCHEMA_VERSION + 1);
    Step {
        event_type: Old::EVENT_TYPE,
        from: Old::SCHEMA_VERSION,
        next: |data| Ok(Old::deserialize(data)?.into().into_json()),
    }
}

impl From<OrderPlacedV1> for OrderPlaced {
    /// There were no vouchers, so nothing was taken off.
    fn from(order: OrderPlacedV1) -> Self {
        Self {
            customer: order.customer,
            card: order.card,
            address: order.address,
            sku: order.sku,
            quantity: order.quantity,
            unit_price_cents: order.unit_price_cents,
            discount_cents: 0,
        }
    }
}

/// The data of `event` in version `to`, if there is a way from its own version.
///
/// # Errors
/// When the data breaks the contract of its own version.
pub(super) fn upcast(event: &Event, to: u32) -> serde_json::Result<Option<Cow<'_, Value>>> {
    let mut version = event.schema_version;
    let mut data = Cow::Borrowed(&event.payload);
    while version < to {
        let mut steps = STEPS.iter();
        let step = steps.find(|step| step.event_type == event.event_type && step.from == version);
        let Some(step) = step else {
            return Ok(None);
        };
        data = Cow::Owned((step.next)(&data)?);
        version += 1;
    }
    Ok((version == to).then_some(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{DecodeError, NewEvent};
    use crate::telemetry::TraceContext;

    fn order() -> OrderPlacedV1 {
        OrderPlacedV1 {
            customer: "ada@example.org".to_owned(),
            card: "visa".to_owned(),
            address: "Mill Lane 1".to_owned(),
            sku: "tea".to_owned(),
            quantity: 2,
            unit_price_cents: 300,
        }
    }

    fn event(schema_version: u32, payload: Value) -> Event {
        Event {
            id: uuid::Uuid::from_u128(1),
            event_type: OrderPlaced::EVENT_TYPE.to_owned(),
            schema_version,
            topic: OrderPlaced::TOPIC.to_owned(),
            entity: "order-1".to_owned(),
            correlation_id: "flow".to_owned(),
            causation_id: None,
            trace: TraceContext::default(),
            payload,
        }
    }

    #[test]
    fn the_first_version_is_read_as_the_second_without_a_discount() {
        let read: OrderPlaced = event(1, order().into_json()).data().unwrap();
        assert_eq!(read, OrderPlaced::from(order()));
        assert_eq!(read.discount_cents, 0);
    }

    #[test]
    fn the_second_version_is_read_as_it_is_and_never_without_its_discount() {
        let with_voucher = OrderPlaced {
            discount_cents: 100,
            ..order().into()
        };
        let second = event(2, with_voucher.clone().into_json());
        assert_eq!(second.data::<OrderPlaced>().unwrap(), with_voucher);
        let without = event(2, order().into_json()).data::<OrderPlaced>();
        assert!(
            matches!(without, Err(DecodeError::Data { .. })),
            "{without:?}"
        );
        let down = second.data::<OrderPlacedV1>();
        assert!(matches!(
            down,
            Err(DecodeError::SchemaVersion { found: 2, .. })
        ));
    }

    #[test]
    fn what_no_step_leads_to_is_not_read() {
        for version in [0, 3] {
            let unknown = event(version, order().into_json()).data::<OrderPlaced>();
            assert!(matches!(unknown, Err(DecodeError::SchemaVersion { .. })));
        }
    }

    #[test]
    fn data_that_breaks_the_contract_of_its_own_version_is_not_brought_up() {
        let mut data = order().into_json();
        data.as_object_mut().unwrap().remove("card");
        let broken = event(1, data).data::<OrderPlaced>();
        assert!(matches!(broken, Err(DecodeError::Data { .. })));
        assert_eq!(NewEvent::new("order-1", order()).schema_version, 1);
    }
}
