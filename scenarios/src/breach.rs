//! A breach of a promise of the shop, and the story that leads there.
//!
//! Checkers collect breaches and report the earliest; the story is only put together for that one.

use std::collections::BTreeSet;

use stormglass::CORRELATION_ID;
use stormglass::checker::{Verdict, Witness};
use stormglass::history::{Fact, History, What};

/// One promise that was not kept.
pub(crate) struct Breach {
    /// The rule of the property that was broken.
    pub(crate) rule: &'static str,
    /// The event of the history that broke it.
    pub(crate) index: u64,
    /// Whose story tells how it came to that.
    pub(crate) about: About,
    /// One sentence for a person.
    pub(crate) summary: String,
}

/// Whose story is told.
pub(crate) enum About {
    /// These orders'.
    Orders(Vec<String>),
    /// These events are the story, and none of them is left out.
    Events(Vec<u64>),
}

impl Breach {
    /// A breach about one order.
    pub(crate) fn of(rule: &'static str, order: &str, index: u64, summary: String) -> Self {
        Breach {
            rule,
            index,
            about: About::Orders(vec![order.to_owned()]),
            summary,
        }
    }

    fn witness(self, history: &History) -> Witness {
        let mut chain = match self.about {
            About::Orders(orders) => story(history, &orders),
            About::Events(events) => events,
        };
        chain.retain(|&index| index < self.index);
        chain.push(self.index);
        Witness {
            rule: self.rule.to_owned(),
            summary: self.summary,
            index: self.index,
            chain,
            ..Witness::default()
        }
    }
}

/// The verdict on a property with these breaches, if there are any: the earliest counts.
pub(crate) fn judge(
    history: &History,
    breaches: impl IntoIterator<Item = Breach>,
) -> Option<Verdict> {
    let first = breaches.into_iter().min_by_key(|breach| breach.index)?;
    Some(Verdict::Broken(first.witness(history)))
}

/// Everything that names one of these orders: what clients asked and were told, what was committed,
/// what third parties were asked for, and what was parked.
fn story(history: &History, orders: &[String]) -> Vec<u64> {
    let named = |text: &str| {
        orders
            .iter()
            .any(|order| text.contains(&format!("\"{order}\"")))
    };
    let is_one = |entity: &str| orders.iter().any(|order| order == entity);
    let asked: BTreeSet<u64> = history
        .operations()
        .iter()
        .filter(|asked| asked.told.is_some_and(|told| named(told.text)))
        .map(|asked| asked.index)
        .collect();
    let parking: BTreeSet<&str> = history
        .description
        .groups
        .values()
        .filter_map(|group| group.dead_letters.as_deref())
        .collect();
    let mut flows = BTreeSet::new();
    let told = history.events.iter().filter(|event| match &event.what {
        What::OperationInvoked { .. } => asked.contains(&event.index),
        What::OperationAnswered { text, .. } => named(text),
        What::Observed { fact, .. } => {
            if let Fact::Announced(announced) = fact
                && is_one(&announced.entity)
            {
                flows.insert(&*announced.correlation_id);
            }
            is_one(entity(fact))
        }
        What::ExternalCalled { request, .. } => request["order_id"].as_str().is_some_and(is_one),
        What::Published { position, message } => {
            let flow = message.headers.get(CORRELATION_ID);
            parking.contains(&*position.topic)
                && (is_one(&message.key) || flow.is_some_and(|flow| flows.contains(&**flow)))
        }
        _ => false,
    });
    told.map(|event| event.index).collect()
}

/// The entity that a fact is about.
pub(crate) fn entity(fact: &Fact) -> &str {
    match fact {
        Fact::Announced(announcement) => &announcement.entity,
        Fact::Applied(applied) | Fact::Discarded(applied) => &applied.entity,
        Fact::Withheld(withheld) => &withheld.entity,
    }
}
