//! *Fat event breaks every consumer*: the order service gets a release in which an order has a field more, in the middle of a sale. Its
//! consumers stay as they are; none of them needs the field.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reference_system::event::contract::event_type;
use stormglass::Seed;
use stormglass::history::{History, What};
use stormglass::plan::{Fault, Incident as Befalls, Plan, Restarted};

use super::figures::Orders;
use super::sale::{Sale, millis, plan, run};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Deployment, Events, Extent};

/// The article's incident.
pub(super) struct FatEvents;

const SALE: Sale = Sale {
    from: Duration::from_secs(5),
    lasts: Duration::from_secs(60),
    orders: 60,
};

impl Incident for FatEvents {
    fn name(&self) -> &'static str {
        "fat-events"
    }

    fn promise(&self) -> &'static str {
        "a field that an entity gets is no concern of consumers that do not need it"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["fat-events-couple"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let fat = Broken::by(Events::Fat, seeds)?;
        let hybrid = Broken::by(Events::Hybrid, seeds)?;
        let thin = Broken::by(Events::Thin, seeds)?;
        let holds = fat.is_everybody() && hybrid.is_nobody() && thin.is_nobody();
        let finding = Finding::of("fat-events-couple", holds)
            .with("fat", fat.told())
            .with("hybrid", hybrid.told())
            .with("thin", thin.told());
        Ok(vec![finding])
    }
}

/// The sale, with a release of the order service in its middle.
fn released(seed: Seed) -> Plan {
    let release = Befalls::Restart {
        of: Restarted::Service("order".to_owned()),
        down_ms: 500,
    };
    let at = SALE.from + SALE.lasts / 2;
    plan(seed, &[SALE], vec![Fault::at(millis(at), release)])
}

/// Consumers that cannot read what they are sent.
#[derive(Default)]
struct Broken {
    /// Consumers that look into confirmed orders.
    readers: BTreeSet<String>,
    /// Events that each of them has parked.
    parked: BTreeMap<String, u64>,
    orders: Orders,
}

impl Broken {
    fn by(events: Events, seeds: &[Seed]) -> Result<Self, MeasureError> {
        let mut broken = Self::default();
        for seed in seeds {
            let deployment = Deployment::new("fat events")
                .extent(Extent::WithNeighbours)
                .events(events);
            broken.add(&run(deployment, &released(*seed))?.history);
        }
        Ok(broken)
    }

    fn add(&mut self, history: &History) {
        let groups = &history.description.groups;
        let parking: BTreeMap<&str, &str> = groups
            .iter()
            .filter_map(|(name, group)| Some((group.dead_letters.as_deref()?, &**name)))
            .collect();
        let readers = groups.iter().filter(|(name, group)| {
            // The partner is handed on what is there, whatever it is.
            let looks_in = **name != *"webhook";
            looks_in
                && group
                    .event_types
                    .iter()
                    .any(|own| own == event_type::ORDER_CONFIRMED)
        });
        self.readers
            .extend(readers.map(|(name, _)| name.to_string()));
        for event in &history.events {
            if let What::Published { position, .. } = &event.what
                && let Some(group) = parking.get(&*position.topic)
            {
                *self.parked.entry((*group).to_owned()).or_default() += 1;
            }
        }
        self.orders = self.orders.and(Orders::of(history));
    }

    fn broken(&self) -> usize {
        let readers = self.readers.iter();
        readers.filter(|own| self.parked.contains_key(*own)).count()
    }

    fn is_everybody(&self) -> bool {
        !self.readers.is_empty() && self.broken() == self.readers.len()
    }

    fn is_nobody(&self) -> bool {
        self.parked.is_empty() && self.orders.lost == 0
    }

    fn told(&self) -> String {
        let parked: u64 = self.parked.values().sum();
        let (broken, readers) = (self.broken(), self.readers.len());
        let orders = self.orders.told();
        format!("{broken} of {readers} consumers broken, {parked} events parked, {orders}")
    }
}
