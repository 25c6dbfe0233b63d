//! `causality`: a chain of events can be followed from its ingress to its last effect.
//!
//! What a service says in its log is for `log-correlation` to judge.

mod carriers;
#[cfg(test)]
mod tests;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};

use super::breach::{Breach, judge};
use super::origins::{Cause, Origin, Origins};
use super::trail::{Trails, correlation_of, differ};
use super::{Property, Verdict};
use crate::history::{CLIENT, Fact, History, What};

/// Every event of a chain carries the correlation id of its ingress and names its cause, and what
/// carries an event on carries the ids that it was committed with.
///
/// An event belongs to the flow of the event that it names as its cause. Where it names none, the
/// column `is_root` of its [probe](crate::database::Probe::announced) decides: no two requests begin
/// one flow, and what begins none has a cause among the events. Two roots are of one request if they
/// name the same `cause_id` or were committed in one transaction. What a probe does not declare is held
/// against nobody.
///
/// A consumer begins no flow while it handles an event: what it announces in the transaction of an
/// effect names an event of that transaction as its cause, and belongs to the flow of one where it
/// names none, unless it is declared a root or sums up several flows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Causality;

impl Property for Causality {
    fn id(&self) -> &str {
        "causality"
    }

    fn promise(&self) -> &str {
        "every event of a chain carries the ingress' correlation id and its cause's id, and nothing \
         that carries it on carries another flow's or names another cause"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let origins = Origins::of(&trails);
        let chains = origins.all().filter_map(|(number, own)| {
            broken_link(&trails, &origins, number, own).or_else(|| lost_cause(&trails, number, own))
        });
        let breaches = chains
            .chain(crosstalk(&trails, &origins))
            .chain(carriers::breaches(&trails, &origins))
            .chain(transactions::strangers(&trails, &origins))
            .chain(uncorrelated(history));
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        let is_caused = |own: &Origin<'_>| matches!(own.cause, Cause::Event(_));
        if origins.all().any(|(_, own)| is_caused(own)) {
            return Verdict::Holds;
        }
        Verdict::Vacuous("no event was caused by another".to_owned())
    }
}

/// An event that carries another correlation id than the event that caused it.
fn broken_link<'h>(
    trails: &Trails<'h>,
    origins: &Origins<'h>,
    number: usize,
    own: &Origin<'h>,
) -> Option<Breach<'h>> {
    let Cause::Event(cause) = own.cause else {
        return None;
    };
    let right = origins.get(cause)?.correlation;
    let is_broken = own.is_root != Some(true) && differ(own.correlation, right);
    is_broken.then(|| {
        let (trail, cause) = (&trails.trails[number], &trails.trails[cause]);
        let summary = format!(
            "{} carries correlation id {}, but its cause, {}, carries {}",
            trail.name(),
            own.correlation,
            cause.name(),
            right
        );
        let breach = Breach::of(trail.event_id, None, own.index, summary);
        breach.by_rule("broken-link").and_about([cause.event_id])
    })
}

/// An event that is declared to have a cause among the events, and names none.
fn lost_cause<'h>(trails: &Trails<'h>, number: usize, own: &Origin<'h>) -> Option<Breach<'h>> {
    let named = match own.cause {
        Cause::Request(id) if own.is_root == Some(false) => {
            format!("{}, which is no event", id)
        }
        Cause::Unsaid if own.is_root == Some(false) => "nothing".to_owned(),
        _ => return None,
    };
    let trail = &trails.trails[number];
    let summary = format!(
        "{} is no root, but names {named} as its cause",
        trail.name()
    );
    let breach = Breach::of(trail.event_id, None, own.index, summary);
    Some(breach.by_rule("lost-cause"))
}

/// Declared roots of two requests under one correlation id.
fn crosstalk<'h>(trails: &Trails<'h>, origins: &Origins<'h>) -> Vec<Breach<'h>> {
    let roots = origins.all().filter(|(_, own)| {
        own.is_root == Some(true)
            && !own.correlation.is_empty()
            && !matches!(own.cause, Cause::Event(_))
    });
    let mut roots: Vec<(usize, &Origin<'h>)> = roots.collect();
    roots.sort_by_key(|(_, own)| own.index);
    let mut founders = BTreeMap::new();
    let crossed = roots.into_iter().filter_map(|(number, own)| {
        let &mut (first, founder) = founders.entry(own.correlation).or_insert((number, own));
        let is_request = matches!(own.cause, Cause::Request(_));
        let of_one_request =
            own.commit == founder.commit || is_request && own.cause == founder.cause;
        (!of_one_request).then(|| {
            let (trail, first) = (&trails.trails[number], &trails.trails[first]);
            let summary = format!(
                "{} begins the flow {}, which {} had begun",
                trail.name(),
                own.correlation,
                first.name()
            );
            let breach = Breach::of(trail.event_id, None, own.index, summary);
            breach.by_rule("crosstalk").and_about([first.event_id])
        })
    });
    crossed.collect()
}

/// Messages that belong to no flow, although they are events or stand among messages that do. A
/// client's command may found one where it comes in.
fn uncorrelated(history: &History) -> Vec<Breach<'_>> {
    let messages = history.events.iter().filter_map(|event| match &event.what {
        What::Published { position, message } => Some((event, position, message)),
        _ => None,
    });
    let correlated = messages
        .clone()
        .filter(|(_, _, message)| correlation_of(message).is_some());
    let topics: BTreeSet<&str> = correlated
        .map(|(_, position, _)| &*position.topic)
        .collect();
    let is_correlated =
        |fact: &Fact| matches!(fact, Fact::Announced(row) if !row.correlation_id.is_empty());
    let mut facts = history.events.iter();
    let in_use = !topics.is_empty()
        || facts
            .any(|event| matches!(&event.what, What::Observed { fact, .. } if is_correlated(fact)));
    let uncorrelated = messages.filter(|(event, position, message)| {
        let belongs = message.event_id().is_some() && in_use || topics.contains(&*position.topic);
        belongs && correlation_of(message).is_none() && *event.host != *CLIENT
    });
    uncorrelated
        .map(|(event, position, message)| {
            let what = message.event_type().unwrap_or("a message");
            let (host, key, topic) = (&event.host, &message.key, &position.topic);
            let summary =
                format!("{host} published {what} of {key} to {topic} without a correlation id");
            let breach = Breach::at(event.index, summary).by_rule("without-flow");
            breach.and_about(message.event_id())
        })
        .collect()
}
