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

use super::JetStreamSettings;
use crate::broker::consumers::{Consumers, Joining};
use crate::broker::interface::{Claim, Fetch, Handout, MemberId, Refusal, Seen, Settled, Wish};
use crate::broker::log::{Log, PartitionIndex};
use crate::event::{SettleOutcome, What};
use crate::message::Position;

/// One group: its members, and its consumer in each partition.
pub(super) struct JetStreamGroup {
    name: Arc<str>,
    /// Where what the broker does by itself is seen.
    host: Arc<str>,
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
    pub(super) fn new(name: Arc<str>, host: Arc<str>, settings: &JetStreamSettings) -> Self {
        JetStreamGroup {
            name,
            host,
            ack_wait: settings.ack_wait,
            ack_pending_max: settings.unsettled_max() as usize,
            members: BTreeMap::new(),
            consumers: BTreeMap::new(),
        }
    }
}

/// Consumers compete and are never assigned anew: there are no generations.
impl Consumers for JetStreamGroup {
    fn join(&mut self, joining: Joining<'_>, _: Duration, _: &Log, _: &mut Seen) -> u64 {
        for former in joining.leaving {
            self.members.remove(former);
        }
        let member = Member {
            host: joining.host.clone(),
            partitions: joining.partitions,
            turn: 0,
        };
        self.members.insert(joining.id, member);
        0
    }

    /// The member's leases go on until they end.
    fn leave(&mut self, member: MemberId, _: &Log, _: &mut Seen) -> bool {
        self.members.remove(&member).is_some()
    }

    fn heartbeat(&mut self, member: MemberId, _: Duration) -> Result<u64, Refusal> {
        let is_member = self.members.contains_key(&member);
        is_member.then_some(0).ok_or(Refusal::NotAMember)
    }

    /// Leases at most so many messages as are asked for to a member, from its partitions in turn.
    fn fetch(
        &mut self,
        request: &Fetch,
        now: Duration,
        log: &Log,
        seen: &mut Seen,
    ) -> Result<Vec<Handout>, Refusal> {
        let member = self.members.get_mut(&request.member);
        let member = member.ok_or(Refusal::NotAMember)?;
        let mut handouts = Vec::new();
        for step in 0..member.partitions.len() {
            let index = member.partitions[(member.turn + step) % member.partitions.len()];
            let consumer = self.consumers.entry(index).or_default();
            while handouts.len() < request.max
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

    fn may_answer(&self, request: &Fetch, now: Duration, log: &Log) -> bool {
        let Some(member) = self.members.get(&request.member) else {
            return true;
        };
        let new = Consumer::default();
        member.partitions.iter().any(|index| {
            let consumer = self.consumers.get(index).unwrap_or(&new);
            let next = consumer.available(now, self.ack_pending_max, log.end(*index));
            next.is_some()
        })
    }

    /// Acknowledges, or asks for a redelivery. Who asks does not matter.
    fn settle(
        &mut self,
        claim: &Claim,
        wish: Wish,
        partition: PartitionIndex,
        now: Duration,
    ) -> Settled {
        let consumer = self.consumers.entry(partition).or_default();
        Settled {
            outcome: consumer.settle(claim.position.offset, wish, now),
            seek: 0,
            generation: Some(0),
        }
    }

    /// When a lease ends or a redelivery falls due.
    fn next_wakeup(&self, now: Duration, _: &Log) -> Option<Duration> {
        let leases = self.consumers.values().flat_map(|c| c.pending.values());
        leases
            .filter_map(|lease| match lease.state {
                State::Out { until } => Some(until),
                State::Waiting { due } => (due > now).then_some(due),
            })
            .min()
    }

    /// Takes back the leases that have ended.
    fn expire(&mut self, now: Duration, log: &Log, seen: &mut Seen) {
        for (index, consumer) in &mut self.consumers {
            for (offset, lease) in &mut consumer.pending {
                if matches!(lease.state, State::Out { until } if until <= now) {
                    lease.state = State::Waiting { due: now };
                    let position: Position = log.position(*index, *offset);
                    let group = self.name.clone();
                    seen.push((self.host.clone(), What::LeaseExpired { group, position }));
                }
            }
        }
    }

    fn rebalance(&mut self, _: &Log, _: &mut Seen) -> bool {
        false
    }

    /// Who is a member is held in memory only.
    fn restart(&mut self) {
        self.members.clear();
    }

    fn owes(&self, partition: PartitionIndex, end: u64) -> bool {
        self.consumers.get(&partition).map_or(end > 0, |consumer| {
            consumer.next < end || !consumer.pending.is_empty()
        })
    }

    fn unsettled(&self, partition: PartitionIndex, end: u64) -> Box<dyn Iterator<Item = u64> + '_> {
        let consumer = self.consumers.get(&partition);
        let pending = consumer.into_iter().flat_map(|c| c.pending.keys().copied());
        Box::new(pending.chain(consumer.map_or(0, |consumer| consumer.next)..end))
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
