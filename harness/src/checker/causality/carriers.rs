//! Carriers: every row and every message that carries an event on says the same of it.
//!
//! Headers that are lost on the way into a dead letter topic are for `dlq-routing` to find.

use std::collections::BTreeSet;

use crate::checker::breach::Breach;
use crate::checker::origins::{Cause, Origin, Origins};
use crate::checker::trail::{Published, Trail, Trails, correlation_of, differ};
use crate::message::CAUSATION_ID;

/// Rows and messages under another correlation id or with another cause than their event was
/// committed with.
pub(super) fn breaches<'h>(trails: &Trails<'h>, origins: &Origins<'h>) -> Vec<Breach<'h>> {
    let copies = trails.trails.iter().flat_map(|trail| &trail.published);
    let causal = copies.filter(|copy| cause_of(copy).is_some());
    let causal: BTreeSet<&str> = causal.map(|copy| &*copy.position.topic).collect();
    let events = origins.all().flat_map(|(number, own)| {
        let trail = &trails.trails[number];
        let is_lost = |copy: &Published<'_>| {
            let (is_caused, topic) = (matches!(own.cause, Cause::Event(_)), &*copy.position.topic);
            is_caused && cause_of(copy).is_none() && causal.contains(topic)
        };
        let mut breaches = strayed(trail, own);
        breaches.extend(other_causes(trail, is_lost));
        breaches
    });
    events.collect()
}

/// The cause that a message names. Who names itself names none, as the first of a flow may.
fn cause_of<'h>(copy: &Published<'h>) -> Option<&'h str> {
    let cause = copy.message.headers.get(CAUSATION_ID)?;
    let is_itself = copy.message.event_id() == Some(cause);
    (!cause.is_empty() && !is_itself).then_some(cause)
}

/// Messages of an event, and how each came about.
fn messages<'t, 'h>(
    trail: &'t Trail<'h>,
) -> impl Iterator<Item = (&'static str, &'t Published<'h>)> {
    let published = trail.published.iter().map(|copy| ("was published", copy));
    let parked = trail.parked.iter();
    published.chain(parked.map(|parked| ("was parked", &parked.published)))
}

/// What carries another correlation id than the event.
fn strayed<'h>(trail: &Trail<'h>, own: &Origin<'h>) -> Vec<Breach<'h>> {
    let rows = trail.announced.iter();
    let rows = rows.map(|row| {
        let flow = &*row.announcement.correlation_id;
        (row.index, "was committed", flow)
    });
    let messages = messages(trail).map(|(how, copy)| {
        let flow = correlation_of(copy.message).unwrap_or("");
        (copy.index, how, flow)
    });
    let applied = trail.applied.iter().map(|effect| ("was applied", effect));
    let discarded = trail.discarded.iter();
    let effects = applied.chain(discarded.map(|effect| ("was discarded", effect)));
    let effects = effects.map(|(how, effect)| {
        let flow = &*effect.application.correlation_id;
        (effect.index, how, flow)
    });
    let all = rows.chain(messages).chain(effects);
    all.filter(|(_, _, flow)| differ(flow, own.correlation))
        .map(|(index, how, flow)| {
            let (name, wrong, right) = (trail.name(), flow, own.correlation);
            let summary = format!("{name} {how} under correlation id {wrong} instead of {right}");
            Breach::of(trail.event_id, None, index, summary).by_rule("other-flow")
        })
        .collect()
}

/// Messages that name another cause than was committed, or none where others name theirs.
fn other_causes<'h>(
    trail: &Trail<'h>,
    is_lost: impl Fn(&Published<'h>) -> bool,
) -> Vec<Breach<'h>> {
    let rows = trail.announced.iter().chain(&trail.sharing_its_id);
    let committed = rows.map(|row| &*row.announcement.cause_id);
    let says = |cause: &&str| !cause.is_empty() && *cause != trail.event_id;
    let committed: Vec<&str> = committed.filter(says).collect();
    let Some(right) = committed.first() else {
        return Vec::new();
    };
    messages(trail)
        .filter_map(|(how, copy)| {
            let named = match cause_of(copy) {
                Some(cause) if committed.contains(&cause) => return None,
                Some(cause) => format!("with {} as its cause", cause),
                None if is_lost(copy) => "without a cause".to_owned(),
                None => return None,
            };
            let (name, right) = (trail.name(), right);
            let summary = format!("{name} {how} {named}, but committed with {right}");
            Some(Breach::of(trail.event_id, None, copy.index, summary).by_rule("other-cause"))
        })
        .collect()
}
