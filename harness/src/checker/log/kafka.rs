//! Deliveries of the Kafka profile.
//!
//! Within a generation a partition is read straight on from the committed offset, going back only
//! where its member seeks (`KafkaConsumer`, "Offsets and Consumer Position"), and an old generation
//! is served no more (`CommitFailedException`).

use std::collections::BTreeMap;

use super::{Fault, breach_at};
use crate::checker::breach::Breach;
use crate::checker::lane::Lane;
use crate::history::{Event, History, SettleOutcome, Settlement, What};
use crate::message::Position;

/// The first delivery or settlement that breaks a rule.
pub(super) fn breach(history: &History) -> Option<Breach<'_>> {
    let mut reading = Reading {
        generations: BTreeMap::new(),
        lanes: BTreeMap::new(),
    };
    history.events.iter().find_map(|event| {
        let fault = reading.read(event)?;
        Some(breach_at(event, history, fault))
    })
}

/// How far one group is in one partition.
#[derive(Default)]
struct Progress {
    /// The offset after the highest that was acknowledged.
    committed: u64,
    generation: u64,
    /// The offset that has to be delivered next in this generation.
    next: u64,
}

struct Reading<'h> {
    generations: BTreeMap<&'h str, u64>,
    lanes: BTreeMap<Lane<'h>, Progress>,
}

impl<'h> Reading<'h> {
    /// Takes one more event into account; answers with the rule that it breaks.
    fn read(&mut self, event: &'h Event) -> Option<Fault<'h>> {
        match &event.what {
            What::Rebalanced {
                group, generation, ..
            } => {
                self.generations.insert(group, *generation);
                None
            }
            What::Delivered {
                group,
                position,
                generation,
                ..
            } => {
                let (rule, fault) = self
                    .old(group, *generation)
                    .or_else(|| self.deliver(group, position, *generation))?;
                let fault = format!("{position} was delivered to {group} {fault}");
                Some((rule, position, fault))
            }
            What::Settled {
                group,
                position,
                settlement,
                outcome: SettleOutcome::Accepted,
                generation,
            } => {
                if let Some((rule, fault)) = self.old(group, *generation) {
                    let fault = format!("{position} was settled by {group} {fault}");
                    return Some((rule, position, fault));
                }
                let progress = self.lanes.entry(Lane::of(group, position)).or_default();
                match settlement {
                    Settlement::Ack => {
                        progress.committed = progress.committed.max(position.offset + 1)
                    }
                    Settlement::Retry => progress.next = progress.next.min(position.offset),
                }
                None
            }
            _ => None,
        }
    }

    fn old(&self, group: &str, generation: u64) -> Option<(&'static str, String)> {
        let current = *self.generations.get(group)?;
        let fault = || format!("in generation {generation}, when {current} was current");
        (generation != current).then(|| ("old-generation", fault()))
    }

    fn deliver(
        &mut self,
        group: &'h str,
        position: &'h Position,
        generation: u64,
    ) -> Option<(&'static str, String)> {
        let progress = self.lanes.entry(Lane::of(group, position)).or_default();
        if progress.generation != generation {
            progress.generation = generation;
            progress.next = progress.committed;
        }
        let (expected, offset) = (progress.next, position.offset);
        progress.next = offset + 1;
        match offset {
            _ if offset == expected => None,
            _ if offset < progress.committed => Some((
                "settled-again",
                "again after its acknowledgement".to_owned(),
            )),
            _ if offset < expected => Some((
                "goes-back",
                format!("out of turn, going back from {expected}"),
            )),
            _ => Some(("skips", format!("out of turn, skipping {expected}"))),
        }
    }
}
