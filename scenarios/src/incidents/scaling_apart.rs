//! *Scaling apart*: two consumers of the same events, of which one calls a mail service that has become slow. The other one must
//! not notice.

use std::time::Duration;

use stormglass::Seed;
use stormglass::history::History;
use stormglass::plan::{Fault, Incident as Befalls, Plan};

use super::figures::applied;
use super::sale::{Sale, millis, plan, run};
use super::{Finding, Incident, MeasureError};
use crate::deploy::{Deployment, MAILER};

/// What the article promises of consumers.
pub(super) struct ScalingApart;

const SALE: Sale = Sale {
    from: Duration::from_secs(5),
    lasts: Duration::from_secs(40),
    orders: 120,
};
/// How long the mail service takes each way once it is slow.
const SLOW: Duration = Duration::from_millis(100);
/// The two consumers; both have to do with every order that is confirmed and every parcel.
const CONSUMERS: [&str; 2] = ["shipping", "notification"];

impl Incident for ScalingApart {
    fn name(&self) -> &'static str {
        "scaling-apart"
    }

    fn promise(&self) -> &'static str {
        "a consumer that falls behind keeps no other consumer of the same events from its pace"
    }

    fn claims(&self) -> &'static [&'static str] {
        &["scales-apart"]
    }

    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError> {
        let usual = paces(seeds, |seed| plan(seed, &[SALE], Vec::new()))?;
        let slow = paces(seeds, slow_mails)?;
        let [fast_before, mails_before] = usual;
        let [fast, mails] = slow;
        // The fast one is as fast as before, to a tenth; the slow one really is slow.
        let is_kept = fast.rate() >= 0.9 * fast_before.rate();
        let is_slow = mails.rate() < 0.5 * mails_before.rate();
        let told = |name: &str, before: &Pace, now: &Pace| {
            let (before, now) = (before.rate(), now.rate());
            format!("{name} {now:.1} events/s (usually {before:.1})")
        };
        let finding = Finding::of("scales-apart", is_kept && is_slow)
            .with("fast", told(CONSUMERS[0], &fast_before, &fast))
            .with("slow", told(CONSUMERS[1], &mails_before, &mails));
        Ok(vec![finding])
    }
}

/// The sale while the mail service is slow, until long after it.
fn slow_mails(seed: Seed) -> Plan {
    let slow = Befalls::Latency {
        a: "notification".to_owned(),
        b: MAILER.to_owned(),
        latency_ms: millis(SLOW),
        for_ms: millis(SALE.lasts * 8),
    };
    plan(seed, &[SALE], vec![Fault::at(0, slow)])
}

/// How much a consumer has done, in how much time.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    effects: u32,
    busy: Duration,
}

impl Pace {
    /// Effects a second.
    fn rate(&self) -> f64 {
        f64::from(self.effects) / self.busy.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn paces(seeds: &[Seed], plan: fn(Seed) -> Plan) -> Result<[Pace; 2], MeasureError> {
    let mut paces = [Pace::default(); 2];
    for seed in seeds {
        let run = run(Deployment::new("scaling apart"), &plan(*seed))?;
        for (pace, consumer) in paces.iter_mut().zip(CONSUMERS) {
            let own = pace_of(&run.history, consumer);
            pace.effects += own.effects;
            pace.busy += own.busy;
        }
    }
    Ok(paces)
}

/// From a consumer's first effect to its last one.
fn pace_of(history: &History, consumer: &str) -> Pace {
    let effects = applied(history, consumer);
    let times: Vec<Duration> = effects.map(|event| event.at).collect();
    let (first, last) = (times.first(), times.last());
    Pace {
        effects: u32::try_from(times.len()).unwrap_or(u32::MAX),
        busy: first
            .zip(last)
            .map_or(Duration::ZERO, |(first, last)| *last - *first),
    }
}

#[cfg(test)]
mod tests {
    use super::pace_of;
    use crate::test_shop::Shop;

    #[test]
    fn a_pace_counts_the_effects_of_one_consumer() {
        let mut shop = Shop::open();
        for (consumer, event) in [("shipping", "a"), ("notification", "b"), ("shipping", "c")] {
            shop.applies(consumer, "order-1", event);
        }
        let pace = pace_of(&shop.history, "shipping");
        assert_eq!((pace.effects, pace.busy.as_millis()), (2, 2));
    }
}
