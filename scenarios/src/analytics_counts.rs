//! `analytics-counts`: analytics counts each order at most once and as it was placed, and misses none but those of an outage.
//!
//! What it is told is published without a record, so some loss is its price; how much is bounded by when. Whether the figures are of any use is
//! not judged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reference_system::event::contract::{event_type, topic};
use serde_json::Value;
use stormglass::checker::{Property, Verdict};
use stormglass::history::{Fact, History, What};

use crate::breach::{Breach, judge};
use crate::deploy::view;

/// How long before the first sign of a fault, and after its end, what is told may still be lost to it: a client gives a publish up
/// only after a while, and whatever is in the queue meanwhile waits.
const AROUND: Duration = Duration::from_secs(5);
/// Where the analytics service parks.
const PARKED: &str = "analytics.dlq";

/// Every order is counted as it was placed, unless it was placed in an outage or analytics has parked it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnalyticsCounts;

impl Property for AnalyticsCounts {
    fn id(&self) -> &str {
        "analytics-counts"
    }

    fn promise(&self) -> &str {
        "every order is counted once as it was placed, except for those that were placed in an outage"
    }

    fn check(&self, history: &History) -> Verdict {
        let Some((index, counted)) = rows(history, view::TRACKED_ORDERS, "order_id") else {
            return Verdict::Vacuous("what analytics has counted was not read".to_owned());
        };
        let Some((_, orders)) = rows(history, view::ORDERS, "id") else {
            return Verdict::Vacuous("the orders were not read".to_owned());
        };
        let placed = placed(history);
        if placed.is_empty() {
            return Verdict::Vacuous("no order was placed".to_owned());
        }
        let told = keys(history, topic::ACTIVITY);
        let parked = keys(history, PARKED);
        let outages = outages(history);
        let breach = |rule, id: &str, problem: &str| {
            Breach::of(rule, id, index, format!("analytics {problem} order {id}"))
        };
        let lost = placed
            .iter()
            .filter(|(id, _)| !counted.contains_key(*id) && !parked.contains(*id));
        let lost = lost.filter_map(|(id, at)| match told.contains(id) {
            true => Some(breach("dropped", id, "was told of, and does not count")),
            false if outages.iter().any(|outage| outage.covers(*at)) => None,
            false => Some(breach(
                "lost",
                id,
                "was not told, outside of any outage, of",
            )),
        });
        let wrong = counted.iter().filter_map(|(id, row)| {
            let order = orders.get(id);
            let agrees = |column: &str| order.and_then(|own| own.get(column)) == row.get(column);
            let is_right = agrees("sku") && agrees("quantity");
            (!is_right).then(|| breach("wrong", id, "counts otherwise than it was placed"))
        });
        judge(history, lost.chain(wrong)).unwrap_or(Verdict::Holds)
    }
}

type Row = BTreeMap<String, Value>;

/// The rows of a view of the final state by their ids, and the event that has them.
fn rows<'h>(
    history: &'h History,
    view: &str,
    id: &str,
) -> Option<(u64, BTreeMap<&'h str, &'h Row>)> {
    let (index, rows) = history.final_state(view)?;
    let by_id = rows
        .iter()
        .filter_map(|row| Some((row.get(id)?.as_str()?, row)));
    Some((index, by_id.collect()))
}

/// When each order was placed.
fn placed(history: &History) -> BTreeMap<&str, Duration> {
    let placed = history.events.iter().filter_map(|event| match &event.what {
        What::Observed {
            fact: Fact::Announced(own),
            ..
        } if *own.event_type == *event_type::ORDER_PLACED => Some((&*own.entity, event.at)),
        _ => None,
    });
    placed.collect()
}

/// The orders that messages of a topic are about.
fn keys<'h>(history: &'h History, topic: &str) -> BTreeSet<&'h str> {
    let published = history.events.iter().filter_map(|event| match &event.what {
        What::Published { position, message } if *position.topic == *topic => Some(&*message.key),
        _ => None,
    });
    published.collect()
}

/// A time in which what is told may be lost.
struct Outage {
    from: Duration,
    until: Duration,
}

impl Outage {
    fn covers(&self, at: Duration) -> bool {
        (self.from..=self.until).contains(&at)
    }
}

/// From the first sign of each fault to its end.
fn outages(history: &History) -> Vec<Outage> {
    let mut by_fault: BTreeMap<usize, Outage> = BTreeMap::new();
    for event in &history.events {
        let fault = match &event.what {
            What::FaultBit { fault, .. } | What::FaultLifted { fault } => *fault,
            _ => continue,
        };
        let outage = by_fault.entry(fault).or_insert(Outage {
            from: event.at.saturating_sub(AROUND),
            until: event.at,
        });
        outage.until = event.at + AROUND;
    }
    by_fault.into_values().collect()
}

#[cfg(test)]
mod tests;
