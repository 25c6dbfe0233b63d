//! Writing: what was appended stays, at its offset, as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::breach_at;
use crate::broker::Violation;
use crate::checker::breach::Breach;
use crate::checker::placements::Placements;
use crate::history::{Event, History, What};
use crate::message::{Message, Position};

/// What was appended, by position, and what was found wrong with it.
pub(super) struct Writing<'h> {
    appended: Placements<'h, &'h Arc<Message>>,
    breach: Option<Breach<'h>>,
    empty: bool,
}

impl<'h> Writing<'h> {
    /// Reads all appends: the offsets of a partition count up from zero.
    pub(super) fn read(history: &'h History) -> Self {
        let mut writing = Writing {
            appended: Placements::new(),
            breach: None,
            empty: true,
        };
        let mut ends: BTreeMap<(&str, u32), u64> = BTreeMap::new();
        for event in &history.events {
            let What::Published { position, message } = &event.what else {
                continue;
            };
            writing.empty = false;
            let end = ends
                .entry((&position.topic, position.partition))
                .or_default();
            let taken = writing.appended.insert(position, message).is_some();
            if position.offset != *end && writing.breach.is_none() {
                let (rule, fault) = if taken {
                    ("offset-taken", "had been given to another message")
                } else {
                    ("offset-gap", "leaves a gap")
                };
                let summary = format!("the broker appended {position}, but that offset {fault}");
                writing.breach = Some(breach_at(
                    event,
                    history,
                    Violation {
                        rule,
                        position,
                        summary,
                    },
                ));
            }
            *end = (*end).max(position.offset + 1);
        }
        writing
    }

    /// Whether nothing was appended.
    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Everything that is wrong with what was appended, acknowledged and kept.
    pub(super) fn breaches(&self, history: &'h History) -> Vec<Breach<'h>> {
        let appending = self.breach.iter().cloned();
        let answers = history
            .events
            .iter()
            .filter_map(|event| self.wrong_answer(event, history));
        let kept = history
            .events
            .iter()
            .filter_map(|event| self.wrong_end(event, history));
        appending
            .chain(answers)
            .chain(kept)
            .chain(self.missing_end(history))
            .collect()
    }

    /// An acknowledgement that names a position where the event does not stand.
    fn wrong_answer(&self, event: &'h Event, history: &'h History) -> Option<Breach<'h>> {
        let (position, event_id, verb) = match &event.what {
            What::PublishAcknowledged { position, event_id } => {
                (position, event_id, "acknowledged")
            }
            What::PublishDeduplicated { position, event_id } => (position, event_id, "recognised"),
            _ => return None,
        };
        let stands = self.appended.get(position);
        let right = stands.is_some_and(|message| message.event_id() == event_id.as_deref());
        (!right).then(|| {
            let id = event_id.as_deref().unwrap_or("a message without id");
            let summary = format!("the broker {verb} {id} as {position}, where it does not stand");
            let rule = "wrong-answer";
            breach_at(
                event,
                history,
                Violation {
                    rule,
                    position,
                    summary,
                },
            )
        })
    }

    /// A partition that does not end with what was appended to it.
    fn wrong_end(&self, event: &'h Event, history: &'h History) -> Option<Breach<'h>> {
        let What::FinalLog {
            topic,
            partition,
            messages,
        } = &event.what
        else {
            return None;
        };
        let mut appended = self
            .appended
            .partition(topic, *partition)
            .map(|(_, message)| *message);
        let mut kept = messages.iter();
        let mut offset = 0;
        loop {
            let (was, is) = (appended.next(), kept.next());
            if was != is {
                let position = Position {
                    topic: topic.clone(),
                    partition: *partition,
                    offset,
                };
                let fault = match (was, is) {
                    (Some(_), None) => "is missing in the end",
                    (None, _) => "was never appended",
                    (Some(_), Some(_)) => "is another message in the end",
                };
                let summary = format!("{position} {fault}");
                let violation = Violation {
                    rule: "wrong-end",
                    position: &position,
                    summary,
                };
                return Some(breach_at(event, history, violation));
            }
            was?;
            offset += 1;
        }
    }

    /// A partition whose end was not read although others' were.
    fn missing_end(&self, history: &'h History) -> Option<Breach<'h>> {
        let ends: Vec<(&Event, (&str, u32))> = history
            .events
            .iter()
            .filter_map(|event| match &event.what {
                What::FinalLog {
                    topic, partition, ..
                } => Some((event, (&**topic, *partition))),
                _ => None,
            })
            .collect();
        let (last, _) = ends.last()?;
        let (topic, partition) = self
            .appended
            .partitions()
            .find(|own| ends.iter().all(|(_, end)| end != own))?;
        let position = Position {
            topic: topic.into(),
            partition,
            offset: 0,
        };
        let summary = format!("partition {topic}/{partition} is missing in the end");
        let violation = Violation {
            rule: "missing-end",
            position: &position,
            summary,
        };
        Some(breach_at(last, history, violation))
    }
}
