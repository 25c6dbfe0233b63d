//! Readable names for ids: `order-1` and `event-3` for what would fill half a line.
//!
//! An id gets its name where it first appears in what is told, so the names are stable within one
//! story and mean nothing in another. Short ids stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use stormglass_reports::NameLine;

use crate::history::{Announcement, Application, Fact, History, What, Withholding};
use crate::message::{CAUSATION_ID, CORRELATION_ID, Message};

/// The longest id that is told as it is.
const LENGTH_MAX: usize = 20;

/// The ids of one history, and the names of those that were told.
pub(super) struct Names<'h> {
    /// What each id is of.
    words: BTreeMap<&'h str, &'h str>,
    /// The lengths of the ids, the longest first.
    lengths: Vec<usize>,
    /// Names that the system uses itself.
    taken: BTreeSet<&'h str>,
    /// How many names each word has.
    counts: BTreeMap<&'h str, u64>,
    given: BTreeMap<&'h str, String>,
    /// The ids in the order in which they got their names.
    order: Vec<&'h str>,
}

impl<'h> Names<'h> {
    /// The ids that a history has.
    pub(super) fn of(history: &'h History) -> Self {
        let mut ids = Ids::default();
        for event in &history.events {
            ids.read(&event.what);
        }
        let lengths: BTreeSet<usize> = ids.words.keys().map(|id| id.len()).collect();
        Names {
            words: ids.words,
            lengths: lengths.into_iter().rev().collect(),
            taken: ids.short,
            counts: BTreeMap::new(),
            given: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// The text with names in the place of ids.
    pub(super) fn tell(&mut self, text: &str) -> String {
        let mut told = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let word = rest.find(|c| !is_of_an_id(c)).unwrap_or(rest.len());
            self.tell_word(&rest[..word], &mut told);
            let after = &rest[word..];
            let next = after.find(is_of_an_id).unwrap_or(after.len());
            told += &after[..next];
            rest = &after[next..];
        }
        told
    }

    /// One word, which is an id, contains some (`charge-ID`), or neither.
    fn tell_word(&mut self, word: &str, told: &mut String) {
        let mut at = 0;
        while at < word.len() {
            let found = self.lengths.iter().find_map(|length| {
                let candidate = word.get(at..at + length)?;
                self.words.get_key_value(candidate)
            });
            match found.map(|(id, kind)| (*id, *kind)) {
                Some((id, kind)) => {
                    *told += self.name(id, kind);
                    at += id.len();
                }
                None => {
                    let next = word[at..].chars().next().map_or(1, char::len_utf8);
                    *told += &word[at..at + next];
                    at += next;
                }
            }
        }
    }

    fn name(&mut self, id: &'h str, kind: &'h str) -> &str {
        if !self.given.contains_key(id) {
            let count = self.counts.entry(kind).or_default();
            let name = loop {
                *count += 1;
                let name = format!("{kind}-{count}");
                if !self.taken.contains(&*name) {
                    break name;
                }
            };
            self.given.insert(id, name);
            self.order.push(id);
        }
        &self.given[id]
    }

    /// Which name stands for which id, in the order in which they were told.
    pub(super) fn legend(&self) -> Vec<NameLine> {
        let line = |id: &&str| NameLine {
            name: self.given[id].clone(),
            id: (*id).to_owned(),
        };
        self.order.iter().map(line).collect()
    }
}

fn is_of_an_id(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}

/// The ids that events carry, by what they are of.
#[derive(Default)]
struct Ids<'h> {
    words: BTreeMap<&'h str, &'h str>,
    short: BTreeSet<&'h str>,
}

impl<'h> Ids<'h> {
    fn read(&mut self, what: &'h What) {
        match what {
            What::Published { message, .. } => self.read_message(message),
            What::PublishRejected {
                event_id: Some(id), ..
            }
            | What::PublishUnknown {
                event_id: Some(id), ..
            } => self.note(id, "event"),
            What::Observed { fact, .. } => self.read_fact(fact),
            What::ExternalCalled {
                idempotency_key, ..
            } => self.note(idempotency_key, "key"),
            _ => {}
        }
    }

    fn read_message(&mut self, message: &'h Message) {
        for (name, word) in [(CAUSATION_ID, "cause"), (CORRELATION_ID, "flow")] {
            if let Some(id) = message.headers.get(name) {
                self.note(id, word);
            }
        }
        self.note(&message.key, singular(&message.topic));
        if let Some(id) = message.event_id() {
            self.note(id, "event");
        }
    }

    fn read_fact(&mut self, fact: &'h Fact) {
        match fact {
            Fact::Announced(Announcement {
                event_id,
                entity,
                topic,
                correlation_id,
                ..
            }) => {
                self.note(correlation_id, "flow");
                self.note(entity, singular(topic));
                self.note(event_id, "event");
            }
            Fact::Applied(application) | Fact::Discarded(application) => {
                let Application {
                    event_id,
                    entity,
                    correlation_id,
                    ..
                } = application;
                self.note(correlation_id, "flow");
                self.note(entity, "entity");
                self.note(event_id, "event");
            }
            Fact::Withheld(Withholding {
                event_id, entity, ..
            }) => {
                self.note(entity, "entity");
                self.note(event_id, "event");
            }
        }
    }

    /// Of the words for one id the most telling counts: an event is one, whatever its id also is.
    fn note(&mut self, id: &'h str, word: &'h str) {
        let rank = |word: &str| match word {
            "event" => 0,
            "entity" | "cause" => 2,
            "flow" | "key" => 3,
            _ => 1,
        };
        if id.len() <= LENGTH_MAX {
            self.short.insert(id);
        } else if id.chars().all(is_of_an_id) {
            let known = self.words.entry(id).or_insert(word);
            if rank(word) < rank(known) {
                *known = word;
            }
        }
    }
}

/// `order` for the topics `orders`, `orders.dead` and `order-events`.
fn singular(topic: &str) -> &str {
    let end = topic.find(|c: char| !c.is_alphanumeric());
    let first = &topic[..end.unwrap_or(topic.len())];
    match first.strip_suffix('s').unwrap_or(first) {
        "" => "entity",
        word => word,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::broker::Profile;
    use crate::history::Description;
    use crate::message::{EVENT_ID, Position};

    const ORDER: &str = "0199a1b2-0000-7000-8000-000000000001";
    const PLACED: &str = "0199a1b2-0000-7000-8000-0000000000ff";
    const PAID: &str = "1199a1b2-0000-7000-8000-0000000000ff";

    fn history(key: &str) -> History {
        let mut history = History::new(Description {
            profile: Profile::kafka(),
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            ..Description::default()
        });
        for (offset, id) in [PLACED, PAID].into_iter().enumerate() {
            let message = Message::new("orders", key, "").header(EVENT_ID, id);
            let position = Position {
                topic: "orders".into(),
                partition: 0,
                offset: offset as u64,
            };
            let message = Arc::new(message);
            let what = What::Published { position, message };
            history.record(Duration::ZERO, &Arc::from("orders"), what);
        }
        history
    }

    #[test]
    fn ids_get_names_in_the_order_of_appearance() {
        let history = history(ORDER);
        let mut names = Names::of(&history);
        let told = names.tell(&format!("{PAID} of {ORDER} (charge-{ORDER}), not {PLACED}"));
        assert_eq!(told, "event-1 of order-1 (charge-order-1), not event-2");
        assert_eq!(names.tell(PLACED), "event-2");
        let legend = names.legend();
        let legend: Vec<_> = legend.iter().map(|line| (&*line.name, &*line.id)).collect();
        let expected = [("event-1", PAID), ("order-1", ORDER), ("event-2", PLACED)];
        assert_eq!(legend, expected);
    }

    #[test]
    fn ids_that_share_their_end_are_told_apart() {
        let history = history(ORDER);
        let mut names = Names::of(&history);
        assert_ne!(names.tell(PLACED), names.tell(PAID));
    }

    #[test]
    fn short_ids_stay_and_their_names_are_not_given_to_others() {
        let history = history("event-1");
        let mut names = Names::of(&history);
        assert_eq!(
            names.tell(&format!("event-1, {PLACED}")),
            "event-1, event-2"
        );
        assert_eq!(names.legend().len(), 1);
    }

    #[test]
    fn a_topic_gives_its_entities_their_word() {
        let words = [
            ("orders", "order"),
            ("orders.dead", "order"),
            ("stock", "stock"),
            ("", "entity"),
        ];
        for (topic, word) in words {
            assert_eq!(singular(topic), word);
        }
    }
}
