//! Figures: what a history says about orders, their events and their customers. Nothing is taken from the services' word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use stormglass::checker::{Property, Verdict};
use stormglass::history::{Answer, Event, Fact, History, What};

use reference_system::dead_letter;

use crate::deploy::{MAILER, PAGER, view};

/// What became of the orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Orders in the shop's books: it has accepted them, whatever it told.
    pub(crate) accepted: u64,
    /// Those of them that are neither shipped nor cancelled when nothing happens any more.
    pub(crate) lost: u64,
    /// What the lost ones are worth, in cents.
    pub(super) lost_cents: i64,
    /// Requests that customers were told have failed.
    pub(crate) refused: u64,
}

/// How a property of the harness judged the runs of a design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    property: String,
    runs: u64,
    broken: u64,
}

/// How many committed events were not published yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// The most at any time.
    pub(crate) peak: usize,
    /// The longest that one of them waited, of those that were published.
    pub(crate) oldest: Duration,
    /// How long it took from the given moment until all that had waited then was published; `None` if some never was.
    pub(crate) drained_in: Option<Duration>,
}

impl Orders {
    pub(crate) fn of(history: &History) -> Self {
        let rows = history.final_state(view::ORDERS);
        let mut orders = Orders::default();
        for row in rows.map(|(_, rows)| rows).unwrap_or_default() {
            orders.accepted += 1;
            let state = row["state"].as_str().unwrap_or_default();
            if !["shipped", "cancelled"].contains(&state) {
                let number = |column: &str| row[column].as_i64().unwrap_or_default();
                orders.lost += 1;
                orders.lost_cents += number("quantity") * number("unit_price_cents");
            }
        }
        let answers = history.operations();
        let told = answers.iter().filter_map(|own| own.told);
        let refused = told.filter(|told| told.answer != Answer::Done).count();
        orders.refused = refused as u64;
        orders
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Orders {
            accepted: self.accepted + other.accepted,
            lost: self.lost + other.lost,
            lost_cents: self.lost_cents + other.lost_cents,
            refused: self.refused + other.refused,
        }
    }

    /// `12 of 600 lost, worth 1,656.00`.
    pub(super) fn told(self) -> String {
        let Orders {
            accepted,
            lost,
            lost_cents,
            ..
        } = self;
        match lost {
            0 => format!("0 of {accepted} orders lost"),
            _ => {
                let worth = lost_cents as f64 / 100.0;
                format!("{lost} of {accepted} orders lost, worth {worth:.2}")
            }
        }
    }
}

impl Judged {
    /// No run yet.
    pub(super) fn by(property: &dyn Property) -> Self {
        Judged {
            property: property.id().to_owned(),
            runs: 0,
            broken: 0,
        }
    }

    /// One more run, judged by the same property.
    pub(super) fn add(&mut self, property: &dyn Property, history: &History) {
        let verdict = property.check(history);
        self.runs += 1;
        self.broken += u64::from(matches!(verdict, Verdict::Broken(_)));
    }

    /// Whether it was broken in every run.
    pub(super) fn is_broken(&self) -> bool {
        self.broken == self.runs
    }

    /// Whether it was broken in none.
    pub(super) fn is_kept(&self) -> bool {
        self.broken == 0
    }

    /// `no-lost-event broken in 3 of 3 runs`.
    pub(super) fn told(&self) -> String {
        let Judged {
            property,
            runs,
            broken,
        } = self;
        format!("`{property}` broken in {broken} of {runs} runs")
    }
}

impl Backlog {
    /// The backlog of a history, and how it was worked off from `since` on.
    pub(crate) fn of(history: &History, since: Duration) -> Self {
        let mut waiting: BTreeMap<&str, Duration> = BTreeMap::new();
        let (mut peak, mut oldest, mut drained_at) = (0, Duration::ZERO, since);
        for event in &history.events {
            match &event.what {
                What::Observed {
                    fact: Fact::Announced(announced),
                    ..
                } => {
                    waiting.insert(&announced.event_id, event.at);
                    peak = peak.max(waiting.len());
                }
                What::Published { message, .. } => {
                    let committed = message.event_id().and_then(|id| waiting.remove(id));
                    oldest = oldest.max(committed.map_or(Duration::ZERO, |at| event.at - at));
                    if committed.is_some_and(|at| at <= since) && event.at > since {
                        drained_at = event.at;
                    }
                }
                _ => {}
            }
        }
        let is_drained = waiting.values().all(|at| *at > since);
        Backlog {
            peak,
            oldest,
            drained_in: is_drained.then(|| drained_at - since),
        }
    }

    /// The worse of both in each respect.
    pub(super) fn or_worse(self, other: Self) -> Self {
        let drained = self.drained_in.zip(other.drained_in);
        Backlog {
            peak: self.peak.max(other.peak),
            oldest: self.oldest.max(other.oldest),
            drained_in: drained.map(|(one, other)| one.max(other)),
        }
    }

    /// `at most 40 events waited, drained in 3.1 s`.
    pub(super) fn told(self) -> String {
        let drained = match self.drained_in {
            Some(time) => format!("drained in {:.1} s", time.as_secs_f64()),
            None => "never drained".to_owned(),
        };
        format!("at most {} events waited, {drained}", self.peak)
    }
}

/// How long customers waited for their answers, in the order of the operations; those that failed included.
pub(super) fn answer_times(history: &History) -> Vec<Duration> {
    let asked = history.operations();
    let answered = asked
        .iter()
        .filter_map(|own| Some((own.index, own.told?.index)));
    answered
        .map(|(asked, told)| time_of(history, told) - time_of(history, asked))
        .collect()
}

/// The effects that a consumer had.
pub(super) fn applied<'h>(history: &'h History, consumer: &str) -> impl Iterator<Item = &'h Event> {
    history
        .events
        .iter()
        .filter(move |event| match &event.what {
            What::Observed {
                fact: Fact::Applied(own),
                ..
            } => own.consumer == consumer,
            _ => false,
        })
}

/// How many events a consumer has parked, however often it published each.
pub(super) fn parked(history: &History, consumer: &str) -> usize {
    let topic = dead_letter::topic(consumer);
    let published = history.events.iter().filter_map(|event| match &event.what {
        What::Published { position, message } if *position.topic == *topic => message.event_id(),
        _ => None,
    });
    published.collect::<BTreeSet<_>>().len()
}

/// How many mails were sent.
pub(super) fn mails(history: &History) -> usize {
    history.ledger(MAILER).count()
}

/// When the pager was told that something is wrong with a consumer, under an alert's name.
pub(super) fn alarms(
    history: &History,
    alert: &str,
    consumer: &str,
) -> impl Iterator<Item = Duration> {
    let pages = pages(history)
        .filter(move |(_, labels)| labels["alertname"] == alert && labels["group"] == consumer);
    pages.map(|(at, _)| at)
}

/// When the pager was told that something is wrong, and the labels of the alert.
pub(crate) fn pages(history: &History) -> impl Iterator<Item = (Duration, &Value)> {
    let calls = history.ledger(PAGER);
    calls.flat_map(move |(index, _, request)| {
        let at = time_of(history, index);
        let alerts = request["alerts"].as_array();
        let alerts = alerts.into_iter().flatten();
        let firing = alerts.filter(|told| told["status"] == "firing");
        firing.map(move |told| (at, &told["labels"]))
    })
}

fn time_of(history: &History, index: u64) -> Duration {
    let event = usize::try_from(index)
        .ok()
        .and_then(|own| history.events.get(own));
    event.map_or(Duration::ZERO, |event| event.at)
}

/// The value below which so many percent of all are.
pub(super) fn percentile(mut values: Vec<Duration>, percent: usize) -> Duration {
    values.sort();
    let last = values.len().saturating_sub(1);
    values
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backlog, percentile};
    use crate::test_shop::Shop;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values = [4, 1, 3, 2].map(Duration::from_secs).to_vec();
        for (percent, seconds) in [(0, 1), (50, 2), (99, 3), (100, 4)] {
            let found = percentile(values.clone(), percent);
            assert_eq!(found, Duration::from_secs(seconds), "{percent}");
        }
        assert_eq!(percentile(Vec::new(), 50), Duration::ZERO);
    }

    #[test]
    fn what_is_never_published_is_a_backlog_that_never_drains() {
        let mut shop = Shop::open();
        shop.places("one");
        shop.places("two");
        let backlog = Backlog::of(&shop.history, Duration::from_secs(1));
        assert_eq!((backlog.peak, backlog.drained_in), (2, None));
        let nothing = Backlog::of(&Shop::open().history, Duration::ZERO);
        assert_eq!(nothing.drained_in, Some(Duration::ZERO));
    }
}
