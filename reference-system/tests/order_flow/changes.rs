//! What customers change while an order is under way: they cancel it, send it elsewhere, and look how it stands.

use std::time::Duration;

use serde_json::json;

use super::body;
use super::system::{Patience, System, rows, stock};

#[tokio::test]
async fn a_cancelled_order_is_refunded_if_it_was_charged_meanwhile_and_its_stock_is_free_again() {
    // The card processor answers late: the customer cancels while the card is being charged.
    let system = System::start_with_processor_failing(20).await;
    let id = system.place(&body("tea", "visa")).await;
    let reserved = async || stock(&system.inventory, "tea").await == (8, 2, 0);
    Patience::until("stock is reserved", reserved).await;
    let cancel = format!("/orders/{id}/cancel");
    for _ in 0..2 {
        let cancelled = system.http.post(&cancel, &[], &json!({})).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.json);
    }
    assert_eq!(system.state(&id).await, "cancelled");
    let refunded = async || system.processor.refunded().len() == 1;
    Patience::until("the money goes back", refunded).await;
    assert_eq!(system.processor.refunded(), system.processor.captured());
    let free = async || stock(&system.inventory, "tea").await == (10, 0, 0);
    Patience::until("stock is released", free).await;
    Patience::until("the customer knows", async || {
        let mails = system.mailer.sent();
        mails.iter().any(|mail| mail.occasion == "refunded")
    })
    .await;
    assert!(system.broker.published("shipments").is_empty());
    let paid = system.place(&body("tea", "visa")).await;
    system.order_in_state(&paid, "shipped").await;
    let too_late = format!("/orders/{paid}/cancel");
    let answer = system.http.post(&too_late, &[], &json!({})).await;
    assert_eq!(answer.status, 409);
}

#[tokio::test]
async fn an_order_of_several_parcels_can_get_another_address_until_all_have_left() {
    let system = System::start().await;
    let mut five = body("tea", "visa");
    five["quantity"] = json!(5);
    let id = system.place(&five).await;
    let route = format!("/orders/{id}/address");
    let key = [("idempotency-key", "move-1")];
    let moved = json!({ "address": "Mill Lane 2", "version": 1 });
    // Asked for twice under one key; meanwhile the order may have been confirmed.
    let first = system.http.post(&route, &key, &moved).await;
    let again = system.http.post(&route, &key, &moved).await;
    assert_eq!(first.status, again.status);
    let order = system.order_in_state(&id, "shipped").await;
    assert_eq!(order["dispatched"], 5);
    let parcels = "SELECT parcel || '', pieces || '', address FROM parcels ORDER BY parcel";
    let parcels = rows(&system.shipments, parcels).await;
    let pieces: Vec<&str> = parcels.iter().map(|parcel| parcel[1].as_str()).collect();
    assert_eq!(pieces, ["2", "2", "1"]);
    if first.status == 200 {
        assert_eq!(parcels[2][2], "Mill Lane 2");
    }
    let written_off = async || stock(&system.inventory, "tea").await == (5, 0, 5);
    Patience::until("stock is written off", written_off).await;
    let stale = json!({ "address": "Mill Lane 3", "version": 1 });
    assert_eq!(system.http.post(&route, &[], &stale).await.status, 409);
    let unknown = system.http.post("/orders/none/address", &[], &stale);
    assert_eq!(unknown.await.status, 404);
}

#[tokio::test]
async fn a_customer_finds_the_latest_order_first() {
    let system = System::start().await;
    let first = system.place(&body("tea", "visa")).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = system.place(&body("tea", "visa")).await;
    let found = system.http.get("/orders?customer=ada@example.org").await;
    let orders = found.json["orders"].as_array().unwrap().iter();
    let ids: Vec<&str> = orders
        .map(|order| order["order_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [second, first]);
    assert_eq!(system.http.get("/orders").await.status, 400);
}
