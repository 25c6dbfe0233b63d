//! *Shipped before paid*: an event of an order overtakes an earlier one of the same order, because their keys put them into
//! different partitions. It takes load: without a queue the earlier one is long done when the later one comes.
//!
//! Counted are orders of which some service handled two events of one topic in another order than they were committed in. Services
//! of the shop notice, and discard what comes too late; the article's did not, and shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reference_system::event::Event;
use reference_system::partition_key::PartitionKey;
use reference_system::publishing::Outbox;
use stormglass::Seed;
use stormglass::history::{Fact, History, What};
use stormglass::plan::Plan;

use super::sale::{Sale, plan, run};
use super::{Finding, Incident, MeasureError};
use crate::deploy::Deployment;

/// The article's incident.
pub(super) struct ShippedBeforePaid;

/// How many orders come in, whatever the load.
const ORDERS: u64 = 200;
/// Orders a second.
const LOADS: [u64; 3] = [1, 5, 10];
/// The rate is told for so many orders, as the article does.
const RATE_OF: u64 = 2_000;

impl Incident for ShippedBeforePaid {
    fn name(&self) -> &'static str {
        "shipped-before-paid"
    }

    fn promise(&self) -> &'static str {
        "whatever the load, no event overtakes another one of its order"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["order-inverts-under-load", "entity-keys-keep-order"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let mut random = Vec::new();
        let mut by_entity = Vec::new();
        for load in LOADS {
            random.push(Rate::of(seeds, load, || {
                let own = Deployment::new("shipped before paid");
                own.publishing(|_| Arc::new(Outbox::keyed_by(ByEventId)))
            })?);
            let right = || Deployment::new("paid before shipped");
            by_entity.push(Rate::of(seeds, load, right)?);
        }
        let (calm, busy) = (&random[0], &random[LOADS.len() - 1]);
        let grows = busy.inverted > 0 && calm.inverted < busy.inverted;
        let keeps = by_entity.iter().all(|own| own.inverted == 0);
        Ok(vec![
            Finding::of("order-inverts-under-load", grows).with("random keys", told(&random)),
            Finding::of("entity-keys-keep-order", keeps).with("entity keys", told(&by_entity)),
        ])
    }
}

/// How many orders were inverted at one load.
struct Rate {
    load: u64,
    orders: u64,
    inverted: u64,
}

impl Rate {
    fn of(
        seeds: &[Seed],
        load: u64,
        deployment: impl Fn() -> Deployment,
    ) -> Result<Self, MeasureError> {
        let (mut orders, mut inverted) = (0, 0);
        for seed in seeds {
            let run = run(deployment(), &load_of(*seed, load))?;
            orders += ORDERS;
            inverted += inverted_orders(&run.history).len() as u64;
        }
        Ok(Rate {
            load,
            orders,
            inverted,
        })
    }
}

fn told(rates: &[Rate]) -> String {
    let rates = rates.iter().map(|own| {
        let Rate {
            load,
            orders,
            inverted,
        } = own;
        let rate = inverted * RATE_OF / (*orders).max(1);
        format!("{inverted} of {orders} orders at {load} a second ({rate} in {RATE_OF})")
    });
    rates.collect::<Vec<_>>().join(", ")
}

fn load_of(seed: Seed, load: u64) -> Plan {
    let sale = Sale {
        from: Duration::from_secs(5),
        lasts: Duration::from_secs(ORDERS / load),
        orders: ORDERS,
    };
    plan(seed, &[sale], Vec::new())
}

/// The orders of which some service handled events of one topic in another order than they were committed in.
fn inverted_orders(history: &History) -> BTreeSet<&str> {
    // Topic and place of each event among those of its order.
    let mut places: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    // The last place that a service has handled, by service, topic and order.
    let mut handled: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut inverted = BTreeSet::new();
    for event in &history.events {
        let What::Observed { fact, .. } = &event.what else {
            continue;
        };
        match fact {
            Fact::Announced(own) => {
                let place = places.len();
                places.insert(&own.event_id, (&own.topic, place));
            }
            Fact::Applied(own) | Fact::Discarded(own) => {
                let Some((topic, place)) = places.get(&*own.event_id) else {
                    continue;
                };
                let key = (&*own.consumer, *topic, &*own.entity);
                let last = handled.entry(key).or_insert(*place);
                if place < last {
                    inverted.insert(&*own.entity);
                }
                *last = (*last).max(*place);
            }
            Fact::Withheld(_) => {}
        }
    }
    inverted
}

/// Keys that spread the load evenly, and the events of one order with it.
struct ByEventId;

impl PartitionKey for ByEventId {
    fn key(&self, event: &Event) -> String {
        event.id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::inverted_orders;
    use crate::test_shop::Shop;

    #[test]
    fn an_order_is_inverted_where_a_later_event_is_handled_first() {
        for (handled, is_inverted) in [(["a", "b"], false), (["b", "a"], true)] {
            let mut shop = Shop::open();
            shop.announces("orders", "order-1", "a");
            shop.announces("orders", "order-1", "b");
            for event in handled {
                shop.applies("shipping", "order-1", event);
            }
            assert_eq!(
                inverted_orders(&shop.history).len(),
                usize::from(is_inverted)
            );
        }
    }
}
