//! What `money-and-stock` accepts, and each way in which it must refuse.

use stormglass::checker::{Property, Verdict};
use stormglass::history::{ExternalOutcome, What};

use super::MoneyAndStock;
use crate::deploy::view;
use crate::test_shop::{PRICE, Shop};

#[test]
fn accepts_orders_that_are_fulfilled_compensated_or_turned_away() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.compensates("b");
    shop.places("c");
    shop.applies("inventory", "c", "stock rejected");
    shop.ends("c", "cancelled");
    assert_eq!(shop.judged_by(&MoneyAndStock), Verdict::Holds);
}

#[test]
fn accepts_a_repeated_charge_that_books_nothing_and_a_refund() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.books("charge", "a", PRICE, ExternalOutcome::Repeated);
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    shop.releases("a");
    shop.ends("a", "cancelled");
    assert_eq!(shop.judged_by(&MoneyAndStock), Verdict::Holds);
}

#[test]
fn excuses_an_order_with_a_parked_event_from_ending_only() {
    let mut shop = Shop::open();
    shop.fulfils("b");
    shop.places("a");
    shop.reserves("a");
    shop.parks_an_event_of("a");
    assert_eq!(shop.judged_by(&MoneyAndStock), Verdict::Holds);

    let mut shop = Shop::open();
    shop.places("a");
    shop.parks_an_event_of("a");
    shop.charges("a", PRICE);
    let second = shop.charges("a", PRICE);
    shop.must_break_at(&MoneyAndStock, second, "second charge");
}

#[test]
fn excuses_an_order_with_a_withheld_event_although_a_consumer_parked_a_copy() {
    let mut shop = Shop::open();
    shop.fulfils("b");
    shop.places("a");
    shop.withholds("order", "a", "order.placed");
    shop.parks("notification", "a", "order.placed");
    assert_eq!(shop.judged_by(&MoneyAndStock), Verdict::Holds);
}

#[test]
fn a_replayed_event_excuses_nothing() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.parks("payment", "a", "card charged");
    shop.applies("payment", "a", "card charged");
    shop.must_break_in(&MoneyAndStock, view::ORDERS, "is still placed");
}

#[test]
fn an_event_that_only_the_notification_parked_excuses_nothing() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.parks("notification", "a", "stock reserved");
    shop.must_break_in(&MoneyAndStock, view::ORDERS, "is still placed");
}

#[test]
fn is_vacuous_if_every_order_is_excused() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.parks_an_event_of("a");
    assert!(matches!(
        shop.judged_by(&MoneyAndStock),
        Verdict::Vacuous(_)
    ));
}

#[test]
fn is_vacuous_without_an_order() {
    assert!(matches!(
        Shop::open().judged_by(&MoneyAndStock),
        Verdict::Vacuous(_)
    ));
}

#[test]
fn is_vacuous_without_the_final_state() {
    let mut shop = Shop::open();
    shop.places("a");
    assert!(matches!(
        MoneyAndStock.check(&shop.history),
        Verdict::Vacuous(_)
    ));
}

#[test]
fn refuses_a_second_charge() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let second = shop.charges("a", PRICE);
    shop.must_break_at(&MoneyAndStock, second, "second charge");
}

#[test]
fn refuses_a_second_charge_after_a_refund() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    let second = shop.charges("a", PRICE);
    shop.ships("a");
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_at(&MoneyAndStock, second, "second charge");
}

#[test]
fn refuses_a_cancelled_order_whose_goods_were_shipped() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.ships("a");
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    shop.releases("a");
    shop.ends("a", "cancelled");
    shop.must_break_in(&MoneyAndStock, view::ORDERS, "its goods were shipped");
}

#[test]
fn refuses_a_charge_at_another_price() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    let wrong = shop.charges("a", PRICE - 1);
    shop.must_break_at(&MoneyAndStock, wrong, "has paid 599");
}

#[test]
fn refuses_a_charge_for_an_order_that_nobody_placed() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let strange = shop.charges("ghost", PRICE);
    shop.must_break_at(&MoneyAndStock, strange, "nobody placed");
}

#[test]
fn refuses_a_shipment_before_the_payment() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    let unpaid = shop.ships("a");
    shop.charges("a", PRICE);
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_at(&MoneyAndStock, unpaid, "before it was paid");
}

#[test]
fn refuses_a_shipment_after_a_refund() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    let unpaid = shop.ships("a");
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_at(&MoneyAndStock, unpaid, "before it was paid");
}

#[test]
fn refuses_a_second_shipment() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let second = shop.ships("a");
    shop.must_break_at(&MoneyAndStock, second, "4 were shipped");
}

#[test]
fn refuses_a_reservation_of_more_than_there_is() {
    let mut shop = Shop::open();
    let names: Vec<&'static str> = (0..21).map(|n| &*format!("order {n}").leak()).collect();
    for name in &names[..20] {
        shop.fulfils(name);
    }
    shop.places(names[20]);
    let oversold = shop.reserves(names[20]);
    shop.must_break_at(&MoneyAndStock, oversold, "only 0 were free");
}

#[test]
fn tells_every_move_of_the_article_where_stock_is_wrong() {
    let mut shop = Shop::open();
    for name in ["a", "b", "c"] {
        shop.fulfils(name);
    }
    shop.stock.insert("tea", [40, 0, 0]);
    let moves = shop
        .history
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Observed { database, .. } if **database == *"inventory" => Some(event.index),
            _ => None,
        });
    let moves: Vec<u64> = moves.collect();
    let verdict = shop.judged_by(&MoneyAndStock);
    let chain = &verdict.witness().expect("tea is wrong").chain;
    assert_eq!(moves.len(), 6);
    assert_eq!(chain[..chain.len() - 1], moves);
}

#[test]
fn refuses_a_second_reservation() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    let second = shop.reserves("a");
    shop.must_break_at(&MoneyAndStock, second, "a second time");
}

#[test]
fn refuses_a_second_compensation() {
    let mut shop = Shop::open();
    shop.compensates("a");
    let second = shop.releases("a");
    shop.must_break_at(&MoneyAndStock, second, "which held none");
}

#[test]
fn refuses_a_write_off_of_what_was_not_reserved() {
    let mut shop = Shop::open();
    shop.compensates("a");
    let wrong = shop.writes_off("a");
    shop.must_break_at(&MoneyAndStock, wrong, "which held none");
}

#[test]
fn refuses_a_final_stock_that_does_not_add_up() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.stock.insert("cup", [11, 0, 0]);
    shop.must_break_in(&MoneyAndStock, view::STOCK, "cup");
}

#[test]
fn refuses_an_order_that_is_stuck() {
    for state in ["placed", "confirmed"] {
        let mut shop = Shop::open();
        shop.places("a");
        shop.reserves("a");
        shop.charges("a", PRICE);
        shop.ends("a", state);
        shop.must_break_in(&MoneyAndStock, view::ORDERS, state);
    }
}

#[test]
fn refuses_an_order_that_is_gone() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.orders.remove("a");
    shop.must_break_in(&MoneyAndStock, view::ORDERS, "is gone");
}

#[test]
fn refuses_a_shipped_order_that_nobody_paid_or_nothing_left() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.writes_off("a");
    shop.ends("a", "shipped");
    shop.must_break_in(&MoneyAndStock, view::ORDERS, "nothing was paid");

    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.shipments.clear();
    shop.must_break_in(&MoneyAndStock, view::ORDERS, "nothing left the house");
}

#[test]
fn refuses_a_cancelled_order_that_was_paid() {
    let mut shop = Shop::open();
    shop.places("a");
    shop.reserves("a");
    shop.charges("a", PRICE);
    shop.releases("a");
    shop.ends("a", "cancelled");
    shop.must_break_in(&MoneyAndStock, view::ORDERS, "has paid 600");
}

#[test]
fn refuses_a_reservation_that_outlives_its_order() {
    for state in ["cancelled", "shipped"] {
        let mut shop = Shop::open();
        shop.places("a");
        shop.reserves("a");
        if state == "shipped" {
            shop.charges("a", PRICE);
            shop.ships("a");
        }
        shop.ends("a", state);
        shop.must_break_in(
            &MoneyAndStock,
            view::RESERVATIONS,
            "its reservation is held",
        );
    }
}

#[test]
fn a_voucher_lowers_the_price() {
    let with_voucher = || {
        let mut shop = Shop::open();
        shop.discounts.insert("a", 50);
        shop.places("a");
        shop.reserves("a");
        shop
    };
    let mut shop = with_voucher();
    shop.charges("a", PRICE - 50);
    shop.ships("a");
    shop.writes_off("a");
    shop.ends("a", "shipped");
    assert_eq!(shop.judged_by(&MoneyAndStock), Verdict::Holds);

    let mut shop = with_voucher();
    let whole = shop.charges("a", PRICE);
    shop.must_break_at(&MoneyAndStock, whole, "costs 550 cents");
}
