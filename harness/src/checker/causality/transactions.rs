//! Transactions: an event that is announced in the transaction of an effect came of that effect's
//! event.
//!
//! Nothing is concluded where effects and announcements are kept in different databases, nor at
//! hosts that are handed no messages: those act on somebody's request.

use std::collections::{BTreeMap, BTreeSet};

use super::origin::{Cause, Origin, Origins};
use crate::checker::breach::Breach;
use crate::checker::trail::{Trail, Trails};
use crate::history::{Application, Fact, What, short};

/// What the probes saw after one commit.
struct Transaction<'h> {
    index: u64,
    host: &'h str,
    /// Announced events, by trail, and where each was seen.
    announced: Vec<(usize, u64)>,
    handled: Vec<Handled<'h>>,
}

/// An event that was applied or discarded in a transaction.
#[derive(Clone, Copy)]
struct Handled<'h> {
    trail: usize,
    index: u64,
    application: &'h Application,
}

/// Events that were committed together with the effects of others, and name none of those as their
/// cause.
pub(super) fn strangers<'h>(trails: &Trails<'h>, origins: &Origins<'h>) -> Vec<Breach<'h>> {
    let consumers: BTreeSet<&str> = trails.handlings().map(|held| held.host).collect();
    let transactions = transactions(trails).into_iter();
    transactions
        .filter(|transaction| consumers.contains(transaction.host))
        .filter(|transaction| transaction.acts_on_events(trails))
        .flat_map(|transaction| transaction.strangers(trails, origins))
        .collect()
}

/// What was seen after each commit, in the order of the history.
fn transactions<'h>(trails: &Trails<'h>) -> Vec<Transaction<'h>> {
    let mut transactions: Vec<Transaction<'h>> = Vec::new();
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &trails.history.events {
        match &event.what {
            What::Committed { database } => {
                latest.insert(database, transactions.len());
                transactions.push(Transaction {
                    index: event.index,
                    host: &event.host,
                    announced: Vec::new(),
                    handled: Vec::new(),
                });
            }
            What::Observed { database, fact, .. } => {
                if let Some(&own) = latest.get(&**database) {
                    transactions[own].read(trails, event.index, fact);
                }
            }
            _ => {}
        }
    }
    transactions
}

impl<'h> Transaction<'h> {
    fn read(&mut self, trails: &Trails<'h>, index: u64, fact: &'h Fact) {
        match fact {
            Fact::Announced(announcement) => {
                let trail = trails.number_of(&announcement.event_id);
                self.announced.extend(trail.map(|trail| (trail, index)));
            }
            Fact::Applied(application) | Fact::Discarded(application) => {
                let trail = trails.number_of(&application.event_id);
                self.handled.extend(trail.map(|trail| Handled {
                    trail,
                    index,
                    application,
                }));
            }
        }
    }

    /// Whether events that were there before are what the transaction is about. One that was parked
    /// comes back at an operator's request, and that may be named as the cause.
    fn acts_on_events(&self, trails: &Trails<'h>) -> bool {
        let trail = |handled: &Handled<'h>| &trails.trails[handled.trail];
        let was_parked = |handled: &Handled<'h>| {
            let mut parked = trail(handled).parked.iter();
            parked.any(|parked| parked.published.index < handled.index)
        };
        let was_there = |handled: &Handled<'h>| first_seen(trail(handled)) < self.index;
        self.handled.iter().any(was_there) && !self.handled.iter().any(was_parked)
    }

    fn strangers(&self, trails: &Trails<'h>, origins: &Origins<'h>) -> Vec<Breach<'h>> {
        let began_here = self.announced.iter().filter(|&&(number, index)| {
            let trail = &trails.trails[number];
            let first = trail.announced.first();
            let handed_on = self.handled.iter().any(|handled| handled.trail == number);
            first.is_some_and(|first| {
                first.index == index && !trails.is_dead_letters(trail.topic_of(first))
            }) && !handed_on
        });
        began_here
            .filter_map(|&(number, index)| {
                let origin = origins.get(number)?;
                let flaw = self.flaw(number, origin, trails, origins)?;
                let cause = self
                    .handled
                    .first()
                    .map(|handled| &trails.trails[handled.trail])?;
                let trail = &trails.trails[number];
                let summary = format!(
                    "{} was committed with the effect of {}, but {flaw}",
                    trail.name(),
                    cause.name()
                );
                let breach = Breach::of(trail.event_id, None, index, summary);
                Some(breach.and_about([cause.event_id]))
            })
            .collect()
    }

    /// Why an event that was announced here cannot have come of anything that was handled here.
    fn flaw(
        &self,
        number: usize,
        own: &Origin<'h>,
        trails: &Trails<'h>,
        origins: &Origins<'h>,
    ) -> Option<String> {
        let handled = |id: &str| {
            let mut ids = self.handled.iter().map(|one| &*one.application.event_id);
            ids.any(|handled| handled == id)
        };
        // One transaction may go several steps of a chain.
        let announced = |cause: usize| {
            let mut siblings = self.announced.iter();
            siblings.any(|&(sibling, _)| sibling == cause && sibling != number)
        };
        match own.cause {
            Cause::Event(cause) => {
                let cause_id = trails.trails[cause].event_id;
                (!handled(cause_id) && !announced(cause))
                    .then(|| format!("names {} as its cause", short(cause_id)))
            }
            Cause::Request(id) => {
                (!handled(id)).then(|| format!("names {} as its cause", short(id)))
            }
            Cause::Unsaid { .. } => {
                let mut flows = self.handled.iter().map(|one| {
                    let known = origins.get(one.trail).map(|origin| origin.correlation);
                    known.unwrap_or(&one.application.correlation_id)
                });
                // An effect without a known flow may be the one that the event continues.
                (!flows.any(|flow| flow.is_empty() || flow == own.correlation))
                    .then(|| format!("begins the flow {}", short(own.correlation)))
            }
        }
    }
}

/// Where an event first appears; the end of time if only consumers speak of it.
fn first_seen(trail: &Trail<'_>) -> u64 {
    let announced = trail.announced.first().map(|seen| seen.index);
    let published = trail.published.first().map(|copy| copy.index);
    let known = announced.into_iter().chain(published);
    known.min().unwrap_or(u64::MAX)
}
