//! *Eventing everything*: the question whether a customer may order, which the customer waits for, asked by a call and asked by an event.
//!
//! Both are answered by one process from the same row, once as fast as it is, and once while all of its packets take long, so that it works
//! off its queue more slowly than questions come in.

use std::time::Duration;

use serde_json::Value;
use stormglass::Seed;
use stormglass::plan::{Fault, Incident as Befalls, Plan};

use super::figures::{Orders, answer_times, percentile};
use super::sale::{Sale, millis, plan, run};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Asking, CUSTOMERS, Deployment};

/// The article's incident.
pub(super) struct EventingEverything;

const SALE: Sale = Sale {
    from: Duration::from_secs(5),
    lasts: Duration::from_secs(40),
    orders: 200,
};
/// How long packets from and to the customers' service take once it is slow.
const SLOW: Duration = Duration::from_millis(100);

impl Incident for EventingEverything {
    fn name(&self) -> &'static str {
        "eventing-everything"
    }

    fn promise(&self) -> &'static str {
        "what is needed at once is asked by a call, and answered sooner and at less risk than by an event"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["call-beats-event"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let call = Waited::by(Asking::Call, seeds, calm)?;
        let event = Waited::by(Asking::Events, seeds, calm)?;
        let slow_call = Waited::by(Asking::Call, seeds, slow)?;
        let slow_event = Waited::by(Asking::Events, seeds, slow)?;
        let holds = call.is_sooner_than(&event) && slow_call.is_sooner_than(&slow_event);
        let finding = Finding::of("call-beats-event", holds)
            .with("call", call.told())
            .with("event", event.told())
            .with("call, customers slow", slow_call.told())
            .with("event, customers slow", slow_event.told());
        Ok(vec![finding])
    }
}

fn calm(seed: Seed) -> Plan {
    plan(seed, &[SALE], Vec::new())
}

/// The sale, while the customers' service is far away from everybody.
fn slow(seed: Seed) -> Plan {
    let away = |peer: &str| {
        let slow = Befalls::Latency {
            a: CUSTOMERS.to_owned(),
            b: peer.to_owned(),
            latency_ms: millis(SLOW),
            for_ms: millis(SALE.from + SALE.lasts * 2),
        };
        Fault::at(0, slow)
    };
    plan(seed, &[SALE], vec![away("gateway"), away("nats")])
}

/// The customers of a plan.
fn customers(plan: &Plan) -> Vec<String> {
    let placed = plan.workload.iter().map(|own| &own.operation["customer"]);
    placed
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// How long customers waited for the answer to their order.
#[derive(Default)]
struct Waited {
    answers: Vec<Duration>,
    orders: Orders,
}

impl Waited {
    fn by(asking: Asking, seeds: &[Seed], plan: fn(Seed) -> Plan) -> Result<Self, MeasureError> {
        let mut waited = Self::default();
        for seed in seeds {
            let plan = plan(*seed);
            let deployment = Deployment::new("eventing everything");
            let run = run(deployment.authorised(asking, customers(&plan)), &plan)?;
            waited.answers.extend(answer_times(&run.history));
            waited.orders = waited.orders.and(Orders::of(&run.history));
        }
        Ok(waited)
    }

    fn at(&self, percent: usize) -> Duration {
        percentile(self.answers.clone(), percent)
    }

    /// In the middle and among the slowest, and no more requests were given up.
    fn is_sooner_than(&self, other: &Self) -> bool {
        let is_sooner = [50, 99].iter().all(|&own| self.at(own) < other.at(own));
        is_sooner && self.orders.refused <= other.orders.refused
    }

    fn told(&self) -> String {
        let [median, most] = [50, 99].map(|own| self.at(own).as_millis());
        let Orders {
            refused, accepted, ..
        } = self.orders;
        format!(
            "answered in {median} ms (median), {most} ms (99 %), {accepted} orders taken, {refused} requests given up"
        )
    }
}
