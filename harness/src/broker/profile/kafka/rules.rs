//! Deliveries of the Kafka profile.
//!
//! Within a generation a partition is read straight on from the committed offset, going back only
//! where its member seeks (`KafkaConsumer`, "Offsets and Consumer Position"), and an old generation
//! is served no more (`CommitFailedException`).

use std::collections::BTreeMap;

use crate::broker::rules::{Lane, Rules, Violation};
use crate::event::{Event, SettleOutcome, Settlement, What};
use crate::message::Position;

/// How far one group is in one partition.
#[derive(Default)]
struct Progress {
    /// The offset after the highest that was acknowledged.
    committed: u64,
    generation: u64,
    /// The offset that has to be delivered next in this generation.
    next: u64,
}

/// What the rules have to know of what was read so far.
#[derive(Default)]
pub(super) struct Reading<'h> {
    generations: BTreeMap<&'h str, u64>,
    lanes: BTreeMap<Lane<'h>, Progress>,
}

impl<'h> Rules<'h> for Reading<'h> {
    fn read(&mut self, event: &'h Event) -> Option<Violation<'h>> {
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
                Some(Violation {
                    rule,
                    position,
                    summary: format!("{position} was delivered to {group} {fault}"),
                })
            }
            What::Settled {
                group,
                position,
                settlement,
                outcome: SettleOutcome::Accepted,
                generation,
            } => {
                if let Some((rule, fault)) = self.old(group, *generation) {
                    return Some(Violation {
                        rule,
                        position,
                        summary: format!("{position} was settled by {group} {fault}"),
                    });
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
}

impl<'h> Reading<'h> {
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
