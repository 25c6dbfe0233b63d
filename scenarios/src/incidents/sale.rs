//! The load of the incidents: orders that come in over a time, and the shop that takes them.
//!
//! The shop is the one of the catalogue, over NATS and with enough of everything in stock, so that an order which does not come to
//! its end was lost and not turned away.

use std::time::Duration;

use reference_system::ports::broker::NatsSettings;
use reference_system::ports::broker::header::MESSAGE_ID;
use reference_system::retention::Retention;
use serde_json::Value;
use stormglass::broker::{JetStreamSettings, Profile};
use stormglass::checker::{NoPanic, Property, Verdict};
use stormglass::plan::{self, Fault, Plan};
use stormglass::simulation::{self, Recording, Run, Settings};
use stormglass::{Seed, System};

use super::MeasureError;
use crate::deploy::{self, Deployment, deploy};
use crate::workload::{self, Manner, Operation};

/// What is in stock.
const STOCK: [(&str, i64); 1] = [("tea", 1_000_000)];
/// What an order may be worth, in cents: on average about as much as one of those that the article's shop lost.
const WORTH_CENTS: std::ops::Range<u64> = 2_600..25_000;

/// As many gateways may be asked; where there are fewer, some of them more often.
const GATEWAYS: u64 = 2;

/// Orders that come in over a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sale {
    /// When it begins, since the start of the run.
    pub(crate) from: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// How many orders come in, at any time of it.
    pub(crate) orders: u64,
}

/// A plan of these sales with these faults.
pub(crate) fn plan(seed: Seed, sales: &[Sale], schedule: Vec<Fault>) -> Plan {
    let orders = sales.iter().enumerate().flat_map(|(number, sale)| {
        (0..sale.orders).map(move |order| arrival(seed, sale, &format!("{number}-{order}")))
    });
    let mut workload: Vec<plan::Operation> = orders.collect();
    workload.sort_by_key(|own| own.at_ms);
    Plan {
        seed,
        chance: 0,
        instances: std::collections::BTreeMap::new(),
        workload,
        schedule,
    }
}

/// One order, at a time and of a worth that follow from the seed.
fn arrival(seed: Seed, sale: &Sale, name: &str) -> plan::Operation {
    let draw =
        |what: &str, below: u64| seed.number(&format!("{what} of order {name}")) % below.max(1);
    let worth = WORTH_CENTS.start + draw("worth", WORTH_CENTS.end - WORTH_CENTS.start);
    let order = Operation::Place {
        customer: format!("customer-{name}@example.org"),
        card: "visa".to_owned(),
        address: format!("Mill Lane {name}"),
        sku: STOCK[0].0.to_owned(),
        quantity: 1,
        unit_price_cents: i64::try_from(worth).unwrap_or(i64::MAX),
        idempotency_key: format!("order-{name}"),
        manner: Manner::Once,
        gateway: draw("gateway", GATEWAYS) as u32,
        discount_cents: 0,
    };
    let at = millis(sale.from) + draw("time", millis(sale.lasts));
    asked(Duration::from_millis(at), order)
}

/// What is asked for at a moment.
pub(super) fn asked(at: Duration, operation: Operation) -> plan::Operation {
    plan::Operation {
        at_ms: millis(at),
        // A workload of this crate's own type is always an object.
        operation: serde_json::to_value(operation).unwrap_or(Value::Null),
    }
}

/// Runs a plan in a shop of this deployment.
///
/// # Errors
///
/// See [`MeasureError`].
pub(super) fn run(deployment: Deployment, plan: &Plan) -> Result<Run, MeasureError> {
    measured(&shop(deployment), plan)
}

/// Runs a plan in a monolith.
///
/// # Errors
///
/// See [`MeasureError`].
pub(super) fn monolith(plan: &Plan) -> Result<Run, MeasureError> {
    let system = deploy::monolith("small team", &STOCK)
        .operations(workload::operation, workload::carry_out)
        .settings(patient());
    measured(&system, plan)
}

/// A run that says something of a design: what a service makes of its time that panics again and again is no figure.
fn measured(system: &System, plan: &Plan) -> Result<Run, MeasureError> {
    let run = simulation::run(system, plan, Recording::On)?;
    match NoPanic.check(&run.history) {
        Verdict::Broken(witness) => Err(MeasureError::Panicked(witness.summary)),
        _ => Ok(run),
    }
}

pub(crate) fn patient() -> Settings {
    Settings {
        liveness_bound: Duration::from_secs(120),
        operation_timeout: Duration::from_secs(30),
        ..Settings::default()
    }
}

fn shop(deployment: Deployment) -> System {
    let profile = JetStreamSettings {
        message_id_header: MESSAGE_ID.to_owned(),
        ..JetStreamSettings::default()
    };
    let asked_for = NatsSettings {
        ack_wait: profile.ack_wait,
        duplicate_window: profile.duplicate_window,
    };
    deploy(deployment.over_nats(asked_for).stock(&STOCK))
        .broker(Profile::JetStream(profile))
        .operations(workload::operation, workload::carry_out)
        .settings(patient())
}

/// Settings of services that are looked at over hours: what is done again and again is done less often.
pub(super) fn unhurried() -> reference_system::Settings {
    reference_system::Settings {
        relay_poll: Duration::from_secs(5),
        relay_lease: Duration::from_secs(60),
        retention: Retention {
            every: Duration::from_secs(60 * 60),
            ..Retention::default()
        },
        ..reference_system::Settings::default()
    }
}

/// Milliseconds, as plans count them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
