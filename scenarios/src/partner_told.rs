//! `partner-told`: the partner is told of every event that was noted for it, of each order in the order of the notes.
//!
//! Both sides are seen in their databases. That the partner takes nothing twice is the business of `effect-once`.

use std::collections::BTreeMap;

use stormglass::checker::{Property, Verdict};
use stormglass::history::{Application, Fact, History, What};

use crate::breach::{Breach, judge};
use crate::deploy::PARTNER;

/// The consumer that notes events for the partner.
const NOTING: &str = "webhook";

/// What was noted for the partner has arrived there, in the order of the notes on one order.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartnerTold;

impl Property for PartnerTold {
    fn id(&self) -> &str {
        "partner-told"
    }

    fn promise(&self) -> &str {
        "the partner is told of every event that was noted for it, of each order in their order"
    }

    fn check(&self, history: &History) -> Verdict {
        let (noted, taken) = (applied_by(NOTING, history), applied_by(PARTNER, history));
        if noted.is_empty() {
            return Verdict::Vacuous("nothing was noted for the partner".to_owned());
        }
        let nothing = Vec::new();
        let mut breaches = Vec::new();
        for (order, notes) in &noted {
            let arrived = taken.get(order).unwrap_or(&nothing);
            breaches.extend(untold(order, notes, arrived));
            breaches.extend(out_of_order(order, notes, arrived));
        }
        for (order, arrived) in &taken {
            let notes = noted.get(order).unwrap_or(&nothing);
            breaches.extend(invented(order, notes, arrived));
        }
        judge(history, breaches).unwrap_or(Verdict::Holds)
    }
}

/// An event at one side: its id, and where the history has it.
type Seen<'h> = (&'h str, u64);

/// What a consumer applied, by order.
fn applied_by<'h>(consumer: &str, history: &'h History) -> BTreeMap<&'h str, Vec<Seen<'h>>> {
    let mut applied: BTreeMap<&str, Vec<Seen<'_>>> = BTreeMap::new();
    for event in &history.events {
        if let What::Observed {
            fact:
                Fact::Applied(Application {
                    consumer: own,
                    event_id,
                    entity,
                    ..
                }),
            ..
        } = &event.what
            && own == consumer
        {
            let of_order = applied.entry(entity).or_default();
            of_order.push((event_id, event.index));
        }
    }
    applied
}

fn position(event_id: &str, of: &[Seen<'_>]) -> Option<usize> {
    of.iter().position(|(id, _)| *id == event_id)
}

/// Notes that never arrived.
fn untold(order: &str, notes: &[Seen<'_>], arrived: &[Seen<'_>]) -> Option<Breach> {
    let mut notes = notes.iter();
    let (event_id, index) = notes.find(|(id, _)| position(id, arrived).is_none())?;
    let summary = format!("{event_id} was noted for the partner, who was never told");
    Some(Breach::of("untold", order, *index, summary))
}

/// Whatever arrived behind something that was noted later.
fn out_of_order(order: &str, notes: &[Seen<'_>], arrived: &[Seen<'_>]) -> Option<Breach> {
    let mut furthest = 0;
    for (event_id, index) in arrived {
        let Some(noted) = position(event_id, notes) else {
            continue;
        };
        if noted < furthest {
            let summary = format!("the partner was told of {event_id} after a later event");
            return Some(Breach::of("out-of-order", order, *index, summary));
        }
        furthest = noted;
    }
    None
}

/// Whatever arrived and was not noted before.
fn invented(order: &str, notes: &[Seen<'_>], arrived: &[Seen<'_>]) -> Option<Breach> {
    let mut arrived = arrived.iter();
    let (event_id, index) = arrived.find(|(id, index)| {
        let note = notes.iter().find(|(noted, _)| noted == id);
        note.is_none_or(|(_, noted)| noted > index)
    })?;
    let summary = format!("the partner was told of {event_id}, which was not noted");
    Some(Breach::of("invented", order, *index, summary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_shop::Shop;

    /// One side has an event of an order.
    fn has(shop: &mut Shop, side: &str, event_id: &str) -> u64 {
        let application = Application {
            consumer: side.to_owned(),
            event_id: event_id.to_owned(),
            entity: "a".to_owned(),
            effect: "told".to_owned(),
            correlation_id: String::new(),
        };
        shop.observed(side, Fact::Applied(application))
    }

    fn told(steps: &[(&str, &str)]) -> (Shop, Vec<u64>) {
        let mut shop = Shop::open();
        let indexes = steps
            .iter()
            .map(|(side, id)| has(&mut shop, side, id))
            .collect();
        (shop, indexes)
    }

    #[test]
    fn accepts_what_arrives_late_and_in_order() {
        let (shop, _) = told(&[
            (NOTING, "1"),
            (NOTING, "2"),
            (PARTNER, "1"),
            (NOTING, "3"),
            (PARTNER, "2"),
            (PARTNER, "3"),
        ]);
        assert_eq!(shop.judged_by(&PartnerTold), Verdict::Holds);
    }

    #[test]
    fn is_vacuous_where_nothing_is_noted() {
        let (shop, _) = told(&[]);
        assert!(matches!(shop.judged_by(&PartnerTold), Verdict::Vacuous(_)));
    }

    #[test]
    fn rejects_what_never_arrives() {
        let (shop, indexes) = told(&[(NOTING, "1"), (NOTING, "2"), (PARTNER, "2")]);
        shop.must_break_at(&PartnerTold, indexes[0], "never told");
    }

    #[test]
    fn rejects_what_overtakes() {
        let (shop, indexes) = told(&[(NOTING, "1"), (NOTING, "2"), (PARTNER, "2"), (PARTNER, "1")]);
        shop.must_break_at(&PartnerTold, indexes[3], "after a later event");
    }

    #[test]
    fn rejects_what_was_not_noted_before() {
        let (shop, indexes) = told(&[(NOTING, "1"), (PARTNER, "1"), (PARTNER, "2")]);
        shop.must_break_at(&PartnerTold, indexes[2], "not noted");
        let (shop, indexes) = told(&[(PARTNER, "1"), (NOTING, "1")]);
        shop.must_break_at(&PartnerTold, indexes[0], "not noted");
    }
}
