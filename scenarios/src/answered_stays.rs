//! `answered-stays`: what a client was told is a promise.
//!
//! It compares what clients were told with what the order service holds in the end. Whether an order is then
//! carried out is the business of `money-and-stock`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stormglass::checker::{Property, Verdict};
use stormglass::history::History;

use crate::breach::{About, Breach, judge};
use crate::deploy::view;
use crate::told::Told;
use crate::workload::Operation;

/// Every order that a client was told is placed exists and can be read from then on; requests under one
/// idempotency key place one order, and are all told that one. One that was answered as cancelled stays so,
/// and one that was answered as readdressed goes to an address that somebody asked for afterwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnsweredStays;

impl Property for AnsweredStays {
    fn id(&self) -> &str {
        "answered-stays"
    }

    fn promise(&self) -> &str {
        "an order that was answered exists and stays, and requests under one key place one order"
    }

    fn check(&self, history: &History) -> Verdict {
        let Some(last) = Last::of(history) else {
            return Verdict::Vacuous("the final state was not read".to_owned());
        };
        let answers = answers(history);
        if answers.is_empty() {
            return Verdict::Vacuous("no client was told that an order is placed".to_owned());
        }
        let breaches = [
            gone(&answers, &last),
            unreadable(&answers),
            two_answers(&answers),
            unasked(&answers, &last),
            revived(&answers, &last),
            not_readdressed(history, &answers, &last),
        ];
        judge(history, breaches.into_iter().flatten()).unwrap_or(Verdict::Holds)
    }
}

/// The final state of the order service.
struct Last<'h> {
    /// The event that shows the orders.
    index: u64,
    orders: BTreeSet<&'h str>,
    cancelled: BTreeSet<&'h str>,
    addresses: BTreeMap<&'h str, &'h str>,
    /// The orders that an idempotency key is bound to.
    bound: BTreeSet<&'h str>,
}

impl<'h> Last<'h> {
    fn of(history: &'h History) -> Option<Self> {
        let (index, orders) = history.final_state(view::ORDERS)?;
        let (_, requests) = history.final_state(view::REQUESTS)?;
        Some(Last {
            index,
            orders: column(orders, "id"),
            cancelled: orders
                .iter()
                .filter(|row| row.get("state").is_some_and(|state| state == "cancelled"))
                .filter_map(|row| row.get("id")?.as_str())
                .collect(),
            addresses: orders
                .iter()
                .filter_map(|row| Some((row.get("id")?.as_str()?, row.get("address")?.as_str()?)))
                .collect(),
            bound: column(requests, "order_id"),
        })
    }
}

/// What clients were told, in that order, each with the event that shows it.
fn answers(history: &History) -> Vec<(u64, Told)> {
    let mut answers: Vec<(u64, Told)> = history
        .operations()
        .iter()
        .filter_map(|asked| asked.answer::<Vec<Told>>())
        .flat_map(|(index, told)| told.into_iter().map(move |told| (index, told)))
        .collect();
    answers.sort_by_key(|(index, _)| *index);
    answers
}

fn column<'h>(rows: &'h [BTreeMap<String, Value>], name: &str) -> BTreeSet<&'h str> {
    let values = rows.iter().filter_map(|row| row.get(name)?.as_str());
    values.collect()
}

/// Orders that were answered and are not there in the end.
fn gone(answers: &[(u64, Told)], last: &Last<'_>) -> Vec<Breach> {
    let placed = placed(answers).filter(|(_, _, order)| !last.orders.contains(order));
    placed
        .map(|(_, _, order)| {
            let summary = format!(
                "a client was told that order {} is placed, and there is no such order",
                order
            );
            Breach::of("gone", order, last.index, summary)
        })
        .collect()
}

/// Reads that did not find an order of which somebody had been told before.
fn unreadable(answers: &[(u64, Told)]) -> Vec<Breach> {
    let mut known = BTreeSet::new();
    let missing = answers.iter().filter_map(|(index, told)| match told {
        Told::Placed { order_id, .. } => {
            known.insert(order_id);
            None
        }
        Told::Missing { order_id } => known.contains(order_id).then_some((*index, order_id)),
        _ => None,
    });
    missing
        .map(|(index, order)| {
            let summary = format!(
                "order {} was answered, and a client that asked for it was told that there is none",
                order
            );
            Breach::of("unreadable", order, index, summary)
        })
        .collect()
}

/// Requests under one key that were told different orders.
fn two_answers(answers: &[(u64, Told)]) -> Vec<Breach> {
    let mut first = BTreeMap::new();
    let different = placed(answers).filter_map(|(index, key, order)| {
        let known = *first.entry(key).or_insert(order);
        (known != order).then_some((index, key, known, order))
    });
    different
        .map(|(index, key, known, order)| Breach {
            rule: "two-answers",
            index,
            about: About::Orders(vec![known.to_owned(), order.to_owned()]),
            summary: format!(
                "requests under the key {key} were told two orders, {} and {}",
                known, order
            ),
        })
        .collect()
}

/// Orders that no key leads to and that nobody was told of: the doubles of other orders.
fn unasked(answers: &[(u64, Told)], last: &Last<'_>) -> Vec<Breach> {
    let told: BTreeSet<&str> = placed(answers).map(|(_, _, order)| order).collect();
    let known = last.bound.union(&told).copied().collect();
    let unasked = last.orders.difference(&known);
    unasked
        .map(|order| {
            let summary = format!(
                "order {} exists, but no idempotency key leads to it, and no client was told of it",
                order
            );
            Breach::of("unasked", order, last.index, summary)
        })
        .collect()
}

/// Orders that a client was told are cancelled, and that went on all the same.
fn revived(answers: &[(u64, Told)], last: &Last<'_>) -> Vec<Breach> {
    let mut cancelled = BTreeMap::new();
    let mut breaches = Vec::new();
    for (index, told) in answers {
        match told {
            Told::Cancelled { order_id } => {
                cancelled.insert(order_id, index);
            }
            // Only the client that cancelled the order is known to have looked at it afterwards.
            Told::Found {
                order_id, state, ..
            } if state != "cancelled" && cancelled.get(order_id) == Some(&index) => {
                let summary = format!(
                    "order {} was answered as cancelled, and its client was told then that it is {state}",
                    order_id
                );
                breaches.push(Breach::of("seen-alive", order_id, *index, summary));
            }
            _ => {}
        }
    }
    let gone_on = cancelled
        .into_keys()
        .filter(|id| last.orders.contains(id.as_str()) && !last.cancelled.contains(id.as_str()));
    breaches.extend(gone_on.map(|id| {
        let summary = format!(
            "a client was told that order {} is cancelled, and it is not",
            id
        );
        Breach::of("not-cancelled", id, last.index, summary)
    }));
    breaches
}

/// Orders that a client was told go to another address, and that still go, or went when that client looked,
/// to one that no change can have brought.
fn not_readdressed(history: &History, answers: &[(u64, Told)], last: &Last<'_>) -> Vec<Breach> {
    let mut told: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut changed_by = BTreeSet::new();
    for (index, answer) in answers {
        if let Told::Readdressed { order_id, address } = answer {
            told.entry(order_id).or_default().insert(address);
            changed_by.insert((*index, order_id));
        }
    }
    let perhaps = perhaps_readdressed_to(history);
    let can_be = |order: &str, address: &str| {
        perhaps.contains(address) || told.get(order).is_none_or(|own| own.contains(address))
    };
    let mut breaches = Vec::new();
    for (index, answer) in answers {
        if let Told::Found {
            order_id, address, ..
        } = answer
            && changed_by.contains(&(*index, order_id))
            && !can_be(order_id, address)
        {
            let summary = format!(
                "order {order_id} was answered as readdressed, and its client was told then that it goes to {address}"
            );
            breaches.push(Breach::of("seen-elsewhere", order_id, *index, summary));
        }
    }
    let kept = last.addresses.iter();
    let kept = kept.filter(|(order, address)| !can_be(order, address));
    breaches.extend(kept.map(|(order, address)| {
        let summary = format!(
            "a client was told that order {order} goes to another address, and it goes to {address}, \
             for which nobody asked since"
        );
        Breach::of("not-readdressed", order, last.index, summary)
    }));
    breaches
}

/// The addresses of changes whose clients were not told that they are made: each may have been.
fn perhaps_readdressed_to(history: &History) -> BTreeSet<String> {
    let operations = history.operations();
    let unknown = operations.iter().filter(|asked| {
        let told = asked.answer::<Vec<Told>>();
        let mut told = told.iter().flat_map(|(_, told)| told);
        !told.any(|told| matches!(told, Told::Readdressed { .. }))
    });
    unknown
        .filter_map(|asked| match asked.operation()? {
            Operation::Readdress { address, .. } => Some(address),
            _ => None,
        })
        .collect()
}

/// The orders that clients were told are placed: the event, the key and the order.
fn placed(answers: &[(u64, Told)]) -> impl Iterator<Item = (u64, &str, &str)> {
    answers.iter().filter_map(|(index, told)| match told {
        Told::Placed {
            idempotency_key,
            order_id,
        } => Some((*index, &**idempotency_key, &**order_id)),
        _ => None,
    })
}
