//! The chain of a failure: one line for each event of its story, and a mark where some are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::Witness;
use crate::history::{Event, History, What};
use crate::message::{Message, Position};

/// How many events of a story are shown at most.
const LENGTH_MAX: usize = 24;
/// How many of them are its beginning, where some in between have to be left out.
const BEGINNING: usize = 7;

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

/// What of a chain is shown: all of it where that is not too much, and otherwise what broke, the faults,
/// the beginning and the end.
fn shown(history: &History, witness: &Witness) -> BTreeSet<u64> {
    let chain = &witness.chain;
    if chain.len() <= LENGTH_MAX {
        return chain.iter().copied().collect();
    }
    let is_fault = |index: &&u64| {
        let event = history.events.get(**index as usize);
        event.is_some_and(|event| matches!(event.what, What::FaultBit { .. } | What::HostCrashed))
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
