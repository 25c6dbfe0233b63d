//! *A new consumer*: text messages, search and webhooks are deployed beside a shop that runs as it did before. The orders must not
//! notice.

use std::time::Duration;

use stormglass::Seed;
use stormglass::plan::Plan;

use super::figures::{Orders, answer_times, percentile};
use super::sale::{Sale, plan, run};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Deployment, Extent, SMS_GATEWAY};

/// What the article promises of events.
pub(super) struct AddedConsumer;

const SALE: Sale = Sale {
    from: Duration::from_secs(5),
    lasts: Duration::from_secs(60),
    orders: 60,
};
/// Who orders, again and again, and has left a telephone number.
const CUSTOMER: &str = "ada@example.org";

impl Incident for AddedConsumer {
    fn name(&self) -> &'static str {
        "added-consumer"
    }

    fn promise(&self) -> &'static str {
        "consumers come to a shop that is not changed for them, and orders take the time that they took"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["consumers-are-added"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let before = Shown::of(seeds, Extent::Core)?;
        let after = Shown::of(seeds, Extent::WithNeighbours)?;
        let is_same = before.orders == after.orders && before.orders.lost == 0;
        // To a tenth: the simulated network draws another latency for each message.
        let is_as_fast = after.median() <= before.median() + before.median() / 10;
        let is_there = before.added == 0 && after.added > 0;
        let finding = Finding::of("consumers-are-added", is_same && is_as_fast && is_there)
            .with("before", before.told())
            .with("after", after.told());
        Ok(vec![finding])
    }
}

/// The sale, all of it to one customer.
fn ordered(seed: Seed) -> Plan {
    let mut plan = plan(seed, &[SALE], Vec::new());
    for asked in &mut plan.workload {
        asked.operation["customer"] = CUSTOMER.into();
    }
    plan
}

/// What was seen in all runs.
#[derive(Clone, Debug, Default)]
struct Shown {
    orders: Orders,
    answers: Vec<Duration>,
    added: usize,
}

impl Shown {
    fn of(seeds: &[Seed], extent: Extent) -> Result<Self, MeasureError> {
        let mut shown = Shown::default();
        for seed in seeds {
            let deployment = Deployment::new("added consumer").extent(extent);
            let history = run(deployment, &ordered(*seed))?.history;
            shown.orders = shown.orders.and(Orders::of(&history));
            shown.answers.extend(answer_times(&history));
            shown.added += history.ledger(SMS_GATEWAY).count();
        }
        Ok(shown)
    }

    fn median(&self) -> Duration {
        percentile(self.answers.clone(), 50)
    }

    fn told(&self) -> String {
        let (orders, median) = (self.orders.told(), self.median().as_millis());
        let added = self.added;
        format!("{orders}, answered in {median} ms (median), {added} text messages")
    }
}
