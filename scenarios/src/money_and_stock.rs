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

use stormglass::checker::{Property, Verdict, Witness};
use stormglass::history::History;

use books::Books;

/// How many events a witness names at most.
const CHAIN_LENGTH_MAX: usize = 12;

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
        match breaches.into_iter().min_by_key(|breach| breach.index) {
            Some(breach) => Verdict::Broken(breach.witness(&books)),
            None if books.orders.values().all(|order| order.is_parked) => {
                Verdict::Vacuous("every order waits for an event that is parked".to_owned())
            }
            None => Verdict::Holds,
        }
    }
}

/// One promise that was not kept.
struct Breach<'h> {
    /// The event of the history that broke it.
    index: u64,
    /// The order whose story tells how it came to that, if it is one order's.
    order: Option<&'h str>,
    /// One sentence for a person.
    summary: String,
}

impl Breach<'_> {
    fn witness(self, books: &Books<'_>) -> Witness {
        let story = self
            .order
            .and_then(|order| books.orders.get(order))
            .map(|order| &order.story);
        let mut chain: Vec<u64> = story.into_iter().flatten().copied().collect();
        chain.retain(|&index| index < self.index);
        // The beginning says which order it is, the end how it broke; the middle can go.
        while chain.len() >= CHAIN_LENGTH_MAX {
            chain.remove(CHAIN_LENGTH_MAX / 2);
        }
        chain.push(self.index);
        Witness {
            summary: self.summary,
            index: self.index,
            inevitable_from: None,
            chain,
        }
    }
}
