//! `causality`: a chain of events can be followed from its ingress to its last effect.
//!
//! Log lines are the one claim of a service that is read here, because the claim itself is what is
//! promised. Whether an id in a log line is the right one of several flows that a host works on at
//! once cannot be told, and neither can what a line without an id belongs to.

mod lines;
mod origin;
#[cfg(test)]
mod tests;
mod transactions;

use self::origin::{Cause, Origins};
use super::breach::{Breach, judge};
use super::trail::{Trail, Trails, correlation_of};
use super::{Property, Verdict};
use crate::history::{CLIENT, History, What, short};

/// Every event of a chain carries the correlation id of its ingress and names its cause, no two
/// flows share an id, and effects and log lines that carry an id carry that of their own flow.
///
/// An event whose cause nobody announced or published is taken for a root, which an ingress
/// request caused. An event that finds its correlation id in use is either a broken chain or
/// crosstalk, unless it came of the same request: it names the same unknown cause as the first
/// event of the flow, or, where roots name no cause, was committed in the same transaction. A root
/// with an unknown cause of its own may also be about the same entity, as a second request is.
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
        "every event of a chain carries the ingress' correlation id and its cause's id, and neither \
         an event nor an effect nor a log line carries another flow's"
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
                .chain(lines::breaches(&trails, &origins)),
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

/// Messages that belong to no flow. A client's command may found one where it comes in.
fn uncorrelated_messages<'h>(history: &'h History) -> impl Iterator<Item = Breach<'h>> {
    history.events.iter().filter_map(|event| match &event.what {
        What::Published { position, message }
            if correlation_of(message).is_none() && *event.host != *CLIENT =>
        {
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
