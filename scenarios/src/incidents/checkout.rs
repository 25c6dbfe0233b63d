//! *Checkout that stopped losing orders*: a sale whose events are more than the broker takes, and in the next sale the broker is down for
//! twenty minutes; and what the notification service's absence does to those who wait for it.
//!
//! All designs take the same orders. The broker's capacity is a number of publishes a minute, and less than the sale needs for as long as it
//! lasts. The relay works off what has waited at a rate that the broker can bear.

use std::num::NonZeroU32;
use std::time::Duration;

use reference_system::Settings;
use stormglass::Seed;
use stormglass::checker::NoLostEvent;
use stormglass::plan::{Fault, Incident as Befalls, Plan};
use stormglass::simulation::Run;

use super::figures::{Backlog, Judged, Orders, answer_times, percentile};
use super::sale::{Sale, millis, plan, run, unhurried};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Deployment, Pattern};

/// The article's incident.
pub(super) struct Checkout;

const MINUTE: Duration = Duration::from_secs(60);
/// The sale that is too much for the broker.
const RUSH: Sale = Sale {
    from: MINUTE,
    lasts: MINUTE.saturating_mul(240),
    orders: 480,
};
/// The next one.
const NEXT: Sale = Sale {
    from: MINUTE.saturating_mul(300),
    lasts: MINUTE.saturating_mul(60),
    orders: 60,
};
/// How many publishes a minute the broker takes during the first sale, which asks for ten where none is lost.
const PER_MINUTE: u32 = 8;
/// How many events of an outbox the relay publishes a second.
const RELAY_RATE: Option<NonZeroU32> = NonZeroU32::new(5);
/// When the broker goes down, and for how long.
const OUTAGE: (Duration, Duration) = (MINUTE.saturating_mul(315), MINUTE.saturating_mul(20));

impl Incident for Checkout {
    fn name(&self) -> &'static str {
        "checkout"
    }

    fn promise(&self) -> &'static str {
        "no order is lost while the broker refuses events or is down, and none waits longer than the outage"
    }

    fn claims(&self) -> &'static [&'static str] {
        &[
            "direct-loses-orders",
            "outbox-loses-none",
            "cdc-loses-none",
            "outage-only-delays",
            "latency-compounds",
            "any-failure-fails-all",
            "orders-go-on",
        ]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let direct = Shown::of(Pattern::Direct, seeds, trouble_at_the_broker)?;
        let outbox = Shown::of(Pattern::Outbox, seeds, trouble_at_the_broker)?;
        let cdc = Shown::of(Pattern::Cdc, seeds, trouble_at_the_broker)?;
        let sync = Shown::of(Pattern::Synchronous, seeds, trouble_at_the_broker)?;
        let unmailed = Shown::of(Pattern::Outbox, seeds, notification_down)?;
        let unanswered = Shown::of(Pattern::Synchronous, seeds, notification_down)?;
        let drains = |shown: &Shown| shown.backlog.drained_in.is_some();
        let lossless = |shown: &Shown| {
            shown.orders.lost == 0 && drains(shown) && shown.no_lost_event.is_kept()
        };
        let loses = direct.orders.lost > 0 && direct.no_lost_event.is_broken();
        Ok(vec![
            Finding::of("direct-loses-orders", loses).with("direct", direct.losses_told()),
            Finding::of("outbox-loses-none", lossless(&outbox)).with(
                "outbox",
                format!("{}, {}", outbox.losses_told(), outbox.backlog.told()),
            ),
            Finding::of("cdc-loses-none", lossless(&cdc)).with(
                "cdc",
                format!("{}, {}", cdc.losses_told(), cdc.backlog.told()),
            ),
            Finding::of("outage-only-delays", drains(&outbox) && !drains(&direct))
                .with("outbox", outbox.backlog.told())
                .with("direct", direct.backlog.told()),
            Finding::of("latency-compounds", sync.median() > 3 * outbox.median())
                .with("sync", sync.answers_told())
                .with("outbox", outbox.answers_told())
                .with("direct", direct.answers_told()),
            Finding::of("any-failure-fails-all", unanswered.failed() > 0)
                .with("sync", unanswered.failed_told()),
            Finding::of("orders-go-on", unmailed.failed() == 0)
                .with("outbox", unmailed.failed_told()),
        ])
    }
}

/// The two sales, with what befalls the broker.
fn trouble_at_the_broker(seed: Seed) -> Plan {
    let full = Befalls::CapacityLimit {
        for_ms: millis(RUSH.lasts),
        per_minute: PER_MINUTE,
    };
    let (at, lasts) = OUTAGE;
    let down = Befalls::BrokerOutage {
        for_ms: millis(lasts),
    };
    let schedule = vec![
        Fault::at(millis(RUSH.from), full),
        Fault::at(millis(at), down),
    ];
    plan(seed, &[RUSH, NEXT], schedule)
}

/// The second sale, while the notification service is away.
fn notification_down(seed: Seed) -> Plan {
    let (at, lasts) = OUTAGE;
    let crash = Befalls::Crash {
        host: "notification".to_owned(),
        down_ms: millis(lasts),
    };
    plan(seed, &[NEXT], vec![Fault::at(millis(at), crash)])
}

/// What one design showed in all its runs.
struct Shown {
    orders: Orders,
    no_lost_event: Judged,
    /// The worst of all seeds.
    backlog: Backlog,
    answers: Vec<Duration>,
}

impl Shown {
    fn of(pattern: Pattern, seeds: &[Seed], plan: fn(Seed) -> Plan) -> Result<Self, MeasureError> {
        let mut shown = Shown {
            orders: Orders::default(),
            no_lost_event: Judged::by(&NoLostEvent),
            backlog: Backlog {
                drained_in: Some(Duration::ZERO),
                ..Backlog::default()
            },
            answers: Vec::new(),
        };
        for seed in seeds {
            let name = format!("checkout by {}", pattern.name());
            let deployment = Deployment::new(&name).settings(Settings {
                relay_rate: RELAY_RATE,
                ..unhurried()
            });
            shown.add(&run(deployment.pattern(pattern), &plan(*seed))?);
        }
        Ok(shown)
    }

    fn add(&mut self, run: &Run) {
        let (at, lasts) = OUTAGE;
        let backlog = Backlog::of(&run.history, at + lasts);
        self.orders = self.orders.and(Orders::of(&run.history));
        self.no_lost_event.add(&NoLostEvent, &run.history);
        self.backlog = self.backlog.or_worse(backlog);
        self.answers.extend(answer_times(&run.history));
    }

    fn losses_told(&self) -> String {
        let (orders, judged) = (self.orders.told(), self.no_lost_event.told());
        format!("{orders}, {judged}")
    }

    fn median(&self) -> Duration {
        percentile(self.answers.clone(), 50)
    }

    fn answers_told(&self) -> String {
        let [median, most] = [50, 99].map(|own| percentile(self.answers.clone(), own).as_millis());
        format!("answered in {median} ms (median), {most} ms (99 %)")
    }

    /// Requests that failed for good, and orders that were taken and come to no end: a customer who repeats a failed request is
    /// told that the order is placed, because so it is.
    fn failed(&self) -> u64 {
        self.orders.refused + self.orders.lost
    }

    fn failed_told(&self) -> String {
        let Orders {
            refused,
            accepted,
            lost,
            ..
        } = self.orders;
        format!("{lost} of {accepted} orders half done, {refused} requests given up")
    }
}
