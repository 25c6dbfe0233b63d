//! *Small team*: the shop as a monolith with events in the process. Without a crash it does all that the services do; a crash between
//! a commit and the subscribers behind it loses what they would have done, which is the price of having no outbox.

use std::time::Duration;

use stormglass::Seed;
use stormglass::plan::{Aim, Call, Fault, Incident as Befalls, Plan, Side};
use stormglass::simulation::Run;

use super::figures::Orders;
use super::sale::{Sale, monolith, plan};
use super::{Finding, Incident, MeasureError};

/// What the article recommends to a small team.
pub(super) struct SmallTeam;

const SALE: Sale = Sale {
    from: Duration::from_secs(5),
    lasts: Duration::from_secs(600),
    orders: 100,
};
/// How often the process crashes in that time, each time behind a commit.
const CRASHES: u64 = 5;

impl Incident for SmallTeam {
    fn name(&self) -> &'static str {
        "small-team"
    }

    fn promise(&self) -> &'static str {
        "a monolith with in-process events needs no broker, and loses what a crash finds between commit and subscriber"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["monolith-does", "monolith-loses-on-crash"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let calm = shown(seeds, |seed| plan(seed, &[SALE], Vec::new()))?;
        let crashed = shown(seeds, crashing)?;
        Ok(vec![
            Finding::of("monolith-does", calm.accepted > 0 && calm.lost == 0)
                .with("in-process", calm.told()),
            Finding::of("monolith-loses-on-crash", crashed.lost > 0)
                .with("in-process", crashed.told()),
        ])
    }
}

fn shown(seeds: &[Seed], plan: fn(Seed) -> Plan) -> Result<Orders, MeasureError> {
    let mut shown = Orders::default();
    for seed in seeds {
        let Run { history, .. } = monolith(&plan(*seed))?;
        shown = shown.and(Orders::of(&history));
    }
    Ok(shown)
}

/// The sale with a process that crashes behind a commit, many times.
fn crashing(seed: Seed) -> Plan {
    let every = SALE.lasts.as_millis() as u64 / CRASHES;
    let schedule = (0..CRASHES).map(|number| {
        let aim = Aim {
            host: "gateway".to_owned(),
            call: Call::Commit,
            nth: 1,
            side: Side::After,
        };
        let crash = Befalls::Crash {
            host: "gateway".to_owned(),
            down_ms: 500,
        };
        Fault::on(every * number + 1, aim, crash)
    });
    plan(seed, &[SALE], schedule.collect())
}
