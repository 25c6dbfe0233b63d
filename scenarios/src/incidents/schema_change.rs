//! *Silently dropped after a schema change*: a gateway comes up that announces orders in a second version, in the middle of a sale.
//! Consumers that know the first one only drop it without a sign, or park it until they can read it; a registry does not let a
//! producer come up whose version nobody could read.

use std::collections::BTreeSet;
use std::time::Duration;

use reference_system::event::contract::event_type::ORDER_PLACED;
use reference_system::event::contract::topic;
use stormglass::Seed;
use stormglass::history::{History, What};
use stormglass::plan::{Fault, Incident as Befalls, Plan, Restarted};

use super::at_debug::AtDebug;
use super::figures::{Orders, parked};
use super::sale::{Sale, asked, millis, plan, run};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Deployment, Release, Rollout, view};
use crate::workload::Operation;

/// The article's incident.
pub(super) struct SchemaChange;

const SALE: Sale = Sale {
    from: Duration::from_secs(10),
    lasts: Duration::from_secs(120),
    orders: 120,
};
/// Those that read placed orders.
const CONSUMERS: [&str; 2] = ["inventory", "notification"];
/// When the gateway's next release comes up, and when the one after it does.
const RELEASED: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(90)];
/// When the consumers' next release comes up.
const FIXED: Duration = Duration::from_secs(150);
/// When an operator replays, for both consumers, as often as an order has events.
const REPLAYED: [Duration; 3] = [
    Duration::from_secs(170),
    Duration::from_secs(180),
    Duration::from_secs(190),
];

/// The producer first, and nobody compares.
const UNCHECKED: Rollout = Rollout {
    gateway: &[Release::First, Release::Second],
    readers: &[1, 2],
    compatibility: "NONE",
};
/// A version that no consumer of today could read.
const REFUSED: Rollout = Rollout {
    gateway: &[Release::First, Release::AddressInParts, Release::First],
    readers: &[2],
    compatibility: "BACKWARD_TRANSITIVE",
};
/// Consumers first: they read both versions.
const BOTH: Rollout = Rollout {
    gateway: &[Release::First, Release::Second],
    readers: &[2],
    compatibility: "BACKWARD_TRANSITIVE",
};

impl Incident for SchemaChange {
    fn name(&self) -> &'static str {
        "schema-change"
    }

    fn promise(&self) -> &'static str {
        "what a consumer cannot read is refused before it is published, or parked until it can be read"
    }

    fn claims(&self) -> &'static [&'static str] {
        &[
            "schema-mismatch-is-silent",
            "registry-refuses",
            "versions-coexist",
        ]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let of = |deployment: fn() -> Deployment, plan| Shown::of(seeds, deployment, plan);
        let dropped = of(|| deployment(UNCHECKED).give_up(AtDebug), mended)?;
        let kept = of(|| deployment(UNCHECKED), mended)?;
        let refused = of(|| deployment(REFUSED), released)?;
        let both = of(|| deployment(BOTH), one_by_one)?;
        let is_silent = dropped.orders.lost > 0 && dropped.parked == 0;
        let is_loud = kept.parked > 0 && kept.orders.lost == 0;
        let is_refused = refused.refusals > 0 && refused.third == 0 && refused.is_lossless();
        let coexist = both.first > 0 && both.second > 0 && both.is_lossless();
        Ok(vec![
            Finding::of("schema-mismatch-is-silent", is_silent && is_loud)
                .with("logged at DEBUG", dropped.told())
                .with("parked, and replayed after the fix", kept.told()),
            Finding::of("registry-refuses", is_refused).with("registry", refused.refusals_told()),
            Finding::of("versions-coexist", coexist).with("upcasting", both.told()),
        ])
    }
}

fn deployment(rollout: Rollout) -> Deployment {
    Deployment::new("schema change").rollout(rollout)
}

/// The gateway is released anew, one instance after the other.
fn one_by_one(seed: Seed) -> Plan {
    let instances = ["gateway", "gateway-2"];
    let restarts = instances.iter().zip(RELEASED);
    let restarts = restarts.map(|(host, at)| restart(at, host));
    Plan {
        instances: [("gateway".to_owned(), 2)].into(),
        ..plan(seed, &[SALE], restarts.collect())
    }
}

/// The only gateway is released anew, twice.
fn released(seed: Seed) -> Plan {
    let restarts = RELEASED.iter().map(|at| restart(*at, "gateway"));
    plan(seed, &[SALE], restarts.collect())
}

/// The gateway is released anew, later its consumers are, and then an operator replays what they have parked.
fn mended(seed: Seed) -> Plan {
    let fixes = CONSUMERS.iter().map(|consumer| restart(FIXED, consumer));
    let schedule = [restart(RELEASED[0], "gateway")].into_iter().chain(fixes);
    let mut plan = plan(seed, &[SALE], schedule.collect());
    for at in REPLAYED {
        plan.workload.extend(CONSUMERS.map(|consumer| {
            let replay = Operation::Replay {
                consumer: consumer.to_owned(),
                after_ms: 0,
                relay: 0,
            };
            asked(at, replay)
        }));
    }
    plan
}

fn restart(at: Duration, host: &str) -> Fault {
    let restart = Befalls::Restart {
        of: Restarted::Host(host.to_owned()),
        down_ms: 500,
    };
    Fault::at(millis(at), restart)
}

/// What one design showed in all its runs.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    orders: Orders,
    parked: usize,
    /// Placed orders that were published in each version.
    first: usize,
    second: usize,
    third: usize,
    /// Versions that the registry has refused.
    refusals: usize,
}

impl Shown {
    fn of(
        seeds: &[Seed],
        deployment: fn() -> Deployment,
        plan: fn(Seed) -> Plan,
    ) -> Result<Self, MeasureError> {
        let mut shown = Shown::default();
        for seed in seeds {
            shown.add(&run(deployment(), &plan(*seed))?.history);
        }
        Ok(shown)
    }

    fn add(&mut self, history: &History) {
        self.orders = self.orders.and(Orders::of(history));
        let parked = CONSUMERS.map(|consumer| parked(history, consumer));
        self.parked += parked.iter().sum::<usize>();
        self.first += announced(history, 1);
        self.second += announced(history, 2);
        self.third += announced(history, 3);
        self.refusals += refusals(history);
    }

    fn is_lossless(&self) -> bool {
        self.orders.accepted > 0 && self.orders.lost == 0 && self.parked == 0
    }

    fn told(self) -> String {
        let orders = self.orders.told();
        let Shown {
            first,
            second,
            parked,
            ..
        } = self;
        format!(
            "{first} orders announced in version 1, {second} in version 2, {parked} events parked, {orders}"
        )
    }

    fn refusals_told(self) -> String {
        let orders = self.orders.told();
        let Shown {
            refusals, third, ..
        } = self;
        format!("{refusals} registrations refused, {third} orders announced in version 3, {orders}")
    }
}

/// How many placed orders were published in a version, however often each.
fn announced(history: &History, version: u32) -> usize {
    let published = history.events.iter().filter_map(|event| match &event.what {
        What::Published { position, message } => {
            let is_placed = *position.topic == *topic::ORDERS
                && message.event_type() == Some(ORDER_PLACED)
                && message.schema_version() == Some(version);
            is_placed.then(|| message.event_id())?
        }
        _ => None,
    });
    published.collect::<BTreeSet<_>>().len()
}

fn refusals(history: &History) -> usize {
    let rows = history.final_state(view::REGISTRATIONS);
    let rows = rows.map(|(_, rows)| rows).unwrap_or_default();
    rows.iter()
        .filter(|row| row["outcome"] == "refused")
        .count()
}
