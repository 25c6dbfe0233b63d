//! `search-agrees`: when all is quiet, search shows every order as the order service has it.
//!
//! What search shows meanwhile may be old. An order of which the search service has parked an event is left out: it waits for an operator.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stormglass::checker::{Property, Verdict};
use stormglass::history::{History, What};

use crate::breach::{Breach, judge};
use crate::deploy::view;

/// Where the search service parks.
const PARKED: &str = "search.dlq";

/// The search service's orders are the order service's, with their state and address.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchAgrees;

impl Property for SearchAgrees {
    fn id(&self) -> &str {
        "search-agrees"
    }

    fn promise(&self) -> &str {
        "when all is quiet, search shows every order with its state and address"
    }

    fn check(&self, history: &History) -> Verdict {
        let Some((_, orders)) = last(history, view::ORDERS, "id") else {
            return Verdict::Vacuous("the orders were not read".to_owned());
        };
        let Some((index, found)) = last(history, view::FOUND_ORDERS, "order_id") else {
            return Verdict::Vacuous("what search shows was not read".to_owned());
        };
        if orders.is_empty() {
            return Verdict::Vacuous("no order was placed".to_owned());
        }
        let parked = parked(history);
        let missed = orders.iter().filter(|(id, _)| !parked.contains(*id));
        let missed = missed.filter_map(|(id, order)| {
            let problem = difference(order, found.get(id)?)
                .map(|difference| format!("search shows order {id} {difference}"))?;
            Some(Breach::of("stale", id, index, problem))
        });
        let unknown = orders
            .keys()
            .filter(|id| !found.contains_key(*id) && !parked.contains(*id));
        let unknown = unknown.map(|id| {
            Breach::of(
                "missing",
                id,
                index,
                format!("search does not show order {id}"),
            )
        });
        let invented = found.keys().filter(|id| !orders.contains_key(*id));
        let invented = invented.map(|id| {
            Breach::of(
                "invented",
                id,
                index,
                format!("search shows order {id}, which nobody placed"),
            )
        });
        judge(history, missed.chain(unknown).chain(invented)).unwrap_or(Verdict::Holds)
    }
}

type Row = BTreeMap<String, Value>;

/// The rows of a view of the final state by their ids, and the event that has them.
fn last<'h>(
    history: &'h History,
    wanted: &str,
    id: &str,
) -> Option<(u64, BTreeMap<&'h str, &'h Row>)> {
    history
        .events
        .iter()
        .rev()
        .find_map(|event| match &event.what {
            What::FinalState { view, rows, .. } if view == wanted => {
                let by_id = rows
                    .iter()
                    .filter_map(|row| Some((row.get(id)?.as_str()?, row)));
                Some((event.index, by_id.collect()))
            }
            _ => None,
        })
}

/// Orders of which the search service has parked an event.
fn parked(history: &History) -> BTreeSet<&str> {
    let published = history.events.iter().filter_map(|event| match &event.what {
        What::Published { position, message } if *position.topic == *PARKED => Some(&*message.key),
        _ => None,
    });
    published.collect()
}

/// How search shows an order otherwise than it is.
fn difference(order: &Row, found: &Row) -> Option<String> {
    let text = |row: &Row, column: &str| {
        let value = row.get(column).and_then(Value::as_str);
        value.unwrap_or("nothing").to_owned()
    };
    let (is, shown) = (text(order, "state"), text(found, "state"));
    // A parcel on its way is a state of its own for those who search.
    let agrees = is == shown || (is == "confirmed" && shown == "dispatched");
    if !agrees {
        return Some(format!("as {shown}, and it is {is}"));
    }
    let (is, shown) = (text(order, "address"), text(found, "address"));
    (is != shown).then(|| format!("at {shown}, and it goes to {is}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_shop::Shop;

    /// A shop with one shipped order that goes to Mill Lane, and what search shows.
    fn shop(found: Value) -> (Shop, u64) {
        let mut shop = Shop::open();
        shop.fulfils("a");
        shop.addresses.insert("a", "Mill Lane");
        let rows = serde_json::from_value(found).expect("rows are objects");
        let index = shop.happens(What::FinalState {
            database: "search".into(),
            view: view::FOUND_ORDERS.to_owned(),
            rows,
        });
        (shop, index)
    }

    fn row(id: &str, state: &str, address: &str) -> Value {
        json!({ "order_id": id, "state": state, "address": address })
    }

    #[test]
    fn accepts_the_same_orders() {
        let (shop, _) = shop(json!([row("a", "shipped", "Mill Lane")]));
        assert_eq!(shop.judged_by(&SearchAgrees), Verdict::Holds);
    }

    #[test]
    fn accepts_that_an_order_whose_event_is_parked_is_not_found() {
        let (mut shop, _) = shop(json!([]));
        shop.parks_as("search", "a");
        assert_eq!(shop.judged_by(&SearchAgrees), Verdict::Holds);
    }

    #[test]
    fn is_vacuous_without_an_order_or_without_search() {
        let mut without_search = Shop::open();
        without_search.fulfils("a");
        let verdict = without_search.judged_by(&SearchAgrees);
        assert!(matches!(verdict, Verdict::Vacuous(_)));
    }

    #[test]
    fn rejects_what_is_old_missing_or_invented() {
        for (found, words) in [
            (
                json!([row("a", "confirmed", "Mill Lane")]),
                "as confirmed, and it is shipped",
            ),
            (json!([row("a", "shipped", "Old Street")]), "at Old Street"),
            (json!([]), "does not show"),
            (
                json!([
                    row("a", "shipped", "Mill Lane"),
                    row("b", "placed", "Mill Lane")
                ]),
                "nobody placed",
            ),
        ] {
            let (shop, index) = shop(found);
            shop.must_break_at(&SearchAgrees, index, words);
        }
    }
}
