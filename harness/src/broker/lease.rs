//! Leases as NATS JetStream has them: one durable pull consumer for each group and partition.
//!
//! The rules, with their source in the NATS documentation (page "Consumers" unless said otherwise):
//! - A delivery that is not acknowledged within `AckWait` is delivered again, to whichever member
//!   asks; members of a group compete.
//! - `MaxAckPending` bounds what is delivered and not acknowledged, messages that wait for their
//!   redelivery included; a redelivery itself is never held up by the bound.
//! - `nak` asks for a redelivery, after a delay if one is given ("Model Deep Dive", section
//!   "Negative Acks"). What is due for redelivery comes before what was never delivered.
//! - There is no fencing: an acknowledgement counts whenever it arrives and whoever sends it, also
//!   after the lease has ended, as long as the message is not acknowledged yet. A late `nak` of a
//!   message that waits for its redelivery has no effect.
//! - State is that of a file store: pending deliveries, their deadlines and delivery counts survive
//!   the broker ("Persistence"). `MaxDeliver` is unlimited, its default.
//!
//! A message that was acknowledged is never delivered again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::interface::{Handout, MemberId, Refusal, Seen, Settled, Wish};
use super::log::{Log, PartitionIndex};
use super::profile::JetStreamSettings;
use crate::history::{SettleOutcome, What};
use crate::message::Position;

/// One group: its members, and its consumer in each partition.
pub(super) struct JetStreamGroup {
    name: Arc<str>,
    ack_wait: Duration,
    ack_pending_max: usize,
    members: BTreeMap<MemberId, Member>,
    consumers: BTreeMap<PartitionIndex, Consumer>,
}

struct Member {
    host: Arc<str>,
    partitions: Vec<PartitionIndex>,
    /// Which partition is served first by the next fetch.
    turn: usize,
}

/// The durable consumer of one partition: everything below `next` that is not pending has been
/// acknowledged.
#[derive(Default)]
struct Consumer {
    /// The first offset that was never delivered.
    next: u64,
    pending: BTreeMap<u64, Lease>,
}

/// One delivered and unacknowledged message.
struct Lease {
    state: State,
    /// How often it was delivered.
    attempts: u32,
}

#[derive(Clone, Copy)]
enum State {
    /// A member has it, and loses it then.
    Out { until: Duration },
    /// It is to be delivered again, not before then.
    Waiting { due: Duration },
}

impl JetStreamGroup {
    pub(super) fn new(name: Arc<str>, settings: &JetStreamSettings) -> Self {
        JetStreamGroup {
            name,
            ack_wait: settings.ack_wait,
            ack_pending_max: settings.max_ack_pending.max(1) as usize,
            members: BTreeMap::new(),
            consumers: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, id: MemberId, host: Arc<str>, partitions: Vec<PartitionIndex>) {
        let turn = 0;
        let member = Member {
            host,
            partitions,
            turn,
        };
        self.members.insert(id, member);
    }

    pub(super) fn remove(&mut self, id: MemberId) {
        self.members.remove(&id);
    }

    pub(super) fn contains(&self, id: MemberId) -> bool {
        self.members.contains_key(&id)
    }

    /// Leases at most `max` messages to a member, from its partitions in turn.
    pub(super) fn fetch(
        &mut self,
        id: MemberId,
        max: usize,
        now: Duration,
        log: &Log,
        seen: &mut Seen,
    ) -> Result<Vec<Handout>, Refusal> {
        let member = self.members.get_mut(&id).ok_or(Refusal::NotAMember)?;
        let mut handouts = Vec::new();
        for step in 0..member.partitions.len() {
            let index = member.partitions[(member.turn + step) % member.partitions.len()];
            let consumer = self.consumers.entry(index).or_default();
            while handouts.len() < max
                && let Some(offset) = consumer.available(now, self.ack_pending_max, log.end(index))
            {
                let attempt = consumer.lease(offset, now + self.ack_wait);
                let handout = Handout {
                    position: log.position(index, offset),
                    attempt,
                    generation: 0,
                    seek: 0,
                    message: log.partition(index).messages[offset as usize].clone(),
                };
                let delivered = What::Delivered {
                    group: self.name.clone(),
                    position: handout.position.clone(),
                    attempt,
                    generation: 0,
                };
                seen.push((member.host.clone(), delivered));
                handouts.push(handout);
            }
        }
        if !handouts.is_empty() {
            member.turn = (member.turn + 1) % member.partitions.len();
        }
        Ok(handouts)
    }

    /// Acknowledges, or asks for a redelivery. Who asks does not matter.
    pub(super) fn settle(
        &mut self,
        index: PartitionIndex,
        offset: u64,
        wish: Wish,
        now: Duration,
    ) -> Settled {
        let consumer = self.consumers.entry(index).or_default();
        Settled {
            outcome: consumer.settle(offset, wish, now),
            seek: 0,
            generation: Some(0),
        }
    }

    /// Takes back the leases that have ended.
    pub(super) fn expire(&mut self, now: Duration, log: &Log) -> Vec<What> {
        let mut expired = Vec::new();
        for (index, consumer) in &mut self.consumers {
            for (offset, lease) in &mut consumer.pending {
                if matches!(lease.state, State::Out { until } if until <= now) {
                    lease.state = State::Waiting { due: now };
                    let position: Position = log.position(*index, *offset);
                    expired.push(What::LeaseExpired {
                        group: self.name.clone(),
                        position,
                    });
                }
            }
        }
        expired
    }

    /// When a lease ends or a redelivery falls due.
    pub(super) fn next_wakeup(&self, now: Duration) -> Option<Duration> {
        let leases = self.consumers.values().flat_map(|c| c.pending.values());
        leases
            .filter_map(|lease| match lease.state {
                State::Out { until } => Some(until),
                State::Waiting { due } => (due > now).then_some(due),
            })
            .min()
    }

    /// Forgets what the broker holds in memory only: who is a member.
    pub(super) fn restart(&mut self) {
        self.members.clear();
    }

    /// Whether an offset below `end` is not acknowledged.
    pub(super) fn owes(&self, index: PartitionIndex, end: u64) -> bool {
        self.consumers.get(&index).map_or(end > 0, |consumer| {
            consumer.next < end || !consumer.pending.is_empty()
        })
    }

    /// The offsets below `end` that are not acknowledged.
    pub(super) fn unsettled(&self, index: PartitionIndex, end: u64) -> impl Iterator<Item = u64> {
        let consumer = self.consumers.get(&index);
        let pending = consumer.into_iter().flat_map(|c| c.pending.keys().copied());
        pending.chain(consumer.map_or(0, |consumer| consumer.next)..end)
    }
}

impl Consumer {
    /// What would be delivered next: a redelivery that is due, lowest offset first, or else a new
    /// message if the bound leaves room.
    fn available(&self, now: Duration, ack_pending_max: usize, end: u64) -> Option<u64> {
        let due = self
            .pending
            .iter()
            .find(|(_, lease)| matches!(lease.state, State::Waiting { due } if due <= now));
        if let Some((offset, _)) = due {
            return Some(*offset);
        }
        (self.pending.len() < ack_pending_max && self.next < end).then_some(self.next)
    }

    /// Leases an offset and says how often it has now been delivered.
    fn lease(&mut self, offset: u64, until: Duration) -> u32 {
        self.next = self.next.max(offset + 1);
        let lease = self.pending.entry(offset).or_insert(Lease {
            state: State::Out { until },
            attempts: 0,
        });
        lease.state = State::Out { until };
        lease.attempts += 1;
        lease.attempts
    }

    fn settle(&mut self, offset: u64, wish: Wish, now: Duration) -> SettleOutcome {
        let Some(lease) = self.pending.get_mut(&offset) else {
            return SettleOutcome::Stale;
        };
        match (wish, lease.state) {
            (Wish::Ack, _) => {
                self.pending.remove(&offset);
                SettleOutcome::Accepted
            }
            (Wish::Retry { .. }, State::Waiting { .. }) => SettleOutcome::Stale,
            (Wish::Retry { after }, State::Out { .. }) => {
                lease.state = State::Waiting { due: now + after };
                SettleOutcome::Accepted
            }
        }
    }
}
