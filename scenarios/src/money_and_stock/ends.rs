//! Ends: after healing every order is shipped and paid for, or cancelled with everything undone.
//!
//! An order with an event that is parked or withheld is left out: it waits for an operator.

use super::books::{Books, Last, Order};
use crate::breach::Breach;

/// Orders that did not come to an end, or to a wrong one.
pub(super) fn breaches(books: &Books<'_>, last: &Last<'_>) -> Vec<Breach> {
    let orders = books.orders.iter().filter(|(_, order)| !order.is_parked);
    orders
        .filter_map(|(&id, order)| {
            let (index, problem) = wrong_end(id, order, last)?;
            let summary = format!("order {} {problem}", id);
            Some(Breach::of("wrong-end", id, index, summary))
        })
        .collect()
}

/// What is wrong with how the order ended, and the event that shows it.
fn wrong_end(id: &str, order: &Order<'_>, last: &Last<'_>) -> Option<(u64, String)> {
    let Some(row) = last.orders.get(id) else {
        return Some((
            last.orders_index,
            "is gone from the order service".to_owned(),
        ));
    };
    let paid: i64 = order.entries.iter().map(|entry| entry.cents).sum();
    let reservation = last.reservations.get(id).map(|(_, state)| *state);
    match (row.state, reservation) {
        ("shipped", Some("shipped")) if paid == 0 => Some((
            last.orders_index,
            "is shipped, and nothing was paid".to_owned(),
        )),
        ("shipped", Some("shipped")) if !last.shipments.contains_key(id) => Some((
            last.orders_index,
            "is shipped, but nothing left the house".to_owned(),
        )),
        ("shipped", Some("shipped")) => None,
        ("shipped", state) => {
            let state = state.unwrap_or("missing");
            Some((
                last.reservations_index,
                format!("is shipped, but its reservation is {state}"),
            ))
        }
        ("cancelled", _) if paid != 0 => Some((
            last.orders_index,
            format!("is cancelled, and its customer has paid {paid} cents"),
        )),
        ("cancelled", None | Some("released")) => None,
        ("cancelled", Some(state)) => Some((
            last.reservations_index,
            format!("is cancelled, but its reservation is {state}"),
        )),
        (state, _) => Some((
            last.orders_index,
            format!("is still {state} when all is quiet"),
        )),
    }
}
