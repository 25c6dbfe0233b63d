//! Money: every order is charged at most once, at its price, and ships only while it is paid for;
//! what is cancelled does not ship.
//!
//! That an order which ships is charged at all follows; that one which does not ship is not left
//! charged is a matter of how it ends.

use super::books::{Books, Last, Order};
use crate::breach::Breach;

/// Charges and shipments that break a promise.
pub(super) fn breaches(books: &Books<'_>, last: &Last<'_>) -> Vec<Breach> {
    let strange = books.strange_charges.iter().map(|&(index, id)| {
        Breach::of(
            "strange-charge",
            id,
            index,
            format!("a card was charged for order {}, which nobody placed", id),
        )
    });
    let of_orders = books.orders.iter().flat_map(|(&id, order)| {
        [
            wrong_charge(id, order, last),
            charged_again(id, order),
            shipped_yet_cancelled(id, order, last),
            unpaid_shipment(id, order),
            wrong_shipment(id, order, last),
        ]
    });
    strange.chain(of_orders.flatten()).collect()
}

/// The first entry of the ledger after which the customer has not paid nothing or the price.
fn wrong_charge(id: &str, order: &Order<'_>, last: &Last<'_>) -> Option<Breach> {
    let price = last.orders.get(id)?.price_cents;
    let mut paid = 0;
    let wrong = order.entries.iter().find(|entry| {
        paid += entry.cents;
        paid != 0 && paid != price
    })?;
    let twice = if paid > price && paid != wrong.cents {
        " by a second charge"
    } else {
        ""
    };
    Some(Breach::of(
        "wrong-charge",
        id,
        wrong.index,
        format!(
            "order {} costs {price} cents, and its customer has paid {paid}{twice}",
            id
        ),
    ))
}

/// The second charge of a card, whatever was refunded in between.
fn charged_again(id: &str, order: &Order<'_>) -> Option<Breach> {
    let mut charges = order.entries.iter().filter(|entry| entry.cents > 0);
    let second = charges.nth(1)?;
    Some(Breach::of(
        "charged-again",
        id,
        second.index,
        format!(
            "order {} was charged again: by a second charge of {} cents",
            id, second.cents
        ),
    ))
}

/// Goods of a cancelled order that left the house, whether or not their customer got the money back.
fn shipped_yet_cancelled(id: &str, order: &Order<'_>, last: &Last<'_>) -> Option<Breach> {
    let is_cancelled = last.orders.get(id)?.state == "cancelled";
    let has_left = last.shipments.contains_key(id) || !order.shipments.is_empty();
    (is_cancelled && has_left).then(|| {
        Breach::of(
            "shipped-yet-cancelled",
            id,
            last.orders_index,
            format!("order {} is cancelled, and its goods were shipped", id),
        )
    })
}

fn unpaid_shipment(id: &str, order: &Order<'_>) -> Option<Breach> {
    let paid_before = |shipment: u64| -> i64 {
        order
            .entries
            .iter()
            .filter(|entry| entry.index < shipment)
            .map(|entry| entry.cents)
            .sum()
    };
    let unpaid = order
        .shipments
        .iter()
        .copied()
        .find(|&shipment| paid_before(shipment) <= 0)?;
    Some(Breach::of(
        "unpaid-shipment",
        id,
        unpaid,
        format!("order {} was shipped before it was paid", id),
    ))
}

fn wrong_shipment(id: &str, order: &Order<'_>, last: &Last<'_>) -> Option<Breach> {
    let (shipped, ordered) = (*last.shipments.get(id)?, last.orders.get(id)?.quantity);
    // What is parked may be the cue for the next parcel.
    let is_wrong = shipped > ordered || (shipped < ordered && !order.is_parked);
    is_wrong.then(|| {
        Breach::of(
            "wrong-shipment",
            id,
            order.shipments.last().copied().unwrap_or(last.orders_index),
            format!(
                "order {} is for {ordered} pieces, and {shipped} were shipped",
                id
            ),
        )
    })
}
