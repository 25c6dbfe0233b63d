//! `progress`: while one event cannot be published, the others are.
//!
//! A publisher that tries one row for ever ahead of all others starves them: one bad event stands for an outage. What waits
//! behind an event of its own entity is no matter of this property but of `entity-order`, which wants it to wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::breach::{Breach, judge};
use super::{Property, Verdict};
use crate::history::{Event, Fact, History, What};

/// While the broker refuses an event as too large, events of other entities that the same database announces are
/// published within a bound.
///
/// Time in which another fault had an effect does not count, and neither does a while after it: as long as the bound, or as
/// [`Progress::recovering`] says.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    within: Duration,
    recovery: Duration,
}

impl Progress {
    /// Others may take so long from their commit to the broker, in virtual time.
    #[must_use]
    pub fn within(within: Duration) -> Self {
        Progress {
            within,
            recovery: within,
        }
    }

    /// The same where it takes so long, in virtual time, until a publisher is itself again after another fault: as long as it
    /// waits for an answer that is lost.
    #[must_use]
    pub fn recovering(self, recovery: Duration) -> Self {
        Progress { recovery, ..self }
    }
}

impl Property for Progress {
    fn id(&self) -> &str {
        "progress"
    }

    fn promise(&self) -> &str {
        "while an event of one entity cannot be published, those of others are, within the bound"
    }

    fn check(&self, history: &History) -> Verdict {
        let scene = Scene::of(history, self.recovery);
        let waits = scene.waits();
        let starved = waits.iter().filter(|wait| wait.counted > self.within);
        let breaches = starved.map(|wait| {
            let summary = format!(
                "{} of {} was kept from the broker for {:.1} s by {}, which the broker refuses",
                wait.event_id,
                wait.entity,
                wait.counted.as_secs_f64(),
                wait.behind
            );
            let breach = Breach::of(wait.event_id, None, wait.until, summary);
            breach.and_about([wait.behind])
        });
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if waits.is_empty() {
            let reason =
                "no event of another entity was committed while one could not be published";
            return Verdict::Vacuous(reason.to_owned());
        }
        Verdict::Holds
    }
}

/// From when to when, in virtual time.
type Spell = (Duration, Duration);

/// An announced event on its way to the broker.
struct Announced<'h> {
    database: &'h str,
    entity: &'h str,
    at: Duration,
    /// When it was published, and the event that shows it.
    published: Option<(Duration, u64)>,
}

/// An event that waited while another one was refused.
struct Wait<'h> {
    event_id: &'h str,
    entity: &'h str,
    /// The event that is refused.
    behind: &'h str,
    /// The event with which the wait was over.
    until: u64,
    /// The part of it that counts.
    counted: Duration,
}

/// What a history says of publishing and refusing.
struct Scene<'h> {
    announced: BTreeMap<&'h str, Announced<'h>>,
    /// Events that are too large, and since when the broker refuses them.
    refused: BTreeMap<&'h str, Duration>,
    /// When something else went wrong.
    troubled: Vec<Spell>,
    end: (Duration, u64),
}

impl<'h> Scene<'h> {
    fn of(history: &'h History, recovery: Duration) -> Self {
        let mut scene = Scene {
            announced: BTreeMap::new(),
            refused: BTreeMap::new(),
            troubled: troubles(history, recovery),
            end: (Duration::ZERO, 0),
        };
        for event in &history.events {
            scene.read(event);
        }
        scene
    }

    fn read(&mut self, event: &'h Event) {
        self.end = (event.at, event.index);
        match &event.what {
            What::Observed {
                database,
                fact: Fact::Announced(own),
                ..
            } => {
                self.announced.entry(&own.event_id).or_insert(Announced {
                    database,
                    entity: &own.entity,
                    at: event.at,
                    published: None,
                });
            }
            What::Published { message, .. } => {
                let id = message.event_id();
                if let Some(own) = id.and_then(|id| self.announced.get_mut(id)) {
                    own.published.get_or_insert((event.at, event.index));
                }
            }
            What::MadeTooLarge { event_id, .. } => {
                self.refused.entry(event_id).or_insert(event.at);
            }
            _ => {}
        }
    }

    /// The waits of events beside one that was refused meanwhile.
    fn waits(&self) -> Vec<Wait<'h>> {
        let mut waits = Vec::new();
        for (&behind, &since) in &self.refused {
            let Some(refused) = self.announced.get(behind) else {
                continue;
            };
            let until = self.published(refused).0;
            for (&event_id, own) in &self.announced {
                let is_beside = own.database == refused.database && !self.has_refused(own.entity);
                let published = self.published(own);
                let spell = (own.at.max(since), published.0.min(until));
                if is_beside && own.at < until && since < published.0 {
                    waits.push(Wait {
                        event_id,
                        entity: own.entity,
                        behind,
                        until: published.1,
                        counted: without(spell, &self.troubled),
                    });
                }
            }
        }
        waits
    }

    fn published(&self, announced: &Announced<'h>) -> (Duration, u64) {
        announced.published.unwrap_or(self.end)
    }

    /// Whether an event of the entity is refused at some time: its others may have to wait for it.
    fn has_refused(&self, entity: &str) -> bool {
        let refused = self.refused.keys().filter_map(|id| self.announced.get(id));
        refused.into_iter().any(|own| own.entity == entity)
    }
}

/// When faults other than refusals had an effect, each with so much time to recover; in order and apart from one another.
fn troubles(history: &History, recovery: Duration) -> Vec<Spell> {
    let refusals: BTreeSet<usize> = history
        .events
        .iter()
        .filter_map(|event| match event.what {
            What::MadeTooLarge { fault, .. } => Some(fault),
            _ => None,
        })
        .collect();
    let mut spells: BTreeMap<usize, Spell> = BTreeMap::new();
    for event in &history.events {
        match &event.what {
            What::FaultBit { fault, .. } if !refusals.contains(fault) => {
                spells.entry(*fault).or_insert((event.at, event.at)).1 = event.at;
            }
            What::FaultLifted { fault } => {
                if let Some(spell) = spells.get_mut(fault) {
                    spell.1 = event.at;
                }
            }
            _ => {}
        }
    }
    let mut troubled: Vec<Spell> = Vec::new();
    let mut spells: Vec<Spell> = spells.into_values().collect();
    spells.sort_unstable();
    for (from, to) in spells {
        match troubled.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to + recovery),
            None => troubled.push((from, to + recovery)),
        }
    }
    troubled
}

/// How long a spell lasted outside of others, which are in order and apart.
fn without(spell: Spell, others: &[Spell]) -> Duration {
    let length = |(from, to): Spell| to.saturating_sub(from);
    let shared = others
        .iter()
        .map(|other| (spell.0.max(other.0), spell.1.min(other.1)));
    length(spell).saturating_sub(shared.map(length).sum())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Progress;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at, complaint};
    use crate::history::What;

    /// Every step of a tale takes a millisecond.
    const WITHIN: Duration = Duration::from_millis(10);

    fn progress() -> Progress {
        Progress::within(WITHIN)
    }

    /// `e1` of `order-1` is refused as too large.
    fn refused() -> Tale {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        let event_id = "e1".to_owned();
        tale.happens("orders", What::MadeTooLarge { fault: 0, event_id });
        tale
    }

    fn time_passes(tale: &mut Tale) {
        for _ in 0..15 {
            tale.commit("orders", "orders");
        }
    }

    #[test]
    fn accepts_others_that_are_published_meanwhile() {
        let mut tale = refused();
        tale.commits("e2", "order-2");
        tale.publishes("e2", "order-2");
        time_passes(&mut tale);
        assert_holds(&progress(), &tale);
    }

    #[test]
    fn accepts_that_the_same_entity_waits() {
        let mut tale = refused();
        tale.commits("e2", "order-1");
        tale.commits("e3", "order-2");
        tale.publishes("e3", "order-2");
        time_passes(&mut tale);
        assert_holds(&progress(), &tale);
    }

    #[test]
    fn a_publisher_that_waits_for_a_lost_answer_is_given_the_time_that_it_is_said_to_take() {
        let mut tale = refused();
        tale.commits("e2", "order-2");
        let text = "acknowledgement lost".to_owned();
        tale.happens("orders", What::FaultBit { fault: 1, text });
        for _ in 0..2 {
            time_passes(&mut tale);
        }
        let published = tale.publishes("e2", "order-2");
        let patient = progress().recovering(3 * WITHIN);
        assert_holds(&patient, &tale);
        assert_eq!(broken_at(&progress(), &tale), Some(published));
    }

    #[test]
    fn accepts_a_wait_that_something_else_explains() {
        let mut tale = refused();
        tale.commits("e2", "order-2");
        let text = "broker outage".to_owned();
        tale.happens("orders", What::FaultBit { fault: 1, text });
        time_passes(&mut tale);
        tale.happens("orders", What::FaultLifted { fault: 1 });
        tale.publishes("e2", "order-2");
        assert_holds(&progress(), &tale);
    }

    #[test]
    fn rejects_another_entity_that_waits_too_long() {
        let mut tale = refused();
        tale.commits("e2", "order-2");
        time_passes(&mut tale);
        let late = tale.publishes("e2", "order-2");
        assert_eq!(broken_at(&progress(), &tale), Some(late));
        let told = complaint(&progress(), &tale);
        assert!(
            told.starts_with("e2 of order-2 was kept from the broker"),
            "{told}"
        );
    }

    #[test]
    fn rejects_another_entity_that_is_never_published() {
        let mut tale = refused();
        tale.commits("e2", "order-2");
        time_passes(&mut tale);
        let end = tale.commit("orders", "orders");
        assert_eq!(broken_at(&progress(), &tale), Some(end));
    }

    #[test]
    fn is_vacuous_where_nothing_is_refused_or_nobody_else_waits() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        tale.publishes("e1", "order-1");
        assert_vacuous(&progress(), &tale);
        let mut tale = refused();
        tale.commits("e2", "order-1");
        assert_vacuous(&progress(), &tale);
    }
}
