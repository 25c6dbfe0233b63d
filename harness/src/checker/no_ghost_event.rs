//! `no-ghost-event`: what is published has committed state behind it.
//!
//! A publication before its commit is no lie yet; it becomes one if the commit never follows. So
//! this is judged when the history is complete.

use std::collections::BTreeSet;

use super::breach::{Breach, judge};
use super::trail::{Published, Trail, Trails};
use super::{Property, Verdict};
use crate::history::{CLIENT, History, What};

/// Every published event was announced by committed state, before or after its publication.
///
/// Messages in dead letter topics are not judged: they repeat an event that was published. Neither is
/// what a client publishes: it asks for something, and has no state behind it. A
/// message without an event id counts as a ghost where other messages of its topic carry ids; in a
/// topic that never uses ids nothing can be told.
#[derive(Clone, Debug, Default)]
pub struct NoGhostEvent {
    exempt: BTreeSet<String>,
}

impl NoGhostEvent {
    /// Leaves out a topic whose events announce no state that a probe could see.
    #[must_use]
    pub fn exempting(mut self, topic: &str) -> Self {
        self.exempt.insert(topic.to_owned());
        self
    }
}

impl Property for NoGhostEvent {
    fn id(&self) -> &str {
        "no-ghost-event"
    }

    fn promise(&self) -> &str {
        "every published event has committed state behind it"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        if !history.description.is_announced {
            let reason = "no probe shows announcements, so nothing tells which events are backed";
            return Verdict::Vacuous(reason.to_owned());
        }
        let judged = |topic: &str| !trails.is_dead_letters(topic) && !self.exempt.contains(topic);
        let ghosts = trails
            .trails
            .iter()
            .filter(|trail| trail.announced.is_empty());
        let ghosts = ghosts.filter_map(|trail| {
            let copy = trail
                .published
                .iter()
                .find(|copy| copy.host != CLIENT && judged(&copy.position.topic))?;
            Some(ghost(history, trail, copy))
        });
        let nameless = nameless(history, &trails, judged);
        if let Some(broken) = judge(history, ghosts.chain(nameless)) {
            return broken;
        }
        let mut published = trails.trails.iter().flat_map(|trail| &trail.published);
        if published.any(|copy| copy.host != CLIENT && judged(&copy.position.topic)) {
            return Verdict::Holds;
        }
        Verdict::Vacuous("no event with an id was published".to_owned())
    }
}

/// A publication that no commit ever backed.
fn ghost<'h>(history: &History, trail: &Trail<'h>, copy: &Published<'h>) -> Breach<'h> {
    let (host, topic, name) = (copy.host, &copy.position.topic, trail.name());
    let summary = format!("{host} published {name} to {topic}, but its state was never committed");
    let breach = Breach::of(trail.event_id, None, copy.index, summary).by_rule("never-committed");
    match undone(history, copy.index, host) {
        Some(index) => breach.inevitable_from(index),
        None => breach,
    }
}

/// Messages without an id in topics where others have one.
fn nameless<'h>(
    history: &'h History,
    trails: &Trails<'h>,
    judged: impl Fn(&str) -> bool,
) -> impl Iterator<Item = Breach<'h>> {
    let copies = trails.trails.iter().flat_map(|trail| &trail.published);
    let with_ids: BTreeSet<&str> = copies.map(|copy| &*copy.position.topic).collect();
    history.events.iter().filter_map(move |event| {
        let What::Published { position, message } = &event.what else {
            return None;
        };
        let topic = &*position.topic;
        let nameless = message.event_id().is_none() && with_ids.contains(topic) && judged(topic);
        let nameless = nameless && *event.host != *CLIENT;
        nameless.then(|| {
            let (host, key) = (&event.host, &message.key);
            let summary =
                format!("{host} published a message of {key} to {topic} without an event id");
            Breach::at(event.index, summary).by_rule("without-id")
        })
    })
}

/// Where the state that a publication ran ahead of was undone at its producer: the first rollback
/// or crash that follows it there, unless a commit came first.
fn undone(history: &History, published: u64, host: &str) -> Option<u64> {
    let after = history.events.iter().skip(published as usize + 1);
    let own = after.filter(|event| *event.host == *host);
    let mut ends = own.filter_map(|event| match event.what {
        What::Committed { .. } => Some(None),
        What::RolledBack { .. }
        | What::HostCrashed
        | What::HostStopped { .. }
        | What::HostExited { .. } => Some(Some(event.index)),
        _ => None,
    });
    ends.next().flatten()
}

#[cfg(test)]
mod tests {
    use super::NoGhostEvent;
    use crate::checker::Property;
    use crate::checker::test_history::{
        Tale, assert_holds, assert_vacuous, broken_at, order_event,
    };
    use crate::history::What;
    use crate::message::{EVENT_ID, Message};

    fn property() -> NoGhostEvent {
        NoGhostEvent::default()
    }

    #[test]
    fn accepts_what_a_client_asks_for() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.sends("client", order_event("command-1", "order-1"));
        tale.sends("client", Message::new("orders", "order-1", "no id"));
        assert_holds(&NoGhostEvent::default(), &tale);
    }

    #[test]
    fn accepts_a_commit_before_and_after_the_publication() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        tale.publishes("e1", "order-1");
        tale.publishes("e2", "order-2");
        tale.commits("e2", "order-2");
        assert_holds(&property(), &tale);
    }

    #[test]
    fn accepts_parked_messages_and_topics_without_ids() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.parks_as("e1", |message| {
            message.header(EVENT_ID, "parked-under-another-id")
        });
        tale.sends("orders", Message::new("payments", "order-1", "no ids here"));
        assert_holds(&property(), &tale);
    }

    #[test]
    fn rejects_a_publication_that_was_rolled_back() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        tale.publishes("e1", "order-1");
        let published = tale.publishes("ghost", "order-2");
        let why = "commit refused".to_owned();
        let undone = tale.happens(
            "orders",
            What::RolledBack {
                database: "orders".into(),
                why,
            },
        );
        assert_eq!(broken_at(&property(), &tale), Some(published));
        let verdict = property().check(&tale.history);
        let witness = verdict.witness().expect("broken");
        assert_eq!(witness.inevitable_from, Some(undone));
        assert_eq!(witness.chain, [published, undone]);
    }

    #[test]
    fn rejects_a_publication_whose_producer_died() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        let published = tale.publishes("ghost", "order-2");
        let crashed = tale.crashes("orders");
        assert_eq!(broken_at(&property(), &tale), Some(published));
        let verdict = property().check(&tale.history);
        assert_eq!(
            verdict
                .witness()
                .and_then(|witness| witness.inevitable_from),
            Some(crashed)
        );
    }

    #[test]
    fn a_crash_after_another_commit_does_not_explain_a_ghost() {
        let mut tale = Tale::on_kafka();
        let published = tale.publishes("ghost", "order-2");
        tale.commits("e1", "order-1");
        tale.crashes("orders");
        assert_eq!(broken_at(&property(), &tale), Some(published));
        let verdict = property().check(&tale.history);
        assert_eq!(
            verdict
                .witness()
                .and_then(|witness| witness.inevitable_from),
            None
        );
    }

    #[test]
    fn rejects_a_message_without_id_among_others_with_ids() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        tale.publishes("e1", "order-1");
        let nameless = tale.sends("orders", Message::new("orders", "order-2", "who am I"));
        assert_eq!(broken_at(&property(), &tale), Some(nameless));
    }

    #[test]
    fn an_exempt_topic_is_not_judged() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        tale.publishes("e1", "order-1");
        let mut reading = order_event("reading", "meter-1");
        reading.topic = "payments".to_owned();
        let published = tale.sends("meter", reading);
        assert_eq!(broken_at(&property(), &tale), Some(published));
        assert_holds(&property().exempting("payments"), &tale);
    }

    #[test]
    fn rejects_a_ghost_that_is_the_only_event() {
        let mut tale = Tale::on_kafka();
        let ghost = tale.publishes("ghost", "order-1");
        assert_eq!(broken_at(&property(), &tale), Some(ghost));
    }

    #[test]
    fn is_vacuous_without_a_probe_or_publications() {
        let mut tale = Tale::on_kafka();
        tale.history.description.is_announced = false;
        tale.publishes("e1", "order-1");
        assert_vacuous(&property(), &tale);
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        assert_vacuous(&property(), &tale);
    }
}
