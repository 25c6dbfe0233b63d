//! The journey of one entity: every event about it, below the one that caused it, and what became of each until it had taken
//! effect, was given up, or went nowhere.
//!
//! All of it is what was seen at brokers, databases and third parties; a service's log has a part in it only where it warns of one of the
//! events.

use std::collections::{BTreeMap, BTreeSet};

use stormglass_reports::{Hop, Journey};

use super::names::Names;
use super::row;
use crate::checker::{Verdict, story_of};
use crate::history::{Announcement, Event, Fact, History, What};
use crate::message::Position;
use crate::simulation::Run;
use crate::system::System;

/// How many entities are named where one is asked for that is not there.
const NAMED: usize = 3;

/// Nothing was announced about such an entity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is about `{asked}` in this run; {}", known(.entities))]
pub struct UnknownEntity {
    /// What was asked for.
    asked: String,
    /// What there is.
    entities: Vec<String>,
}

fn known(entities: &[String]) -> String {
    let some: Vec<String> = entities
        .iter()
        .take(NAMED)
        .map(|own| format!("`{own}`"))
        .collect();
    match some.is_empty() {
        true => "no event is about anything".to_owned(),
        false => format!("there are {}, such as {}", entities.len(), some.join(", ")),
    }
}

/// The journey of `entity` through a run.
///
/// # Errors
///
/// [`UnknownEntity`] where no event was announced about it.
pub fn journey(
    system: &System,
    run: &Run,
    verdicts: &[(String, Verdict)],
    entity: &str,
) -> Result<Journey, UnknownEntity> {
    told(system, run, verdicts, entity, &mut Names::of(&run.history))
}

/// The same with names that others have begun to give.
pub(super) fn told<'h>(
    system: &System,
    run: &'h Run,
    verdicts: &[(String, Verdict)],
    entity: &str,
    names: &mut Names<'h>,
) -> Result<Journey, UnknownEntity> {
    let history = &run.history;
    let way = Way::of(history, entity);
    if way.events.is_empty() {
        return Err(UnknownEntity {
            asked: entity.to_owned(),
            entities: entities(history),
        });
    }
    let emphasised = super::emphasised(verdicts);
    let called = names.tell(entity);
    let hops = way.hops();
    let mut told = BTreeSet::new();
    let hops = hops.into_iter().map(|(depth, announced)| {
        let title = names.tell(&way.title(announced));
        let own = way.indexes(announced);
        let own = own.into_iter().filter(|index| told.insert(*index));
        let events = own.filter_map(|index| history.events.get(usize::try_from(index).ok()?));
        let rows = events.map(|event| row(event, &emphasised, names));
        Hop {
            depth,
            title,
            rows: rows.collect(),
        }
    });
    let hops: Vec<Hop> = hops.collect();
    let failures = way.failures(verdicts, &told);
    let failures = failures.iter().map(|failure| names.tell(failure)).collect();
    Ok(Journey {
        entity: called,
        scenario: system.name().to_owned(),
        seed: run.plan.seed.0,
        hops,
        failures,
        names: names.legend(),
    })
}

/// Everything that events were announced about, in that order.
fn entities(history: &History) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = announcements(history).map(|(_, own)| &*own.entity);
    let new = all.filter(|entity| !entity.is_empty() && seen.insert(*entity));
    new.map(str::to_owned).collect()
}

fn announcements(history: &History) -> impl Iterator<Item = (u64, &Announcement)> {
    history.events.iter().filter_map(|event| match &event.what {
        What::Observed {
            fact: Fact::Announced(announced),
            ..
        } => Some((event.index, announced)),
        _ => None,
    })
}

/// The events about one entity.
struct Way<'h> {
    history: &'h History,
    /// The first announcement under each id, in their order.
    events: Vec<&'h Announcement>,
    /// Where the history has it.
    first: BTreeMap<&'h str, u64>,
    /// Which event stands where.
    positions: BTreeMap<&'h Position, &'h str>,
}

impl<'h> Way<'h> {
    fn of(history: &'h History, entity: &str) -> Self {
        let mut first = BTreeMap::new();
        let own = announcements(history);
        let own = own.filter(|(_, own)| own.entity == entity && !own.event_id.is_empty());
        let own = own.filter(|(index, own)| first.insert(&*own.event_id, *index).is_none());
        let events: Vec<_> = own.map(|(_, own)| own).collect();
        let published = history.published().into_iter();
        let positions = published.filter_map(|(position, (_, message))| {
            let id = message.event_id()?;
            Some((position, id))
        });
        Way {
            history,
            positions: positions.collect(),
            events,
            first,
        }
    }

    /// Every event behind its cause, with the number of those above it.
    fn hops(&self) -> Vec<(u64, &'h Announcement)> {
        let own: BTreeSet<&str> = self.events.iter().map(|own| &*own.event_id).collect();
        let roots = self
            .events
            .iter()
            .filter(|event| !own.contains(&*event.cause_id));
        let mut hops = Vec::new();
        let mut left: Vec<(u64, &Announcement)> = roots.rev().map(|root| (0, *root)).collect();
        while let Some((depth, event)) = left.pop() {
            hops.push((depth, event));
            let caused = self
                .events
                .iter()
                .filter(|own| own.cause_id == event.event_id);
            // An event that names itself as its cause is an end of its own.
            let caused = caused.filter(|own| own.event_id != event.event_id);
            left.extend(caused.rev().map(|own| (depth + 1, *own)));
        }
        hops
    }

    fn title(&self, event: &Announcement) -> String {
        let Announcement {
            event_type,
            event_id,
            correlation_id,
            ..
        } = event;
        match event.is_root {
            Some(true) => format!("{event_type} {event_id}, begins the flow {correlation_id}"),
            _ => format!("{event_type} {event_id}"),
        }
    }

    /// What became of an event, without the groups that have no part in it.
    fn indexes(&self, event: &Announcement) -> Vec<u64> {
        let concerns = |index: &u64| {
            let event_at = usize::try_from(*index).ok();
            let seen = event_at.and_then(|at| self.history.events.get(at));
            seen.is_some_and(|seen| self.concerns(seen, event))
        };
        let first = self.first.get(&*event.event_id).copied();
        let told = first.map(|first| story_of(self.history, &event.event_id, first));
        let told = told.unwrap_or_default();
        told.into_iter().filter(concerns).collect()
    }

    fn concerns(&self, seen: &Event, event: &Announcement) -> bool {
        let (What::Delivered { group, .. }
        | What::Settled { group, .. }
        | What::LeaseExpired { group, .. }) = &seen.what
        else {
            return true;
        };
        self.wants(group, event)
    }

    fn wants(&self, group: &str, event: &Announcement) -> bool {
        let group = self.history.description.groups.get(group);
        group.is_some_and(|own| own.wants(&event.topic, &event.event_type))
    }

    /// Where the journey broke off, and which properties were broken on the way.
    fn failures(&self, verdicts: &[(String, Verdict)], told: &BTreeSet<u64>) -> Vec<String> {
        let broken = verdicts.iter().filter_map(|(property, verdict)| {
            let witness = verdict.witness()?;
            let is_here = told.contains(&witness.index)
                || witness.chain.iter().any(|index| told.contains(index));
            is_here.then(|| format!("`{property}` at #{}: {}", witness.index, witness.summary))
        });
        let arrived = self.arrived();
        let lost = self.events.iter().flat_map(|event| {
            if !self.positions.values().any(|id| *id == event.event_id) {
                let id = &event.event_id;
                return vec![format!("{} {id} was never published", event.event_type)];
            }
            let groups = self.history.description.groups.keys();
            let waiting = groups.filter(|group| {
                self.wants(group, event) && !arrived.contains(&(&***group, &*event.event_id))
            });
            let never = |group: &String| {
                let Announcement {
                    event_type,
                    event_id,
                    ..
                } = event;
                format!("{group} has neither applied, discarded nor parked {event_type} {event_id}")
            };
            waiting.map(never).collect()
        });
        broken.chain(lost).collect()
    }

    /// The groups at which events came to an end of any kind.
    fn arrived(&self) -> BTreeSet<(&'h str, &'h str)> {
        let description = &self.history.description;
        let parking: BTreeMap<&str, &str> = description
            .groups
            .iter()
            .filter_map(|(name, own)| Some((own.dead_letters.as_deref()?, &**name)))
            .collect();
        let events = self.history.events.iter();
        let arrived = events.filter_map(|event| match &event.what {
            What::Observed {
                fact: Fact::Applied(own) | Fact::Discarded(own),
                ..
            } => Some((&*own.consumer, &*own.event_id)),
            What::Published { position, message } => {
                let group = parking.get(&*position.topic)?;
                Some((*group, message.event_id()?))
            }
            _ => None,
        });
        arrived.collect()
    }
}
