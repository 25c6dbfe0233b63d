//! `no-lost-event`: what was committed is published, and every group that wants it comes to an end
//! with it.
//!
//! Judged on the whole history, after healing. An event that a service published and nobody announced
//! is the business of `no-ghost-event`; whether an end is the right one is the business of `dlq-routing`.

use std::collections::BTreeSet;

use super::breach::{Breach, judge};
use super::trail::{Announced, Published, Trail, Trails};
use super::withheld::Withheld;
use super::{Property, Verdict};
use crate::history::{CLIENT, History};

/// Every event committed with its state is published, and ends in exactly one of applied, parked
/// or discarded with an audit entry, for every group that wants it. So does every message with an
/// event id that a client published and the broker has, for every group whose effects a probe shows,
/// or of which some such end was seen: what a group does unseen cannot be told.
///
/// Parked and applied exclude each other, unless the event was published again after it was
/// parked, as a replay does, the parked copy itself was handed to somebody before the event was
/// applied, or the group [may have forgotten](crate::Group::remembers) the effect by then. So do
/// discarded and applied, in this order; an audit entry for a redelivery that came after the effect
/// is no contradiction, and neither is one with which a parked event was given up.
///
/// An event that the broker has refused and a probe shows as [withheld](crate::history::Fact::Withheld) is not lost, and
/// neither are those of its entity that wait behind it.
///
/// A group of [snapshots](crate::Group::superseding) owes no end to one that another snapshot of the same
/// entity has superseded.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLostEvent;

impl Property for NoLostEvent {
    fn id(&self) -> &str {
        "no-lost-event"
    }

    fn promise(&self) -> &str {
        "every event committed with its state is published, and ends in exactly one of applied, \
         parked or discarded, once per subscribed group"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let asked: Vec<(&Trail<'_>, &str)> = asked_by_clients(&trails).collect();
        let shown = shown(&trails);
        let any_asked = asked.iter().any(|(trail, topic)| {
            let mut groups = wanting(&trails, trail, topic);
            groups.any(|group| shown.contains(group))
        });
        if trails.announced.is_empty() && !any_asked {
            let reason = "no state was committed that an event announces, and no client published \
                          an event of which some group's probe shows the effect";
            return Verdict::Vacuous(reason.to_owned());
        }
        let withheld = Withheld::of(history);
        let announced = trails.announced.iter().flat_map(|(trail, announced)| {
            let trail = &trails.trails[*trail];
            if let Some(breach) = unpublished(&trails, trail, announced) {
                let is_excused = withheld.excuses(trail.event_id);
                return if is_excused { Vec::new() } else { vec![breach] };
            }
            let topic = trail.topic_of(announced);
            let groups = wanting(&trails, trail, topic);
            let broken = groups.filter_map(|group| end(&trails, trail, group, topic));
            broken.collect()
        });
        let asked = asked.iter().flat_map(|(trail, topic)| {
            let groups = wanting(&trails, trail, topic).filter(|group| shown.contains(group));
            let broken = groups.filter_map(|group| end(&trails, trail, group, topic));
            broken.collect::<Vec<_>>()
        });
        judge(history, announced.chain(asked)).unwrap_or(Verdict::Holds)
    }
}

/// The breach of an event that never reached its topic.
fn unpublished<'h>(
    trails: &Trails<'h>,
    trail: &Trail<'h>,
    announced: &Announced<'h>,
) -> Option<Breach<'h>> {
    let topic = trail.topic_of(announced);
    let parked = trail.parked.iter().map(|parked| parked.published);
    let mut copies = trail.published.iter().copied().chain(parked);
    if copies.any(|copy| *copy.position.topic == *topic) {
        return None;
    }
    let name = trail.name();
    let summary = match topic {
        "" => format!("{name} was committed but never published"),
        _ => format!("{name} was committed but never published to {topic}"),
    };
    let Some(stranger) = under_another_id(trails, trail, topic) else {
        let breach = Breach::of(trail.event_id, None, announced.index, summary);
        return Some(breach.by_rule("never-published"));
    };
    let summary = format!(
        "{summary}, unless under another id, as {}",
        stranger.event_id
    );
    let breach = Breach::of(trail.event_id, None, announced.index, summary);
    Some(breach.by_rule("another-id").and_about([stranger.event_id]))
}

/// An event that nobody announced and that is what a lost one should have been but for its id.
fn under_another_id<'t, 'h>(
    trails: &'t Trails<'h>,
    trail: &Trail<'h>,
    topic: &str,
) -> Option<&'t Trail<'h>> {
    let mut strangers = trails
        .trails
        .iter()
        .filter(|other| other.announced.is_empty());
    strangers.find(|other| {
        let mut copies = other.published.iter();
        copies.any(|copy| *copy.position.topic == *topic && copy.host != CLIENT)
            && other.entity() == trail.entity()
            && other.event_type() == trail.event_type()
    })
}

/// Events that clients published, each with its topic.
fn asked_by_clients<'t, 'h>(
    trails: &'t Trails<'h>,
) -> impl Iterator<Item = (&'t Trail<'h>, &'h str)> + use<'t, 'h> {
    let unannounced = trails
        .trails
        .iter()
        .filter(|trail| trail.announced.is_empty());
    unannounced.filter_map(|trail| {
        let mut copies = trail.published.iter();
        let copy = copies.find(|copy| copy.host == CLIENT)?;
        Some((trail, &*copy.position.topic))
    })
}

/// The groups that a probe shows, and those of which some end of an event was seen.
fn shown<'h>(trails: &Trails<'h>) -> BTreeSet<&'h str> {
    let of_trail = |trail: &Trail<'h>| {
        let effects = trail.applied.iter().chain(&trail.discarded);
        let ends = effects.map(|effect| effect.consumer);
        let ends = ends.chain(trail.parked.iter().map(|parked| parked.group));
        ends.collect::<Vec<_>>()
    };
    let probed = trails.groups().filter(|(_, group)| group.is_probed);
    let probed = probed.map(|(name, _)| name);
    let seen = trails.trails.iter().flat_map(of_trail);
    seen.chain(probed).collect()
}

/// The groups that want an event of a topic. A dead letter topic is wanted by none: a message that was
/// parked through an outbox has arrived where it was meant to end.
fn wanting<'t, 'h>(
    trails: &'t Trails<'h>,
    trail: &'t Trail<'h>,
    topic: &'t str,
) -> impl Iterator<Item = &'h str> + use<'t, 'h> {
    let groups = trails.groups().filter(move |(_, group)| {
        !trails.is_dead_letters(topic) && group.wants(topic, trail.event_type())
    });
    groups.map(|(name, _)| name)
}

/// The breach in how an event that was published ends at a group.
fn end<'h>(
    trails: &Trails<'h>,
    trail: &Trail<'h>,
    group: &'h str,
    topic: &str,
) -> Option<Breach<'h>> {
    let ended = trail.applied_by(group).is_some()
        || trail.discarded_by(group).is_some()
        || trail.parked_by(group).next().is_some();
    if ended {
        contradiction(trails, trail, group)
    } else {
        lost(trails, trail, group, topic)
    }
}

/// Two ends that exclude each other.
fn contradiction<'h>(trails: &Trails<'h>, trail: &Trail<'h>, group: &'h str) -> Option<Breach<'h>> {
    let name = trail.name();
    if let Some((parked, applied)) = trails.parked_and_applied(trail, group) {
        let summary = format!("{group} both parked and applied {name}");
        let index = parked.max(applied);
        let breach = Breach::of(trail.event_id, Some(group), index, summary);
        return Some(breach.by_rule("two-ends"));
    }
    let discarded = trail.discarded_by(group)?;
    let applied = trail.applied_by(group)?;
    let published_since = trail
        .published
        .iter()
        .any(|copy| copy.index > discarded.index);
    (discarded.index < applied.index && !published_since).then(|| {
        let summary = format!("{group} discarded {name} and applied it all the same");
        Breach::of(trail.event_id, Some(group), applied.index, summary).by_rule("two-ends")
    })
}

/// What became of an event that a group wants and that had no effect there.
fn lost<'h>(
    trails: &Trails<'h>,
    trail: &Trail<'h>,
    group: &'h str,
    topic: &str,
) -> Option<Breach<'h>> {
    let name = trail.name();
    let copies = trail
        .published
        .iter()
        .filter(|copy| *copy.position.topic == *topic);
    let settled: Vec<(Published<'h>, Option<u64>)> = copies
        .map(|copy| {
            let settling = trails.acknowledgements.settling(group, copy.position);
            (*copy, settling.map(|own| own.index))
        })
        .collect();
    let last_published = settled
        .iter()
        .map(|(copy, _)| copy.index)
        .max()
        .unwrap_or_default();
    let (deliveries, last_delivered) = (
        trail.handled_by(group).count(),
        trail
            .handled_by(group)
            .last()
            .map(|handling| handling.index),
    );
    // As long as one copy is unsettled, the event is not lost by an acknowledgement.
    let acknowledged = settled
        .iter()
        .map(|(_, ack)| *ack)
        .collect::<Option<Vec<u64>>>();
    let breach = match (
        acknowledged.and_then(|acks| acks.into_iter().max()),
        last_delivered,
    ) {
        (Some(ack), _) if is_superseded(trails, trail, group, ack) => return None,
        (Some(ack), delivered) => {
            let (rule, how) = match delivered {
                Some(_) => ("no-effect", "acknowledged it without effect"),
                None => ("settled-past", "settled past it without ever getting it"),
            };
            let summary = format!("{name} was published, but {group} {how}");
            let breach = Breach::of(trail.event_id, Some(group), ack, summary);
            breach.by_rule(rule).inevitable_from(ack)
        }
        (None, Some(delivered)) => {
            let times = if deliveries == 1 {
                "once".to_owned()
            } else {
                format!("{deliveries} times")
            };
            let summary = format!("{group} was handed {name} {times} and never finished it");
            Breach::of(trail.event_id, Some(group), delivered, summary).by_rule("unfinished")
        }
        (None, None) => {
            let summary = format!("{name} was published, but {group} never got it");
            let breach = Breach::of(trail.event_id, Some(group), last_published, summary);
            breach.by_rule("never-delivered")
        }
    };
    Some(breach)
}

/// Whether the group takes the newest snapshot for all that it needs, and had applied another one of
/// the same entity when it acknowledged this one. Of snapshots that one database announced, only a
/// younger one supersedes.
fn is_superseded(trails: &Trails<'_>, trail: &Trail<'_>, group: &str, acknowledged: u64) -> bool {
    let groups = &trails.history.description.groups;
    let is_older_than = |other: &Trail<'_>| match (trail.announced.first(), other.announced.first())
    {
        (Some(own), Some(other)) if own.database == other.database => own.index < other.index,
        _ => trail.event_id != other.event_id,
    };
    let supersedes = |other: &Trail<'_>| {
        let mut applied = other.applied.iter();
        other.entity() == trail.entity()
            && is_older_than(other)
            && applied.any(|effect| effect.consumer == group && effect.index < acknowledged)
    };
    groups.get(group).is_some_and(|group| group.is_superseding)
        && !trail.entity().is_empty()
        && trails.trails.iter().any(supersedes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::NoLostEvent;
    use crate::checker::Property;
    use crate::checker::test_history::{
        Tale, assert_holds, assert_vacuous, at, broken_at, complaint, order_event,
    };
    use crate::history::What;

    #[test]
    fn accepts_every_single_end() {
        let mut tale = Tale::on_kafka();
        tale.brings("applied", "order-1");
        tale.applies("applied");
        tale.acks("applied");
        tale.brings("parked", "order-2");
        tale.parks("parked");
        tale.acks("parked");
        tale.brings("discarded", "order-3");
        tale.discards("discarded");
        tale.acks("discarded");
        assert_holds(&NoLostEvent, &tale);
    }

    /// Three snapshots of one order, of which `billing` applies the second first.
    fn snapshots(superseding: bool) -> Tale {
        let mut tale = Tale::on_kafka();
        let groups = &mut tale.history.description.groups;
        groups
            .get_mut("billing")
            .expect("it is there")
            .is_superseding = superseding;
        for id in ["e1", "e2"] {
            tale.commits(id, "order-1");
            tale.publishes(id, "order-1");
        }
        for id in ["e2", "e1"] {
            tale.delivers(id);
        }
        tale.applies("e2");
        tale
    }

    #[test]
    fn accepts_a_snapshot_that_a_younger_one_superseded() {
        let mut tale = snapshots(true);
        tale.acks("e2");
        assert_holds(&NoLostEvent, &tale);
    }

    #[test]
    fn rejects_a_superseded_snapshot_where_nothing_supersedes() {
        let mut tale = snapshots(false);
        let lost = tale.acks("e2");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(lost));
    }

    #[test]
    fn rejects_a_snapshot_that_nothing_younger_superseded() {
        let mut tale = snapshots(true);
        tale.acks("e2");
        tale.brings("e3", "order-1");
        let lost = tale.acks("e3");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(lost));
        let mut tale = snapshots(true);
        tale.brings("other", "order-2");
        let lost = tale.acks("other");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(lost));
    }

    /// A client's message, handed to `billing`.
    fn asks(tale: &mut Tale, id: &str) {
        tale.sends("client", order_event(id, "order-1"));
        tale.delivers(id);
    }

    #[test]
    fn rejects_a_clients_message_that_was_acknowledged_without_effect() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, "e1");
        tale.applies("e1");
        tale.acks("e1");
        asks(&mut tale, "e2");
        assert!(complaint(&NoLostEvent, &tale).contains("never finished it"));
        let lost = tale.acks("e2");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(lost));
        tale.applies("e2");
        assert_holds(&NoLostEvent, &tale);
    }

    #[test]
    fn rejects_a_group_that_loses_everything_although_a_probe_shows_it() {
        let mut tale = Tale::on_kafka();
        let groups = &mut tale.history.description.groups;
        groups.get_mut("billing").expect("it is there").is_probed = true;
        asks(&mut tale, "e1");
        let lost = tale.acks("e1");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(lost));
    }

    #[test]
    fn is_vacuous_where_no_probe_shows_what_becomes_of_a_clients_message() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, "e1");
        tale.acks("e1");
        assert_vacuous(&NoLostEvent, &tale);
    }

    #[test]
    fn accepts_a_replay_from_the_dead_letter_topic() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.parks("e1");
        tale.acks("e1");
        tale.sends("operator", order_event("e1", "order-1"));
        tale.delivers("e1");
        tale.applies("e1");
        tale.acks("e1");
        assert_holds(&NoLostEvent, &tale);
    }

    /// Somebody who replays parked events is handed the first one.
    fn hands_out_the_parked(tale: &mut Tale) -> u64 {
        let (group, position) = ("billing-replay".into(), at("billing.dead", 0));
        tale.happens(
            "operator",
            What::Delivered {
                group,
                position,
                attempt: 1,
                generation: 1,
            },
        )
    }

    #[test]
    fn accepts_a_replay_straight_from_the_dead_letter_topic() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.parks("e1");
        tale.acks("e1");
        hands_out_the_parked(&mut tale);
        tale.applies("e1");
        assert_holds(&NoLostEvent, &tale);
    }

    #[test]
    fn rejects_an_effect_that_came_before_the_parked_copy_was_handed_out() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.parks("e1");
        let applied = tale.applies("e1");
        hands_out_the_parked(&mut tale);
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(applied));
    }

    #[test]
    fn accepts_a_redelivery_that_is_applied_once_the_event_was_replayed() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.parks("e1");
        tale.crashes("billing");
        tale.sends("operator", order_event("e1", "order-1"));
        tale.delivers_at(at("orders", 0));
        tale.applies("e1");
        assert_holds(&NoLostEvent, &tale);
    }

    #[test]
    fn accepts_an_event_that_the_group_does_not_want() {
        let mut tale = Tale::on_kafka();
        tale.history
            .description
            .groups
            .get_mut("billing")
            .expect("billing")
            .event_types = vec!["other".to_owned()];
        tale.brings("e1", "order-1");
        tale.acks("e1");
        assert_holds(&NoLostEvent, &tale);
    }

    #[test]
    fn rejects_an_event_that_was_never_published() {
        let mut tale = Tale::on_kafka();
        let committed = tale.commits("e1", "order-1");
        tale.crashes("orders");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(committed));
        assert_eq!(
            complaint(&NoLostEvent, &tale),
            "order.changed e1 of order-1 was committed but never published to orders"
        );
    }

    #[test]
    fn rejects_an_event_that_was_published_elsewhere() {
        let mut tale = Tale::on_kafka();
        let committed = tale.commits("e1", "order-1");
        let mut astray = order_event("e1", "order-1");
        astray.topic = "payments".to_owned();
        tale.sends("orders", astray);
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(committed));
    }

    #[test]
    fn rejects_an_event_that_was_never_delivered() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        let published = tale.publishes("e1", "order-1");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(published));
        assert!(complaint(&NoLostEvent, &tale).ends_with("billing never got it"));
    }

    #[test]
    fn rejects_an_event_that_was_never_finished() {
        let mut tale = Tale::on_kafka();
        let delivered = tale.brings("e1", "order-1");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(delivered));
    }

    #[test]
    fn rejects_an_acknowledgement_without_effect_from_the_acknowledgement_on() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        let acknowledged = tale.acks("e1");
        let crashed = tale.crashes("billing");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(acknowledged));
        let verdict = NoLostEvent.check(&tale.history);
        let witness = verdict.witness().expect("broken");
        assert_eq!(witness.inevitable_from, Some(acknowledged));
        assert!(
            !witness.chain.contains(&crashed),
            "the consumer had let go of it by then"
        );
    }

    #[test]
    fn rejects_a_cumulative_commit_past_an_unfinished_event() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.brings("e2", "order-2");
        tale.applies("e2");
        let acknowledged = tale.acks("e2");
        let crashed = tale.crashes("billing");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(acknowledged));
        let verdict = NoLostEvent.check(&tale.history);
        assert!(verdict.witness().expect("broken").chain.contains(&crashed));
    }

    #[test]
    fn an_acknowledged_copy_does_not_lose_the_other_copy() {
        let mut tale = Tale::on_jetstream(1);
        tale.brings("e1", "order-1");
        tale.acks("e1");
        tale.publishes("e1", "order-1");
        let delivered = tale.delivers("e1");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(delivered));
    }

    #[test]
    fn rejects_parked_and_applied() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.applies("e1");
        let parked = tale.parks("e1");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(parked));
    }

    #[test]
    fn accepts_a_copy_that_is_parked_once_its_effect_is_forgotten() {
        // Each event of a tale comes a millisecond after the one before.
        for (memory_ms, is_broken) in [(0, false), (1, false), (2, true)] {
            let mut tale = Tale::on_kafka();
            let groups = &mut tale.history.description.groups;
            groups.get_mut("billing").expect("it is there").memory =
                Some(Duration::from_millis(memory_ms));
            tale.brings("e1", "order-1");
            tale.applies("e1");
            let parked = tale.parks("e1");
            let expected = is_broken.then_some(parked);
            assert_eq!(broken_at(&NoLostEvent, &tale), expected, "{memory_ms} ms");
        }
    }

    #[test]
    fn rejects_discarded_then_applied() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.discards("e1");
        let applied = tale.applies("e1");
        assert_eq!(broken_at(&NoLostEvent, &tale), Some(applied));
    }

    #[test]
    fn is_vacuous_without_announcements() {
        let mut tale = Tale::on_kafka();
        tale.publishes("e1", "order-1");
        assert_vacuous(&NoLostEvent, &tale);
    }
}
