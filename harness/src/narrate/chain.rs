//! The chain of a failure: one line for each event of its story, and a mark where some are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::Witness;
use crate::history::{Event, History, What};
use crate::message::{Message, Position};

/// How many events of a story are shown at most.
const LENGTH_MAX: usize = 24;
/// How many of them are its beginning, where some in between have to be left out.
const BEGINNING: usize = 7;

/// How many events a story in sentences has at most, so that it is read and not searched.
const SENTENCES_MAX: usize = 9;

/// The lines of a witness' chain, with ids in full.
pub(super) fn lines(history: &History, witness: &Witness) -> Vec<String> {
    let shown = shown(history, witness);
    let events = Events::of(history, witness);
    let mut lines = Vec::new();
    let mut left_out: Vec<u64> = Vec::new();
    for index in &witness.chain {
        if !shown.contains(index) {
            left_out.push(*index);
            continue;
        }
        lines.extend(gap(&left_out));
        left_out.clear();
        let event = history.events.get(*index as usize);
        lines.extend(event.map(|event| events.line(event)));
    }
    lines
}

/// The few events of a witness' chain that tell most, in order, each as a sentence with ids in full.
pub(super) fn sentences(history: &History, witness: &Witness) -> Vec<(u64, String)> {
    let events = Events::of(history, witness);
    let told = telling(history, witness).into_iter();
    let told = told.filter_map(|index| history.events.get(usize::try_from(index).ok()?));
    let sentence = |event: &Event| {
        let text = event.what.to_string();
        let (host, more) = (&*event.host, events.more(&event.what));
        let subject = match text.starts_with(host) {
            true => String::new(),
            false => format!("{host}: "),
        };
        let (seconds, ms) = (event.at.as_secs(), event.at.subsec_millis());
        let text = format!("At {seconds}.{ms:03} s {subject}{text}{more}.");
        (event.index, text)
    };
    told.map(sentence).collect()
}

/// What of a chain a story cannot do without: what broke, the faults, what was committed or done outside, the beginning,
/// and as much of the end as there is room for.
fn telling(history: &History, witness: &Witness) -> BTreeSet<u64> {
    let of = |wanted: fn(&What) -> bool| {
        let chain = witness.chain.iter().copied();
        chain.filter(move |index| {
            let event = history.events.get(*index as usize);
            event.is_some_and(|event| wanted(&event.what))
        })
    };
    let faults = of(|what| matches!(what, What::FaultBit { .. } | What::HostCrashed));
    let facts = of(|what| matches!(what, What::Observed { .. } | What::ExternalCalled { .. }));
    let must = [Some(witness.index), witness.inevitable_from].into_iter();
    let latest_first = witness.chain.iter().rev().copied();
    let order = must.flatten().chain(faults.take(SENTENCES_MAX / 3));
    let order = order.chain(facts.take(SENTENCES_MAX / 2));
    let order = order
        .chain(witness.chain.first().copied())
        .chain(latest_first);
    let mut telling = BTreeSet::new();
    for index in order {
        if telling.len() < SENTENCES_MAX {
            telling.insert(index);
        }
    }
    telling
}

/// What of a chain is shown: all of it where that is not too much, and otherwise what broke, the faults,
/// the beginning and the end.
fn shown(history: &History, witness: &Witness) -> BTreeSet<u64> {
    let chain = &witness.chain;
    if chain.len() <= LENGTH_MAX {
        return chain.iter().copied().collect();
    }
    let is_fault = |index: &&u64| {
        let event = history.events.get(**index as usize);
        event.is_some_and(|event| {
            matches!(
                event.what,
                What::FaultBit { .. } | What::HostCrashed | What::HostStopped { .. }
            )
        })
    };
    let must = [Some(witness.index), witness.inevitable_from];
    let must = must.into_iter().flatten();
    let faults = chain.iter().filter(is_fault).copied().take(LENGTH_MAX / 2);
    let beginning = chain.iter().take(BEGINNING).copied();
    let latest_first = chain.iter().rev().copied();
    let mut shown: BTreeSet<u64> = must.chain(faults).collect();
    for index in beginning.chain(latest_first) {
        if shown.len() < LENGTH_MAX {
            shown.insert(index);
        }
    }
    shown
}

/// The mark for events that are left out.
fn gap(left_out: &[u64]) -> Option<String> {
    match left_out {
        [] => None,
        [one] => Some(format!("... 1 event left out (#{one})")),
        [first, .., last] => {
            let count = left_out.len();
            Some(format!("... {count} events left out (#{first} to #{last})"))
        }
    }
}

/// What a line needs to know of other events.
struct Events<'h> {
    history: &'h History,
    published: BTreeMap<&'h Position, &'h Message>,
    /// Whether the story is about several events, so that a position does not say which.
    several: bool,
}

impl<'h> Events<'h> {
    fn of(history: &'h History, witness: &Witness) -> Self {
        let published = history.published().into_iter();
        let published: BTreeMap<_, &Message> = published
            .map(|(position, (_, message))| (position, &**message))
            .collect();
        let told = witness.chain.iter();
        let told = told.filter_map(|index| history.events.get(*index as usize));
        let ids: BTreeSet<&str> = told
            .filter_map(|event| published.get(position(&event.what)?)?.event_id())
            .collect();
        Events {
            history,
            published,
            several: ids.len() > 1,
        }
    }

    fn line(&self, event: &Event) -> String {
        let text = event.what.to_string();
        let host = &*event.host;
        let (index, more) = (event.index, self.more(&event.what));
        // A group usually has its host's name; once is enough.
        match text.starts_with(host) {
            true => format!("#{index} {text}{more}"),
            false => format!("#{index} {host} {text}{more}"),
        }
    }

    /// Which event stands at a position, and why a message was parked.
    fn more(&self, what: &What) -> String {
        match what {
            What::Published { position, message } => match self.is_dead_letters(&position.topic) {
                true => format!(" (parked{})", error_of(message)),
                false => String::new(),
            },
            _ if !self.several => String::new(),
            What::Delivered { position, .. }
            | What::Settled { position, .. }
            | What::LeaseExpired { position, .. } => {
                let id = self.published.get(position).and_then(|own| own.event_id());
                id.map_or_else(String::new, |id| format!(" ({id})"))
            }
            _ => String::new(),
        }
    }

    fn is_dead_letters(&self, topic: &str) -> bool {
        let mut groups = self.history.description.groups.values();
        groups.any(|group| group.dead_letters.as_deref() == Some(topic))
    }
}

fn position(what: &What) -> Option<&Position> {
    match what {
        What::Published { position, .. }
        | What::Delivered { position, .. }
        | What::Settled { position, .. } => Some(position),
        _ => None,
    }
}

/// The error that a parked message carries.
fn error_of(message: &Message) -> String {
    let says = ["error", "exception", "reason"];
    let mut headers = message.headers.iter();
    let error = headers.find(|(name, _)| {
        let name = name.to_lowercase();
        says.iter().any(|own| name.contains(own))
    });
    error.map_or_else(String::new, |(name, error)| format!(", {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::broker::Profile;
    use crate::history::{Description, GroupDescription};
    use crate::message::EVENT_ID;

    fn history(events: impl IntoIterator<Item = What>) -> History {
        let billing = GroupDescription {
            dead_letters: Some("billing.dead".to_owned()),
            ..GroupDescription::default()
        };
        let mut history = History::new(Description {
            profile: Profile::kafka(),
            topics: BTreeMap::new(),
            groups: [("billing".to_owned(), billing)].into(),
            ..Description::default()
        });
        for what in events {
            history.record(Duration::ZERO, &Arc::from("billing"), what);
        }
        history
    }

    fn all(history: &History, index: u64) -> Witness {
        Witness {
            index,
            chain: (0..history.events.len() as u64).collect(),
            ..Witness::default()
        }
    }

    fn published(topic: &str, id: &str) -> What {
        let message = Message::new(topic, "order-1", "").header(EVENT_ID, id);
        What::Published {
            position: at(topic),
            message: Arc::new(message.header("x-error", "no such card")),
        }
    }

    fn at(topic: &str) -> Position {
        Position {
            topic: topic.into(),
            partition: 0,
            offset: 0,
        }
    }

    #[test]
    fn a_long_chain_says_where_it_is_cut_and_keeps_what_matters() {
        let mut events = vec![What::HealBegan; 60];
        events[30] = What::HostCrashed;
        let history = history(events);
        let lines = lines(&history, &all(&history, 20));
        let left_out: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains("left out"))
            .collect();
        assert_eq!(
            left_out,
            [
                "... 13 events left out (#7 to #19)",
                "... 9 events left out (#21 to #29)",
                "... 14 events left out (#31 to #44)"
            ]
        );
        assert_eq!(lines.len() - left_out.len(), LENGTH_MAX);
        assert!(
            lines.iter().any(|line| line.starts_with("#20 ")),
            "{lines:?}"
        );
        assert!(
            lines.iter().any(|line| line == "#30 billing crashed"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_parked_message_says_why() {
        let history = history([published("billing.dead", "e1")]);
        let lines = lines(&history, &all(&history, 0));
        let line = "#0 billing published billing.dead/0@0 e1 (parked, x-error: no such card)";
        assert_eq!(lines, [line]);
    }

    #[test]
    fn a_position_says_its_event_where_there_are_several() {
        let delivered = What::Delivered {
            group: "billing".into(),
            position: at("orders"),
            attempt: 1,
            generation: 0,
        };
        let one = history([published("orders", "e1"), delivered.clone()]);
        assert_eq!(
            lines(&one, &all(&one, 0))[1],
            "#1 billing got orders/0@0 for billing, attempt 1"
        );
        let two = history([
            published("orders", "e1"),
            published("stock", "e2"),
            delivered,
        ]);
        let line = "#2 billing got orders/0@0 for billing, attempt 1 (e1)";
        assert_eq!(lines(&two, &all(&two, 0))[2], line);
    }
}
