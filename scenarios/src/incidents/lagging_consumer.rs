//! *Lagging consumer*: nobody has started the inventory's consumer for half an hour of a sale. What matters is when somebody is told,
//! and how long the backlog takes once the consumer is back.

use std::collections::BTreeSet;
use std::time::Duration;

use reference_system::event::contract::event_type::ORDER_PLACED;
use reference_system::monitor::{CONSUMER_LAG, DepthThreshold, REAL_TIME};
use stormglass::Seed;
use stormglass::history::{Fact, History, What};

use super::figures::{alarms, percentile};
use super::sale::{Sale, plan, run, unhurried};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{AbsentConsumer, Deployment, Watch};

/// The article's incident.
pub(super) struct LaggingConsumer;

const MINUTE: Duration = Duration::from_secs(60);
const SALE: Sale = Sale {
    from: MINUTE,
    lasts: MINUTE.saturating_mul(40),
    orders: 240,
};
/// The consumer, which comes when it is half an hour behind.
const ABSENT: AbsentConsumer = AbsentConsumer {
    consumer: "inventory",
    until: MINUTE.saturating_mul(31),
};

impl Incident for LaggingConsumer {
    fn name(&self) -> &'static str {
        "lagging-consumer"
    }

    fn promise(&self) -> &'static str {
        "somebody is told of a consumer that falls behind long before it is back, and once it is back it catches up"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["lag-is-seen"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let mut shown = Shown::default();
        for seed in seeds {
            shown.add(&run(deployment(), &plan(*seed, &[SALE], Vec::new()))?.history);
        }
        let finding = Finding::of("lag-is-seen", shown.is_seen(seeds.len()))
            .with("monitor", shown.alarm_told())
            .with("consumer", shown.backlog_told());
        Ok(vec![finding])
    }
}

fn deployment() -> Deployment {
    Deployment::new("lagging consumer")
        .settings(unhurried())
        .watched(Watch {
            depth: DepthThreshold::default(),
            unpublished: None,
            waiting: REAL_TIME,
            every: Duration::from_secs(10),
        })
        .processes(ABSENT)
}

/// What was seen in all runs.
#[derive(Clone, Debug, Default)]
struct Shown {
    /// How far the consumer was behind when the first alarm came.
    seen_after: Vec<Duration>,
    /// How far it was behind when it came back.
    behind: Vec<Duration>,
    /// How many events waited then.
    waiting: usize,
    /// How long it took to work them off; `None` if it never did.
    cleared_in: Option<Vec<Duration>>,
}

impl Shown {
    fn add(&mut self, history: &History) {
        let waiting = placed_before(history, ABSENT.until);
        let Some(first) = waiting.iter().map(|(at, _)| *at).min() else {
            return;
        };
        self.behind.push(ABSENT.until - first);
        self.waiting += waiting.len();
        let mut firing = alarms(history, CONSUMER_LAG, ABSENT.consumer);
        self.seen_after.extend(firing.next().map(|at| at - first));
        let ids = waiting.into_iter().map(|(_, id)| id).collect();
        let cleared_at = worked_off(history, ids);
        let times = self.cleared_in.get_or_insert_default();
        match cleared_at {
            Some(at) => times.push(at.saturating_sub(ABSENT.until)),
            None => times.push(Duration::MAX),
        }
    }

    /// Whether each run had its alarm, well before the consumer was back, and the backlog was worked off.
    fn is_seen(&self, runs: usize) -> bool {
        let cleared = self.cleared_in.as_deref().unwrap_or_default();
        let are_early = self.seen_after.iter().all(|after| *after < 2 * REAL_TIME);
        self.seen_after.len() == runs
            && are_early
            && cleared.len() == runs
            && cleared.iter().all(|time| *time < Duration::MAX)
    }

    fn alarm_told(&self) -> String {
        let limit = minutes(REAL_TIME);
        match percentile(self.seen_after.clone(), 100) {
            Duration::ZERO => format!("no alert, at a limit of {limit:.0} min"),
            latest => format!(
                "alert when it was {:.1} min behind, at a limit of {limit:.0} min",
                minutes(latest)
            ),
        }
    }

    fn backlog_told(&self) -> String {
        let behind = minutes(percentile(self.behind.clone(), 100));
        let cleared = percentile(self.cleared_in.clone().unwrap_or_default(), 100);
        let cleared = match cleared {
            Duration::MAX => "never cleared".to_owned(),
            time => format!("cleared in {:.1} s", time.as_secs_f64()),
        };
        format!(
            "{behind:.1} min behind when it came back, {} events waited, {cleared}",
            self.waiting
        )
    }
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}

/// The orders that were announced by a moment: when, and under which event id.
fn placed_before(history: &History, moment: Duration) -> Vec<(Duration, &str)> {
    let placed = history.events.iter().filter_map(|event| match &event.what {
        What::Observed {
            fact: Fact::Announced(own),
            ..
        } if own.event_type == ORDER_PLACED => Some((event.at, own.event_id.as_str())),
        _ => None,
    });
    placed.filter(|(at, _)| *at <= moment).collect()
}

/// When the consumer had an end of all these events; `None` if it never had.
fn worked_off(history: &History, mut ids: BTreeSet<&str>) -> Option<Duration> {
    let mut last = Duration::ZERO;
    for event in &history.events {
        if let What::Observed {
            fact: Fact::Applied(own) | Fact::Discarded(own),
            ..
        } = &event.what
            && own.consumer == ABSENT.consumer
            && ids.remove(own.event_id.as_str())
        {
            last = event.at;
        }
    }
    ids.is_empty().then_some(last)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{placed_before, worked_off};
    use crate::test_shop::Shop;

    #[test]
    fn a_backlog_is_worked_off_with_its_last_event() {
        let mut shop = Shop::open();
        shop.places("one");
        let waiting = placed_before(&shop.history, Duration::MAX);
        assert_eq!(waiting.len(), 1);
        let ids = waiting.iter().map(|(_, id)| *id).collect();
        assert_eq!(worked_off(&shop.history, ids), None);
    }
}
