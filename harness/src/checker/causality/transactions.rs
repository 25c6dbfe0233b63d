//! Transactions: an event that is announced in the transaction of an effect came of that effect's
//! event.
//!
//! Nothing is concluded where effects and announcements are kept in different databases, nor at
//! hosts that are handed no messages: those act on somebody's request.

use std::collections::BTreeMap;

use crate::checker::breach::Breach;
use crate::checker::origins::{Cause, Origin, Origins};
use crate::checker::trail::{Effect, Trail, Trails};

/// Events that were applied or discarded in one transaction.
type Handled<'t, 'h> = Vec<(&'t Trail<'h>, &'t Effect<'h>, Option<&'t Origin<'h>>)>;

/// Events that were committed together with the effects of others, and name none of those as their
/// cause.
pub(super) fn strangers<'h>(trails: &Trails<'h>, origins: &Origins<'h>) -> Vec<Breach<'h>> {
    let consumers = trails.consumers();
    let transactions = handled(trails, origins);
    let strangers = trails
        .trails
        .iter()
        .enumerate()
        .filter_map(|(number, trail)| {
            let (first, own) = (trail.announced.first()?, origins.get(number)?);
            let handled = transactions.get(&first.commit)?;
            let is_judged = consumers.contains(first.host)
                && own.is_root != Some(true)
                && !trails.is_dead_letters(trail.topic_of(first))
                && acts_on_events(handled, first.commit)
                && handled
                    .iter()
                    .all(|(other, ..)| other.event_id != trail.event_id);
            let flaw = is_judged.then(|| flaw(own, handled, trails))??;
            let (cause, ..) = handled.first()?;
            let (name, effect) = (trail.name(), cause.name());
            let summary = format!("{name} was committed with the effect of {effect}, but {flaw}");
            let breach = Breach::of(trail.event_id, None, first.index, summary);
            Some(breach.by_rule("stranger").and_about([cause.event_id]))
        });
    strangers.collect()
}

/// What was handled in each transaction, by its commit and in the order of the history.
fn handled<'t, 'h>(
    trails: &'t Trails<'h>,
    origins: &'t Origins<'h>,
) -> BTreeMap<u64, Handled<'t, 'h>> {
    let mut transactions: BTreeMap<u64, Handled<'t, 'h>> = BTreeMap::new();
    for (number, trail) in trails.trails.iter().enumerate() {
        for effect in trail.applied.iter().chain(&trail.discarded) {
            let own = transactions.entry(effect.commit).or_default();
            own.push((trail, effect, origins.get(number)));
        }
    }
    for handled in transactions.values_mut() {
        handled.sort_by_key(|(_, effect, _)| effect.index);
    }
    transactions
}

/// Whether events that were there before are what a transaction is about. One that was parked comes
/// back at an operator's request, and that may be named as the cause.
fn acts_on_events(handled: &Handled<'_, '_>, commit: u64) -> bool {
    let mut was_there = handled.iter().filter_map(|(_, _, origin)| *origin);
    let mut was_parked = handled.iter().flat_map(|(trail, ..)| &trail.parked);
    was_there.any(|origin| origin.index < commit)
        && !was_parked.any(|parked| parked.published.index < commit)
}

/// Why an event cannot have come of anything that was handled in its transaction.
fn flaw<'h>(own: &Origin<'h>, handled: &Handled<'_, 'h>, trails: &Trails<'h>) -> Option<String> {
    let is_handled = |id: &str| handled.iter().any(|(trail, ..)| trail.event_id == id);
    match own.cause {
        Cause::Event(cause) => {
            let cause = &trails.trails[cause];
            // One transaction may go several steps of a chain.
            let mut steps = cause.announced.iter().map(|seen| Some(seen.commit));
            let is_known = is_handled(cause.event_id) || steps.any(|commit| commit == own.commit);
            (!is_known).then(|| format!("names {} as its cause", cause.event_id))
        }
        Cause::Request(id) => (!is_handled(id)).then(|| format!("names {} as its cause", id)),
        Cause::Unsaid => {
            let mut flows = handled.iter().map(|(_, effect, origin)| match origin {
                Some(origin) => origin.correlation,
                None => &effect.application.correlation_id,
            });
            let flow = flows.next()?;
            // An effect without a known flow may be the one that the event continues, and a sum of
            // several flows continues none.
            let begins =
                !flow.is_empty() && flow != own.correlation && flows.all(|own| own == flow);
            begins.then(|| format!("begins the flow {}", own.correlation))
        }
    }
}
