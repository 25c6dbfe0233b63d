//! *DLQ flood*: for an hour a release of the notification service cannot handle a single event; it is rolled back, and an operator
//! replays what is parked. A release that is as broken for a minute only must wake nobody.

use std::time::Duration;

use reference_system::monitor::{DepthThreshold, PARKED_EVENTS, REAL_TIME};
use stormglass::Seed;
use stormglass::plan::Plan;

use super::at_debug::AtDebug;
use super::figures::{alarms, mails, parked};
use super::sale::{Sale, asked, plan, run, unhurried};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{BrokenRelease, Deployment, Watch};
use crate::workload::Operation;

/// The article's incident.
pub(super) struct DlqFlood;

const MINUTE: Duration = Duration::from_secs(60);
const SALE: Sale = Sale {
    from: MINUTE,
    lasts: MINUTE.saturating_mul(60),
    orders: 240,
};
/// The consumer whose release is broken.
const CONSUMER: &str = "notification";
/// When the release is rolled back: after the sale, and after a minute of it.
const AFTER_THE_SALE: Duration = MINUTE.saturating_mul(62);
const SOON: Duration = MINUTE.saturating_mul(2);
/// When the operator replays, as often as an order has events: a replay brings back the first of each order.
const REPLAYS: [Duration; 3] = [
    MINUTE.saturating_mul(65),
    MINUTE.saturating_mul(67),
    MINUTE.saturating_mul(69),
];

impl Incident for DlqFlood {
    fn name(&self) -> &'static str {
        "dlq-flood"
    }

    fn promise(&self) -> &'static str {
        "what a broken release cannot handle is parked, tells once that it is too much, and takes effect when it is replayed"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["dlq-keeps", "dlq-alert"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let calm = Shown::of(seeds, || deployment(Duration::ZERO))?;
        let dropped = Shown::of(seeds, || deployment(AFTER_THE_SALE).give_up(AtDebug))?;
        let flooded = Shown::of(seeds, || deployment(AFTER_THE_SALE))?;
        let few = Shown::of(seeds, || deployment(SOON))?;
        let is_kept = flooded.parked > 0 && flooded.mails == calm.mails;
        let is_lost = dropped.mails < calm.mails;
        let once = seeds.len() as u64;
        Ok(vec![
            Finding::of("dlq-keeps", is_kept && is_lost)
                .with("parked", flooded.told(&calm))
                .with("dropped", dropped.told(&calm)),
            Finding::of(
                "dlq-alert",
                few.parked > 0 && few.alarms == 0 && flooded.alarms == once,
            )
            .with("a broken minute", few.alarms_told())
            .with("a broken hour", flooded.alarms_told()),
        ])
    }
}

fn deployment(broken_until: Duration) -> Deployment {
    Deployment::new("dlq flood")
        .settings(unhurried())
        .watched(Watch {
            depth: DepthThreshold::default(),
            unpublished: None,
            waiting: REAL_TIME,
            every: Duration::from_secs(10),
        })
        .processes(BrokenRelease {
            consumer: CONSUMER,
            until: broken_until,
        })
}

fn replayed(seed: Seed) -> Plan {
    let mut plan = plan(seed, &[SALE], Vec::new());
    let replay = || Operation::Replay {
        consumer: CONSUMER.to_owned(),
        after_ms: 0,
        relay: 0,
    };
    plan.workload.extend(REPLAYS.map(|at| asked(at, replay())));
    plan
}

/// What one design showed in all its runs.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    parked: usize,
    mails: usize,
    alarms: u64,
}

impl Shown {
    fn of(seeds: &[Seed], deployment: fn() -> Deployment) -> Result<Self, MeasureError> {
        let mut shown = Shown::default();
        for seed in seeds {
            let history = run(deployment(), &replayed(*seed))?.history;
            shown.parked += parked(&history, CONSUMER);
            shown.mails += mails(&history);
            shown.alarms += alarms(&history, PARKED_EVENTS, CONSUMER).count() as u64;
        }
        Ok(shown)
    }

    fn told(self, calm: &Shown) -> String {
        let (parked, sent, all) = (self.parked, self.mails, calm.mails);
        format!("{parked} events parked, {sent} of {all} mails sent in the end")
    }

    fn alarms_told(self) -> String {
        let alerts = if self.alarms == 1 { "alert" } else { "alerts" };
        format!("{} events parked, {} {alerts}", self.parked, self.alarms)
    }
}
