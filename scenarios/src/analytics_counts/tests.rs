//! Histories that `analytics-counts` accepts, and one for each way in which it rejects.

use std::sync::Arc;

use serde_json::json;
use stormglass::{Message, Position};

use super::*;
use crate::test_shop::Shop;

/// A shop with one shipped order, which analytics has counted like this.
fn shop(counted: Value) -> (Shop, u64) {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let index = counts(&mut shop, counted);
    (shop, index)
}

fn counts(shop: &mut Shop, counted: Value) -> u64 {
    shop.happens(What::FinalState {
        database: "analytics".into(),
        view: view::TRACKED_ORDERS.to_owned(),
        rows: serde_json::from_value(counted).expect("rows are objects"),
    })
}

fn row(id: &str, quantity: i64) -> Value {
    json!({ "order_id": id, "sku": "tea", "quantity": quantity })
}

fn is_told(shop: &mut Shop, order: &str) {
    let position = Position {
        topic: topic::ACTIVITY.into(),
        partition: 0,
        offset: 0,
    };
    shop.happens(What::Published {
        position,
        message: Arc::new(Message::new(topic::ACTIVITY, order, "")),
    });
}

#[test]
fn accepts_what_was_counted_as_it_was_placed() {
    let (shop, _) = shop(json!([row("a", 2)]));
    assert_eq!(shop.judged_by(&AnalyticsCounts), Verdict::Holds);
}

#[test]
fn accepts_that_what_was_placed_in_an_outage_or_is_parked_is_not_counted() {
    let (mut in_outage, _) = shop(json!([]));
    in_outage.happens(What::FaultBit {
        fault: 0,
        text: "the broker is down".to_owned(),
    });
    assert_eq!(in_outage.judged_by(&AnalyticsCounts), Verdict::Holds);
    let (mut parked, _) = shop(json!([]));
    is_told(&mut parked, "a");
    parked.parks_as("analytics", "a");
    assert_eq!(parked.judged_by(&AnalyticsCounts), Verdict::Holds);
}

#[test]
fn is_vacuous_without_an_order_or_without_analytics() {
    let mut without_analytics = Shop::open();
    without_analytics.fulfils("a");
    let mut without_orders = Shop::open();
    counts(&mut without_orders, json!([]));
    for shop in [without_analytics, without_orders] {
        let verdict = shop.judged_by(&AnalyticsCounts);
        assert!(matches!(verdict, Verdict::Vacuous(_)), "{verdict:?}");
    }
}

#[test]
fn rejects_what_is_lost_without_an_outage() {
    let (shop, index) = shop(json!([]));
    shop.must_break_at(&AnalyticsCounts, index, "outside of any outage");
}

#[test]
fn rejects_what_was_told_and_is_not_counted_outage_or_not() {
    let (mut shop, index) = shop(json!([]));
    is_told(&mut shop, "a");
    shop.happens(What::FaultBit {
        fault: 0,
        text: "the broker is down".to_owned(),
    });
    shop.must_break_at(&AnalyticsCounts, index, "was told of");
}

#[test]
fn rejects_what_is_counted_wrongly_or_was_never_placed() {
    for wrong in [row("a", 3), row("b", 2)] {
        let (shop, index) = shop(json!([row("a", 2), wrong]));
        shop.must_break_at(&AnalyticsCounts, index, "otherwise");
    }
}
