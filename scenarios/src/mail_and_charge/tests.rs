//! What `mail-and-charge` accepts, and each way in which it must refuse.

use stormglass::checker::Verdict;
use stormglass::history::ExternalOutcome;

use super::MailAndCharge;
use crate::test_shop::{PRICE, Shop};

/// A shop in which one order is reserved, charged and said to be paid.
fn paid() -> Shop {
    let mut shop = Shop::open();
    shop.places("a");
    shop.announces("inventory", "a", "stock.reserved");
    shop.charges("a", PRICE);
    shop.announces("payment", "a", "payment.captured");
    shop
}

#[test]
fn accepts_one_deed_for_each_reason() {
    let mut shop = paid();
    for (occasion, reason, effect) in [
        ("received", None, "receipt mailed"),
        ("confirmed", Some("order.confirmed"), "confirmation mailed"),
        ("dispatched", Some("shipment.dispatched"), "dispatch mailed"),
        ("dispatched", Some("shipment.dispatched"), "dispatch mailed"),
    ] {
        if let Some(reason) = reason {
            shop.announces("order", "a", reason);
        }
        shop.mails("a", occasion);
        shop.applies("notification", "a", effect);
    }
    assert_eq!(shop.judged_by(&MailAndCharge), Verdict::Holds);
}

#[test]
fn accepts_repetitions_and_refusals_that_book_nothing() {
    let mut shop = paid();
    shop.books("charge", "a", PRICE, ExternalOutcome::Repeated);
    shop.books("charge", "a", PRICE, ExternalOutcome::Refused);
    shop.books("charge", "a", PRICE, ExternalOutcome::Unavailable);
    assert_eq!(shop.judged_by(&MailAndCharge), Verdict::Holds);
}

#[test]
fn accepts_a_refund_of_a_cancelled_order_and_a_mail_ahead_of_its_commit() {
    let mut shop = paid();
    shop.mails("a", "cancelled");
    shop.announces("order", "a", "order.cancelled");
    shop.announces("order", "a", "refund.requested");
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    shop.announces("payment", "a", "payment.refunded");
    assert_eq!(shop.judged_by(&MailAndCharge), Verdict::Holds);
}

#[test]
fn is_vacuous_if_nothing_was_done() {
    let mut shop = Shop::open();
    shop.places("a");
    let verdict = shop.judged_by(&MailAndCharge);
    assert!(matches!(verdict, Verdict::Vacuous(_)), "{verdict:?}");
}

#[test]
fn refuses_a_second_mail_under_another_key() {
    let mut shop = paid();
    shop.mails("a", "received");
    let second = shop.mails("a", "received");
    shop.must_break_at(&MailAndCharge, second, "done 2 times for one order.placed");
}

#[test]
fn refuses_one_mail_more_than_there_are_reasons() {
    let mut shop = paid();
    for _ in 0..2 {
        shop.announces("shipping", "a", "shipment.dispatched");
        shop.mails("a", "dispatched");
    }
    let third = shop.mails("a", "dispatched");
    shop.must_break_at(
        &MailAndCharge,
        third,
        "done 3 times for 2 shipment.dispatched",
    );
}

#[test]
fn refuses_a_mail_about_a_stage_that_was_never_committed() {
    let mut shop = paid();
    let early = shop.mails("a", "confirmed");
    shop.must_break_at(
        &MailAndCharge,
        early,
        "no order.confirmed of it was committed",
    );
}

#[test]
fn refuses_a_mail_that_is_none_of_the_shops() {
    let mut shop = paid();
    let strange = shop.mails("a", "greetings");
    shop.must_break_at(&MailAndCharge, strange, "something unknown");
}

#[test]
fn refuses_a_second_charge_and_one_without_a_reservation() {
    let mut shop = paid();
    let second = shop.charges("a", PRICE);
    shop.must_break_at(
        &MailAndCharge,
        second,
        "charge for order a was done 2 times",
    );

    let mut shop = paid();
    shop.places("b");
    let strange = shop.charges("b", PRICE);
    shop.must_break_at(
        &MailAndCharge,
        strange,
        "no stock.reserved of it was committed",
    );
}

#[test]
fn refuses_a_refund_without_a_reason_or_a_second_one() {
    let mut shop = paid();
    let refund = shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    shop.must_break_at(&MailAndCharge, refund, "refund for order a has no reason");

    let mut shop = paid();
    shop.announces("order", "a", "refund.requested");
    shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    let second = shop.books("refund", "a", PRICE, ExternalOutcome::Booked);
    shop.must_break_at(&MailAndCharge, second, "done 2 times");
}

#[test]
fn refuses_a_refund_of_what_was_not_paid() {
    let mut shop = paid();
    shop.announces("order", "a", "refund.requested");
    let refund = shop.books("refund", "a", PRICE + 1, ExternalOutcome::Booked);
    shop.must_break_at(&MailAndCharge, refund, "more than was paid");
}

#[test]
fn refuses_a_claim_that_nothing_stands_behind() {
    let mut shop = paid();
    let claim = shop.applies("notification", "a", "receipt mailed");
    shop.must_break_at(&MailAndCharge, claim, "the mailer knows of none");

    let mut shop = paid();
    let claim = shop.announces("payment", "a", "payment.captured");
    shop.must_break_at(&MailAndCharge, claim, "the card-processor knows of none");

    let mut shop = paid();
    shop.announces("order", "a", "order.cancelled");
    let claim = shop.announces("payment", "a", "payment.refunded");
    shop.must_break_at(
        &MailAndCharge,
        claim,
        "refund for order a is said to be done",
    );
}
