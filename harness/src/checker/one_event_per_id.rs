//! `one-event-per-id`: no two events share an id, of which a consumer that remembers ids would
//! suppress the second.
//!
//! Only what stands in one topic is compared: an event may be announced to several topics in several
//! forms under one id. What a system leaves empty is no difference.

use super::breach::{Breach, judge};
use super::trail::{Published, Trail, Trails, differ};
use super::{Property, Verdict};
use crate::history::History;

/// Two announcements to one topic that share an id and differ in entity, type or cause are two events,
/// and so are two copies in one topic that differ in key or type.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneEventPerId;

impl Property for OneEventPerId {
    fn id(&self) -> &str {
        "one-event-per-id"
    }

    fn promise(&self) -> &str {
        "an event id stands for one event"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let breaches = trails.trails.iter();
        let breaches = breaches.flat_map(|trail| {
            announced_twice(&trails, trail)
                .into_iter()
                .chain(published_twice(trail))
        });
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        let known = trails.trails.iter().filter(|trail| trail.is_known());
        let seen: usize = known.map(|trail| trail.published.len().max(1)).sum();
        if seen > 1 {
            return Verdict::Holds;
        }
        Verdict::Vacuous("there were no two events that could have shared an id".to_owned())
    }
}

/// The first announcement under the event's id that speaks of another event.
fn announced_twice<'h>(trails: &Trails<'h>, trail: &Trail<'h>) -> Option<Breach<'h>> {
    let mut others = trail.sharing_its_id.iter();
    let other = others.find(|other| !trails.is_dead_letters(&other.announcement.topic))?;
    let (kind, entity) = (&other.announcement.event_type, &other.announcement.entity);
    Some(told(trail, other.index, kind, entity).by_rule("announced-twice"))
}

/// The first copy under the event's id that is of another event than an earlier one.
fn published_twice<'h>(trail: &Trail<'h>) -> Option<Breach<'h>> {
    let copies = &trail.published;
    let is_other = |nth: usize| {
        copies[..nth]
            .iter()
            .any(|first| is_other_message(first, &copies[nth]))
    };
    let other = copies[(0..copies.len()).find(|&nth| is_other(nth))?];
    let kind = other.message.event_type().unwrap_or("");
    Some(told(trail, other.index, kind, &other.message.key).by_rule("published-twice"))
}

fn is_other_message(first: &Published<'_>, other: &Published<'_>) -> bool {
    let kinds = [first, other].map(|copy| copy.message.event_type().unwrap_or(""));
    first.position.topic == other.position.topic
        && (differ(&first.message.key, &other.message.key) || differ(kinds[0], kinds[1]))
}

fn told<'h>(trail: &Trail<'h>, index: u64, kind: &str, entity: &str) -> Breach<'h> {
    let kind = if kind.is_empty() { "event" } else { kind };
    let summary = format!(
        "{kind} {} of {} shares its id with {}, so that one suppresses the other",
        trail.event_id,
        entity,
        trail.name()
    );
    Breach::of(trail.event_id, None, index, summary)
}

#[cfg(test)]
mod tests {
    use super::OneEventPerId;
    use crate::checker::test_history::{
        Tale, assert_holds, assert_vacuous, broken_at, complaint, flow, order_event,
    };
    use crate::history::Announcement;
    use crate::message::EVENT_TYPE;

    fn announcement(topic: &str) -> Announcement {
        Announcement {
            topic: topic.to_owned(),
            ..flow("e1", "order-1", "", "request-1")
        }
    }

    #[test]
    fn accepts_an_event_that_is_announced_again_elsewhere_or_with_less_said() {
        let mut tale = Tale::on_kafka();
        tale.announces("orders", announcement("orders"));
        let elsewhere = Announcement {
            entity: "customer-1".to_owned(),
            event_type: "order.paid".to_owned(),
            ..announcement("payments")
        };
        tale.announces("orders", elsewhere);
        for topic in ["orders", "billing.dead", "billing.dead"] {
            let with_less_said = Announcement {
                cause_id: String::new(),
                ..announcement(topic)
            };
            tale.announces("billing", with_less_said);
        }
        tale.publishes("e1", "order-1");
        tale.publishes("e1", "order-1");
        assert_holds(&OneEventPerId, &tale);
    }

    #[test]
    fn rejects_two_events_under_one_id() {
        let first = || announcement("orders");
        let others = [
            Announcement {
                entity: "order-2".to_owned(),
                ..first()
            },
            Announcement {
                event_type: "order.cancelled".to_owned(),
                ..first()
            },
            Announcement {
                cause_id: "request-2".to_owned(),
                ..first()
            },
        ];
        for other in others {
            let mut tale = Tale::on_kafka();
            tale.announces("orders", first());
            let said = format!("{other:?}");
            let namesake = tale.announces("orders", other);
            assert_eq!(broken_at(&OneEventPerId, &tale), Some(namesake), "{said}");
        }
    }

    #[test]
    fn rejects_two_messages_under_one_id() {
        let retyped = order_event("e1", "order-1").header(EVENT_TYPE, "order.cancelled");
        for other in [order_event("e1", "order-2"), retyped] {
            let mut tale = Tale::on_kafka();
            tale.brings("e1", "order-1");
            let namesake = tale.sends("orders", other);
            assert_eq!(broken_at(&OneEventPerId, &tale), Some(namesake));
        }
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.publishes("e1", "order-2");
        assert_eq!(
            complaint(&OneEventPerId, &tale),
            "order.changed e1 of order-2 shares its id with order.changed e1 of order-1, so that \
             one suppresses the other"
        );
    }

    #[test]
    fn is_vacuous_where_there_is_only_one_event() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        assert_vacuous(&OneEventPerId, &tale);
    }
}
