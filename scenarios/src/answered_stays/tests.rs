//! What `answered-stays` accepts, and each way in which it must refuse.

use stormglass::checker::{Property, Verdict};

use super::AnsweredStays;
use crate::deploy::view;
use crate::test_shop::Shop;
use crate::told::Told;
use crate::workload::Operation;

fn placed(idempotency_key: &str, order_id: &str) -> Told {
    Told::Placed {
        idempotency_key: idempotency_key.to_owned(),
        order_id: order_id.to_owned(),
    }
}

fn missing(order_id: &str) -> Told {
    Told::Missing {
        order_id: order_id.to_owned(),
    }
}

#[test]
fn accepts_answers_that_stay_whatever_becomes_of_the_order() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.tells(&[placed("a", "a")]);
    shop.compensates("b");
    shop.tells(&[placed("b", "b")]);
    assert_eq!(shop.judged_by(&AnsweredStays), Verdict::Holds);
}

#[test]
fn accepts_a_repeated_request_and_an_order_whose_client_gave_up() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.tells(&[placed("a", "a")]);
    shop.tells(&[placed("a", "a")]);
    shop.fulfils("b");
    assert_eq!(shop.judged_by(&AnsweredStays), Verdict::Holds);
}

#[test]
fn accepts_an_answered_order_whose_key_is_forgotten() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.requests.clear();
    shop.tells(&[placed("a", "a")]);
    assert_eq!(shop.judged_by(&AnsweredStays), Verdict::Holds);
}

#[test]
fn accepts_a_read_before_the_order_was_placed() {
    let mut shop = Shop::open();
    shop.tells(&[missing("a")]);
    shop.fulfils("a");
    shop.tells(&[placed("a", "a")]);
    assert_eq!(shop.judged_by(&AnsweredStays), Verdict::Holds);
}

#[test]
fn is_vacuous_if_nobody_was_told_anything() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let verdict = shop.judged_by(&AnsweredStays);
    assert!(matches!(verdict, Verdict::Vacuous(_)), "{verdict:?}");
}

#[test]
fn is_vacuous_without_the_final_state() {
    let mut shop = Shop::open();
    shop.tells(&[placed("a", "a")]);
    let verdict = AnsweredStays.check(&shop.history);
    assert!(matches!(verdict, Verdict::Vacuous(_)), "{verdict:?}");
}

#[test]
fn refuses_an_answered_order_that_does_not_exist() {
    let mut shop = Shop::open();
    shop.fulfils("b");
    shop.tells(&[placed("a", "a")]);
    shop.must_break_in(&AnsweredStays, view::ORDERS, "there is no such order");
}

#[test]
fn refuses_two_answers_under_one_key() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.tells(&[placed("key", "a")]);
    shop.fulfils("b");
    let second = shop.tells(&[placed("key", "b")]);
    shop.must_break_at(&AnsweredStays, second, "were told two orders, a and b");
}

#[test]
fn refuses_an_order_that_no_key_leads_to() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.fulfils("b");
    shop.requests.remove("b");
    shop.tells(&[placed("a", "a")]);
    shop.must_break_in(&AnsweredStays, view::ORDERS, "order b exists");
}

#[test]
fn refuses_a_read_that_misses_an_answered_order() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    let missed = shop.tells(&[placed("a", "a"), missing("a")]);
    shop.must_break_at(&AnsweredStays, missed, "was told that there is none");
}

#[test]
fn refuses_a_cancelled_order_that_goes_on() {
    let cancelled = || Told::Cancelled {
        order_id: "a".to_owned(),
    };
    let found = |state: &str| Told::Found {
        order_id: "a".to_owned(),
        state: state.to_owned(),
        address: String::new(),
    };
    let mut shop = Shop::open();
    shop.places("a");
    shop.tells(&[placed("a", "a"), found("placed")]);
    shop.tells(&[cancelled(), found("cancelled")]);
    shop.ends("a", "shipped");
    shop.must_break_in(&AnsweredStays, view::ORDERS, "is cancelled, and it is not");

    let mut shop = Shop::open();
    shop.places("a");
    shop.tells(&[placed("a", "a")]);
    let told = shop.tells(&[cancelled(), found("confirmed")]);
    shop.ends("a", "cancelled");
    shop.must_break_at(
        &AnsweredStays,
        told,
        "its client was told then that it is confirmed",
    );
}

fn readdressed(address: &str) -> Told {
    Told::Readdressed {
        order_id: "a".to_owned(),
        address: address.to_owned(),
    }
}

fn found_at(address: &str) -> Told {
    Told::Found {
        order_id: "a".to_owned(),
        state: "placed".to_owned(),
        address: address.to_owned(),
    }
}

#[test]
fn accepts_the_last_of_several_addresses_that_were_asked_for() {
    for last in ["Mill Lane 2", "Mill Lane 3", "Mill Lane 4"] {
        let mut shop = Shop::open();
        shop.fulfils("a");
        shop.tells(&[placed("a", "a"), found_at("Mill Lane 1")]);
        shop.tells(&[readdressed("Mill Lane 2"), found_at("Mill Lane 3")]);
        shop.tells(&[readdressed("Mill Lane 3")]);
        shop.asks_in_vain(&Operation::Readdress {
            customer: "ada@example.org".to_owned(),
            which: 0,
            address: "Mill Lane 4".to_owned(),
            idempotency_key: "key".to_owned(),
            gateway: 0,
        });
        shop.addresses.insert("a", last);
        assert_eq!(shop.judged_by(&AnsweredStays), Verdict::Holds, "{last}");
    }
}

#[test]
fn refuses_an_order_that_goes_to_its_first_address_again() {
    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.tells(&[placed("a", "a"), found_at("Mill Lane 1")]);
    shop.tells(&[readdressed("Mill Lane 2"), found_at("Mill Lane 2")]);
    shop.addresses.insert("a", "Mill Lane 1");
    shop.must_break_in(&AnsweredStays, view::ORDERS, "it goes to Mill Lane 1");

    let mut shop = Shop::open();
    shop.fulfils("a");
    shop.tells(&[placed("a", "a")]);
    let told = shop.tells(&[readdressed("Mill Lane 2"), found_at("Mill Lane 1")]);
    shop.addresses.insert("a", "Mill Lane 2");
    shop.must_break_at(
        &AnsweredStays,
        told,
        "told then that it goes to Mill Lane 1",
    );
}
