//! *The broker treated as infinitely reliable*: callers publish themselves, and try again where it fails. While the broker is down each
//! of their customers waits for the tries; behind a circuit breaker only those do by whom it finds out.

use std::sync::Arc;
use std::time::Duration;

use reference_system::Settings;
use reference_system::ports::Broker;
use reference_system::publishing::{Direct, PublishPattern, Retrying};
use stormglass::Seed;
use stormglass::plan::{Fault, Incident as Befalls, Plan};

use super::figures::{Orders, answer_times, percentile};
use super::sale::{Sale, millis, plan, run, unhurried};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Deployment, Pattern};

/// The article's mistake.
pub(super) struct TrustedBroker;

const MINUTE: Duration = Duration::from_secs(60);
/// All of it while the broker is down.
const SALE: Sale = Sale {
    from: MINUTE.saturating_mul(2),
    lasts: MINUTE.saturating_mul(6),
    orders: 360,
};
/// When the broker goes down, and for how long.
const OUTAGE: (Duration, Duration) = (MINUTE, MINUTE.saturating_mul(8));

impl Incident for TrustedBroker {
    fn name(&self) -> &'static str {
        "trusted-broker"
    }

    fn promise(&self) -> &'static str {
        "while the broker is down nobody waits for it but those who find out, and who must not lose an event has an outbox"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["breaker-spares"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let of = |deployment: fn() -> Deployment| Shown::of(seeds, deployment);
        let retrying = of(|| deployment().publishing(retrying))?;
        let guarded = of(|| deployment().pattern(Pattern::DirectGuarded))?;
        let outbox = of(deployment)?;
        let finding = Finding::of("breaker-spares", guarded.median() * 3 < retrying.median())
            .with("direct with retry", retrying.told())
            .with("and with a breaker", guarded.told())
            .with("outbox", outbox.told());
        Ok(vec![finding])
    }
}

fn deployment() -> Deployment {
    Deployment::new("trusted broker").settings(unhurried())
}

fn retrying(broker: Arc<dyn Broker>) -> Arc<dyn PublishPattern> {
    let Settings {
        attempts_max,
        backoff,
        ..
    } = Settings::default();
    let retrying = Retrying::new(broker, attempts_max, backoff);
    Arc::new(Direct::new(Arc::new(retrying)))
}

fn down(seed: Seed) -> Plan {
    let (at, lasts) = OUTAGE;
    let down = Befalls::BrokerOutage {
        for_ms: millis(lasts),
    };
    plan(seed, &[SALE], vec![Fault::at(millis(at), down)])
}

/// What one design showed in all its runs.
#[derive(Clone, Debug, Default)]
struct Shown {
    orders: Orders,
    answers: Vec<Duration>,
}

impl Shown {
    fn of(seeds: &[Seed], deployment: fn() -> Deployment) -> Result<Self, MeasureError> {
        let mut shown = Shown::default();
        for seed in seeds {
            let history = run(deployment(), &down(*seed))?.history;
            shown.orders = shown.orders.and(Orders::of(&history));
            shown.answers.extend(answer_times(&history));
        }
        Ok(shown)
    }

    fn median(&self) -> Duration {
        percentile(self.answers.clone(), 50)
    }

    fn told(&self) -> String {
        let [median, most] = [50, 99].map(|own| percentile(self.answers.clone(), own).as_millis());
        let orders = self.orders.told();
        format!("answered in {median} ms (median), {most} ms (99 %), {orders}")
    }
}
