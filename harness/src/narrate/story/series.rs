//! Figures over virtual time: what waits to be published, what waits at each group, what is in hand, how long effects take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stormglass_reports::story::{Form, Series};

use crate::checker::{Figure, Property};
use crate::history::{Event, Fact, History, SettleOutcome, Settlement, What};
use crate::message::Position;

/// The figures of a run, those that its properties follow among them.
pub(super) fn series(history: &History, properties: &[Arc<dyn Property>]) -> Vec<Series> {
    let backlog = steps("committed and not yet published", &backlog(history));
    let hand = steps("handed over and not yet settled", &in_hand(history));
    let lags = history.description.groups.keys().map(|group| {
        let lag = lag(history, group);
        steps(&format!("waiting for {group}"), &lag)
    });
    let mut series = vec![backlog];
    series.extend(lags);
    series.push(hand);
    let figures = properties.iter().flat_map(|own| own.figures(history));
    series.extend(figures.map(|figure| drawn(history, figure)));
    series.push(Series {
        title: "from commit to effect".to_owned(),
        unit: "milliseconds".to_owned(),
        form: Form::Points,
        points: latency(history),
    });
    series
}

fn drawn(history: &History, figure: Figure) -> Series {
    let at = |index: u64| history.events.get(index as usize).map(super::nanoseconds);
    let points = figure.points.into_iter();
    Series {
        title: figure.title,
        unit: figure.unit.to_owned(),
        form: Form::Steps,
        points: points
            .filter_map(|(index, value)| Some((at(index)?, value)))
            .collect(),
    }
}

fn steps(title: &str, points: &[(u64, u64)]) -> Series {
    Series {
        title: title.to_owned(),
        unit: "events".to_owned(),
        form: Form::Steps,
        points: points.to_vec(),
    }
}

/// How a count goes on, given what each event does to a set.
fn counted<'h, K: Ord>(
    history: &'h History,
    mut change: impl FnMut(&'h Event, &mut BTreeSet<K>),
) -> Vec<(u64, u64)> {
    let mut set = BTreeSet::new();
    let mut points: Vec<(u64, u64)> = Vec::new();
    for event in &history.events {
        let before = set.len();
        change(event, &mut set);
        if set.len() != before {
            points.push((super::nanoseconds(event), set.len() as u64));
        }
    }
    points
}

fn backlog(history: &History) -> Vec<(u64, u64)> {
    counted(
        history,
        |event, waiting: &mut BTreeSet<&str>| match &event.what {
            What::Observed {
                fact: Fact::Announced(own),
                ..
            } => {
                waiting.insert(&own.event_id);
            }
            What::Published { message, .. } => {
                if let Some(id) = message.event_id() {
                    waiting.remove(id);
                }
            }
            _ => {}
        },
    )
}

fn lag(history: &History, group: &str) -> Vec<(u64, u64)> {
    let Some(own) = history.description.groups.get(group) else {
        return Vec::new();
    };
    counted(
        history,
        |event, waiting: &mut BTreeSet<&Position>| match &event.what {
            What::Published { position, .. } if own.hears(&position.topic) => {
                waiting.insert(position);
            }
            What::Settled {
                group: by,
                position,
                settlement: Settlement::Ack,
                outcome: SettleOutcome::Accepted,
                ..
            } if **by == *group => {
                waiting.remove(position);
            }
            _ => {}
        },
    )
}

fn in_hand(history: &History) -> Vec<(u64, u64)> {
    counted(
        history,
        |event, held: &mut BTreeSet<(&str, &Position)>| match &event.what {
            What::Delivered {
                group, position, ..
            } => {
                held.insert((group, position));
            }
            What::Settled {
                group, position, ..
            }
            | What::LeaseExpired { group, position } => {
                held.remove(&(&**group, position));
            }
            What::HostCrashed => held.retain(|(group, _)| **group != *event.host),
            _ => {}
        },
    )
}

fn latency(history: &History) -> Vec<(u64, u64)> {
    let mut committed: BTreeMap<&str, u64> = BTreeMap::new();
    let mut points = Vec::new();
    for event in &history.events {
        let at_ns = super::nanoseconds(event);
        match &event.what {
            What::Observed {
                fact: Fact::Announced(own),
                ..
            } => {
                committed.entry(&own.event_id).or_insert(at_ns);
            }
            What::Observed {
                fact: Fact::Applied(own),
                ..
            } => {
                let since = committed.get(&*own.event_id);
                points.extend(since.map(|since| (at_ns, (at_ns - since) / 1_000_000)));
            }
            _ => {}
        }
    }
    points
}
