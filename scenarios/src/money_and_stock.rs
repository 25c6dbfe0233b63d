//! `money-and-stock`: what the shop owes its customers and its books, whatever happens to its parts.
//!
//! Reading order: `books` gathers what the history says about each order, `money` looks at
//! charges and shipments, `stock` at the pieces, `ends` at how each order came to its end. An
//! order is excused from ending while one of its events is parked by a service that it depends on: an
//! operator has to replay that event first. Whether events were lost on the way is the business of other properties.

mod books;
mod ends;
mod money;
mod stock;
#[cfg(test)]
mod tests;

use stormglass::checker::{Property, Verdict};
use stormglass::history::History;

use crate::breach::judge;
use books::Books;

/// Paid orders are charged once at their price, nothing unpaid ships, stock adds up and is never
/// negative, and every order ends shipped or fully compensated.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoneyAndStock;

impl Property for MoneyAndStock {
    fn id(&self) -> &str {
        "money-and-stock"
    }

    fn promise(&self) -> &str {
        "each order is charged once at its price and shipped, or fully compensated; stock adds up"
    }

    fn check(&self, history: &History) -> Verdict {
        let books = Books::of(history);
        if books.orders.is_empty() {
            return Verdict::Vacuous("no order was placed".to_owned());
        }
        let Some(last) = &books.last else {
            return Verdict::Vacuous("the final state was not read".to_owned());
        };
        let mut breaches = money::breaches(&books, last);
        breaches.extend(stock::breaches(&books, last));
        breaches.extend(ends::breaches(&books, last));
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        match books.orders.values().all(|order| order.is_parked) {
            true => Verdict::Vacuous("every order waits for an event that is parked".to_owned()),
            false => Verdict::Holds,
        }
    }
}
