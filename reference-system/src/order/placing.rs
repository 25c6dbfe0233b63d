//! Placing an order: what makes sense, and the version of its contract in which it is announced.
//!
//! The desk writes in the version that it is told to. Consumers come first: they have to read the second version before any
//! desk is told to write it, and a desk that still writes the first one takes no vouchers.

use crate::event::NewEvent;
use crate::event::contract::{Contract, OrderPlaced, OrderPlacedV1};

use super::orders::{OrdersError, PlaceOrder};

/// A version of the contract of `order.placed` that a desk can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderPlacedVersion {
    /// The first one, from before there were vouchers.
    #[default]
    One,
    /// The second one, with what a voucher takes off.
    Two,
}

impl OrderPlacedVersion {
    /// The number that the events carry.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::One => OrderPlacedV1::SCHEMA_VERSION,
            Self::Two => OrderPlaced::SCHEMA_VERSION,
        }
    }
}

/// Refuses what cannot be meant, and what cannot be announced in this version.
pub(super) fn validate(order: &PlaceOrder, version: OrderPlacedVersion) -> Result<(), OrdersError> {
    let texts = [&order.customer, &order.card, &order.address, &order.sku];
    let total_cents = order.quantity.checked_mul(order.unit_price_cents);
    let problem = if texts.iter().any(|text| text.trim().is_empty()) {
        "customer, card, address and sku must not be empty"
    } else if order.quantity < 1 {
        "quantity must be at least 1"
    } else if order.unit_price_cents < 1 {
        "unit_price_cents must be at least 1"
    } else if total_cents.is_none() {
        "the order's total is too large"
    } else if order.discount_cents < 0 || total_cents <= Some(order.discount_cents) {
        "discount_cents must be at least 0 and leave something to pay"
    } else if order.discount_cents > 0 && version == OrderPlacedVersion::One {
        "vouchers are not taken yet"
    } else {
        return Ok(());
    };
    Err(OrdersError::Invalid(problem))
}

/// The event that announces an order which is valid for this version.
pub(super) fn placed(order_id: &str, order: PlaceOrder, version: OrderPlacedVersion) -> NewEvent {
    let first = OrderPlacedV1 {
        customer: order.customer,
        card: order.card,
        address: order.address,
        sku: order.sku,
        quantity: order.quantity,
        unit_price_cents: order.unit_price_cents,
    };
    match version {
        OrderPlacedVersion::One => NewEvent::new(order_id, first),
        OrderPlacedVersion::Two => {
            let second = OrderPlaced {
                discount_cents: order.discount_cents,
                ..first.into()
            };
            NewEvent::new(order_id, second)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(discount_cents: i64) -> PlaceOrder {
        PlaceOrder {
            customer: "ada@example.org".to_owned(),
            card: "visa".to_owned(),
            address: "Mill Lane 1".to_owned(),
            sku: "tea".to_owned(),
            quantity: 2,
            unit_price_cents: 300,
            discount_cents,
            idempotency_key: None,
        }
    }

    #[test]
    fn a_voucher_leaves_something_to_pay_and_needs_the_second_version() {
        use OrderPlacedVersion::{One, Two};
        for (discount, version, is_taken) in [
            (0, One, true),
            (1, One, false),
            (0, Two, true),
            (599, Two, true),
            (600, Two, false),
            (-1, Two, false),
        ] {
            let taken = validate(&order(discount), version).is_ok();
            assert_eq!(taken, is_taken, "{discount} in {version:?}");
        }
    }

    #[test]
    fn an_order_is_announced_in_the_version_that_is_asked_for() {
        let first = placed("order-1", order(0), OrderPlacedVersion::One);
        assert_eq!(first.schema_version, 1);
        assert!(first.payload.get("discount_cents").is_none());
        let second = placed("order-1", order(50), OrderPlacedVersion::Two);
        assert_eq!(second.schema_version, OrderPlacedVersion::Two.number());
        assert_eq!(second.payload["discount_cents"], 50);
    }
}
