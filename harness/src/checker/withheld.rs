//! Withheld events: what the broker takes from nobody as it is, and what has to wait behind it.
//!
//! A publisher that only says so is not believed: the broker has to have refused the event.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Event, Fact, History, What};

/// The events of a history that were not published because somebody had to see to them first.
#[derive(Debug, Default)]
pub(super) struct Withheld<'h> {
    refused: BTreeSet<&'h str>,
    withheld: BTreeSet<&'h str>,
    /// The announcements of each entity in each database, in the order of their commits.
    announced: BTreeMap<(&'h str, &'h str), Vec<&'h str>>,
    /// What waits, or is withheld itself.
    excused: BTreeSet<&'h str>,
    /// Topics where a copy says nothing of the original: it was parked.
    dead_letters: BTreeSet<&'h str>,
}

impl<'h> Withheld<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let groups = history.description.groups.values();
        let mut withheld = Withheld {
            dead_letters: groups
                .filter_map(|group| group.dead_letters.as_deref())
                .collect(),
            ..Withheld::default()
        };
        for event in &history.events {
            withheld.read(event);
        }
        for of_entity in withheld.announced.values() {
            let first = of_entity
                .iter()
                .position(|id| withheld.withheld.contains(id));
            let behind = of_entity.iter().skip(first.unwrap_or(of_entity.len()));
            withheld.excused.extend(behind);
        }
        withheld
    }

    fn read(&mut self, event: &'h Event) {
        match &event.what {
            What::PublishRejected {
                event_id: Some(id), ..
            } => {
                self.refused.insert(id);
            }
            What::Published { position, message }
                if !self.dead_letters.contains(&*position.topic) =>
            {
                if let Some(id) = message.event_id() {
                    self.withheld.remove(id);
                }
            }
            What::Observed { database, fact, .. } => match fact {
                Fact::Withheld(own) if self.refused.contains(&*own.event_id) => {
                    self.withheld.insert(&own.event_id);
                }
                Fact::Announced(own) if !own.entity.is_empty() => {
                    let entity = (&**database, &*own.entity);
                    self.announced
                        .entry(entity)
                        .or_default()
                        .push(&own.event_id);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Whether the event had to wait until the end.
    pub(super) fn excuses(&self, event_id: &str) -> bool {
        self.withheld.contains(event_id) || self.excused.contains(event_id)
    }
}

#[cfg(test)]
mod tests {
    use crate::checker::NoLostEvent;
    use crate::checker::test_history::{Tale, assert_holds, broken_at};
    use crate::history::{Fact, What, Withholding};

    /// `orders` withholds `e1` of `order-1`, after the broker has refused it or without having asked.
    fn withholding(is_refused: bool) -> Tale {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        if is_refused {
            refuses(&mut tale, "orders");
        }
        withholds(&mut tale);
        tale
    }

    /// The broker refuses to take `e1` on a topic.
    fn refuses(tale: &mut Tale, topic: &str) {
        let rejected = What::PublishRejected {
            topic: topic.to_owned(),
            event_id: Some("e1".to_owned()),
            reason: "message too large".to_owned(),
        };
        tale.happens("relay", rejected);
    }

    fn withholds(tale: &mut Tale) {
        tale.commit("relay", "orders");
        let withheld = Withholding {
            event_id: "e1".to_owned(),
            entity: "order-1".to_owned(),
            reason: "message too large".to_owned(),
        };
        tale.observes("relay", "orders", Fact::Withheld(withheld));
    }

    #[test]
    fn accepts_what_is_withheld_and_what_waits_behind_it() {
        let mut tale = withholding(true);
        tale.commits("e2", "order-1");
        assert_holds(&NoLostEvent, &tale);
    }

    #[test]
    fn rejects_what_is_withheld_although_nobody_refused_it() {
        let tale = withholding(false);
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(1));
    }

    #[test]
    fn accepts_what_waits_behind_one_that_a_group_has_parked_meanwhile() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        // The acknowledgement is lost, and meanwhile the broker takes no message of that size.
        refuses(&mut tale, "orders");
        refuses(&mut tale, "billing.dead");
        withholds(&mut tale);
        tale.parks("e1");
        tale.acks("e1");
        tale.commits("e2", "order-1");
        assert_holds(&NoLostEvent, &tale);
    }

    #[test]
    fn rejects_what_waits_behind_another_entity() {
        let mut tale = withholding(true);
        let lost = tale.commits("e2", "order-2");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(lost));
    }

    #[test]
    fn rejects_what_stays_behind_when_the_withheld_one_is_out() {
        let mut tale = withholding(true);
        let lost = tale.commits("e2", "order-1");
        tale.publishes("e1", "order-1");
        tale.delivers("e1");
        tale.applies("e1");
        tale.acks("e1");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(lost));
    }
}
