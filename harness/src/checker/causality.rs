//! `causality`: a chain of events can be followed from its ingress to its last effect.
//!
//! Log lines are the one claim of a service that is read here, because the claim itself is what is
//! promised. Whether an id in a log line is the right one of several flows that a host works on at
//! once cannot be told.

mod origin;
#[cfg(test)]
mod tests;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};

use self::origin::{Cause, Origins};
use super::breach::{Breach, judge};
use super::trail::{Trail, Trails, correlation_of};
use super::{Property, Verdict};
use crate::history::{History, What, short};

/// Every event, effect and log line of a chain carries the correlation id of its ingress, every
/// event names its cause, and no two flows share an id.
///
/// An event whose cause nobody announced or published is taken for a root, which an ingress
/// request caused. An event that finds its correlation id in use is either a broken chain or
/// crosstalk, unless it came of the same request: it names the same unknown cause as the first
/// event of the flow, or, where roots name no cause, was committed in the same transaction.
///
/// A consumer begins no flow while it handles an event: what it announces in the transaction of an
/// effect names an event of that transaction as its cause, and belongs to the flow of one where it
/// names none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Causality;

impl Property for Causality {
    fn id(&self) -> &str {
        "causality"
    }

    fn promise(&self) -> &str {
        "every event and log line of a chain carries the ingress' correlation id and its cause's id, \
         and none carries another flow's"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let origins = Origins::of(&trails);
        if !origins.use_correlation() {
            return Verdict::Vacuous("no event carries a correlation id".to_owned());
        }
        let events = trails
            .trails
            .iter()
            .enumerate()
            .flat_map(|(number, trail)| {
                let chain = [
                    broken_link(&trails, &origins, number),
                    crosstalk(&trails, &origins, number),
                ];
                chain
                    .into_iter()
                    .flatten()
                    .chain(strayed(&origins, number, trail))
            });
        let uncorrelated = uncorrelated_messages(history);
        if let Some(broken) = judge(
            history,
            events
                .chain(uncorrelated)
                .chain(transactions::strangers(&trails, &origins))
                .chain(unknown_in_logs(&trails, &origins)),
        ) {
            return broken;
        }
        if origins
            .all()
            .any(|origin| matches!(origin.cause, Cause::Event(_)))
        {
            return Verdict::Holds;
        }
        Verdict::Vacuous("no event was caused by another".to_owned())
    }
}

/// Messages that belong to no flow.
fn uncorrelated_messages<'h>(history: &'h History) -> impl Iterator<Item = Breach<'h>> {
    history.events.iter().filter_map(|event| match &event.what {
        What::Published { position, message } if correlation_of(message).is_none() => {
            let what = message.event_type().unwrap_or("a message");
            let summary = format!(
                "{} published {what} of {} to {} without a correlation id",
                event.host,
                short(&message.key),
                position.topic
            );
            Some(Breach::at(event.index, summary).and_about(message.event_id()))
        }
        _ => None,
    })
}

/// An event that carries another correlation id than the event that caused it.
fn broken_link<'h>(
    trails: &Trails<'h>,
    origins: &Origins<'h>,
    number: usize,
) -> Option<Breach<'h>> {
    let own = origins.get(number)?;
    let Cause::Event(cause) = own.cause else {
        return None;
    };
    let cause_origin = origins.get(cause)?;
    (own.correlation != cause_origin.correlation).then(|| {
        let (trail, cause) = (&trails.trails[number], &trails.trails[cause]);
        let summary = format!(
            "{} carries correlation id {}, but its cause, {}, carries {}",
            trail.name(),
            short(own.correlation),
            cause.name(),
            short(cause_origin.correlation)
        );
        Breach::of(trail.event_id, None, own.index, summary).and_about([cause.event_id])
    })
}

/// A root whose correlation id was in use before.
fn crosstalk<'h>(trails: &Trails<'h>, origins: &Origins<'h>, number: usize) -> Option<Breach<'h>> {
    let own = origins.get(number)?;
    let founder_number = origins.founder(own.correlation)?;
    let founder = origins.get(founder_number)?;
    if founder_number == number
        || matches!(own.cause, Cause::Event(_))
        || own.shares_ingress(founder)
    {
        return None;
    }
    let (trail, first) = (&trails.trails[number], &trails.trails[founder_number]);
    let id = short(own.correlation);
    let summary = format!(
        "{} shares correlation id {id} with {}, but names no cause in that flow",
        trail.name(),
        first.name()
    );
    Some(Breach::of(trail.event_id, None, own.index, summary).and_about([first.event_id]))
}

/// Copies, parked messages and effects that carry another correlation id than their event.
fn strayed<'h>(origins: &Origins<'h>, number: usize, trail: &Trail<'h>) -> Vec<Breach<'h>> {
    let Some(own) = origins.get(number) else {
        return Vec::new();
    };
    let announced = trail.announced.iter().map(|seen| {
        (
            seen.index,
            "was committed",
            &*seen.announcement.correlation_id,
        )
    });
    let published = trail.published.iter().map(|copy| {
        (
            copy.index,
            "was published",
            correlation_of(copy.message).unwrap_or(""),
        )
    });
    let parked = trail.parked.iter().map(|parked| {
        (
            parked.published.index,
            "was parked",
            correlation_of(parked.published.message).unwrap_or(""),
        )
    });
    let applied = trail.applied.iter().map(|effect| {
        (
            effect.index,
            "was applied",
            &*effect.application.correlation_id,
        )
    });
    let discarded = trail.discarded.iter().map(|effect| {
        (
            effect.index,
            "was discarded",
            &*effect.application.correlation_id,
        )
    });
    let all = announced
        .chain(published)
        .chain(parked)
        .chain(applied)
        .chain(discarded);
    all.filter(|(_, _, correlation)| !correlation.is_empty() && *correlation != own.correlation)
        .map(|(index, how, correlation)| {
            let (name, right) = (trail.name(), short(own.correlation));
            let summary = format!(
                "{name} {how} under correlation id {} instead of {right}",
                short(correlation)
            );
            Breach::of(trail.event_id, None, index, summary)
        })
        .collect()
}

/// Log lines under a correlation id that no event carries. A request that failed leaves such lines
/// too, so an id is excused that some host logged at which requests come in: one that is handed no
/// messages, or that committed a root event.
fn unknown_in_logs<'h>(trails: &Trails<'h>, origins: &Origins<'h>) -> Vec<Breach<'h>> {
    let mut hosts_of_unknown: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for event in &trails.history.events {
        if let What::Logged {
            correlation_id: Some(id),
            ..
        } = &event.what
            && !id.is_empty()
            && !origins.knows(id)
        {
            let lines = hosts_of_unknown
                .entry(id)
                .or_insert((event.index, BTreeSet::new()));
            lines.1.insert(&event.host);
        }
    }
    if hosts_of_unknown.is_empty() {
        return Vec::new();
    }
    let consumers: BTreeSet<&str> = trails
        .deliveries()
        .map(|delivered| delivered.host)
        .collect();
    let is_ingress = |host: &str| !consumers.contains(host) || origins.is_ingress(host);
    hosts_of_unknown
        .into_iter()
        .filter(|(_, (_, hosts))| !hosts.iter().any(|host| is_ingress(host)))
        .map(|(id, (index, hosts))| {
            let host = hosts.first().copied().unwrap_or_default();
            let id = short(id);
            Breach::at(
                index,
                format!(
                    "{host} logged correlation id {id}, which no request and no event brought in"
                ),
            )
        })
        .collect()
}
