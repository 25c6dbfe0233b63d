//! Consumer groups as Kafka has them: members, generations, assignment, committed offsets and
//! fetch positions.
//!
//! The rules, with their source in the Kafka documentation:
//! - A partition is consumed by one member of a group at a time ("Design", section "The Consumer").
//!   The assignment is `RangeAssignor`'s, the default of `partition.assignment.strategy`.
//! - A member that is not heard of for `session.timeout.ms` is removed, which starts a rebalance
//!   ("Consumer Configs"). Heartbeats and commits count as signs of life, fetches do not.
//! - After a rebalance every member goes on from the committed offset (`KafkaConsumer`, "Offsets
//!   and Consumer Position"; the eager protocol revokes everything).
//! - A commit by a former member or of an old generation is refused (`CommitFailedException`).
//! - Within a generation a message comes again only if the member seeks back to it (`seek`), and
//!   a partition may be paused meanwhile (`pause`).
//!
//! Left out: the time a rebalance waits for members to rejoin. A new generation takes partitions
//! from members in the middle of a message at once, as Kafka does when `rebalance.timeout.ms` has
//! passed. Left out too: commits that go back; the client port never wants one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::interface::{Claim, Handout, MemberId, Refusal, Seen, Settled, Wish};
use super::log::{Log, PartitionIndex};
use crate::history::{SettleOutcome, What};

/// One group.
pub(super) struct KafkaGroup {
    name: Arc<str>,
    session_timeout: Duration,
    generation: u64,
    members: BTreeMap<MemberId, Member>,
    progress: BTreeMap<PartitionIndex, Progress>,
}

struct Member {
    host: Arc<str>,
    topics: Vec<Arc<str>>,
    /// When it is removed unless it is heard of before.
    deadline: Duration,
    assigned: Vec<PartitionIndex>,
    /// Which of the assigned partitions is served first by the next fetch.
    turn: usize,
}

/// How far the group is in one partition. What belongs to a generation is reset with it.
#[derive(Default)]
struct Progress {
    /// The offset after the last one that was committed.
    committed: u64,
    owner: Option<MemberId>,
    /// The next offset that the owner is handed.
    position: u64,
    /// The owner has paused the partition until then.
    resume_at: Duration,
    /// How often an owner has sought back, over all generations.
    seeks: u64,
    /// How often each offset was handed out.
    attempts: Vec<u32>,
}

impl KafkaGroup {
    pub(super) fn new(name: Arc<str>, session_timeout: Duration) -> Self {
        KafkaGroup {
            name,
            session_timeout,
            generation: 0,
            members: BTreeMap::new(),
            progress: BTreeMap::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Adds a member without assigning anything; a rebalance has to follow.
    pub(super) fn add(
        &mut self,
        id: MemberId,
        host: Arc<str>,
        topics: Vec<Arc<str>>,
        now: Duration,
    ) {
        let member = Member {
            host,
            topics,
            deadline: now + self.session_timeout,
            assigned: Vec::new(),
            turn: 0,
        };
        self.members.insert(id, member);
    }

    /// Removes a member and says whether it was one; a rebalance has to follow if it was.
    pub(super) fn remove(&mut self, id: MemberId) -> bool {
        self.members.remove(&id).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Begins a new generation: assigns every partition anew and goes back to what is committed.
    pub(super) fn rebalance(&mut self, log: &Log) -> What {
        self.generation += 1;
        for progress in self.progress.values_mut() {
            progress.owner = None;
            progress.position = progress.committed;
            progress.resume_at = Duration::ZERO;
        }
        for member in self.members.values_mut() {
            member.assigned.clear();
            member.turn = 0;
        }
        for (id, partition) in self.range_assignment(log) {
            let progress = self.progress.entry(partition).or_default();
            progress.owner = Some(id);
            if let Some(member) = self.members.get_mut(&id) {
                member.assigned.push(partition);
            }
        }
        self.announcement(log)
    }

    /// Cuts each topic's partitions into one contiguous range for every member that subscribes to
    /// it, the first members getting one more where the division leaves a rest.
    fn range_assignment(&self, log: &Log) -> Vec<(MemberId, PartitionIndex)> {
        let mut subscribers: BTreeMap<&Arc<str>, Vec<MemberId>> = BTreeMap::new();
        for (id, member) in &self.members {
            for topic in &member.topics {
                subscribers.entry(topic).or_default().push(*id);
            }
        }
        let mut assignment = Vec::new();
        for (topic, members) in subscribers {
            let partitions: Vec<_> = log.partitions_of(topic).into_iter().flatten().collect();
            let (share, rest) = (
                partitions.len() / members.len(),
                partitions.len() % members.len(),
            );
            let mut left = partitions.into_iter();
            for (place, member) in members.into_iter().enumerate() {
                let count = share + usize::from(place < rest);
                assignment.extend(
                    left.by_ref()
                        .take(count)
                        .map(|partition| (member, partition)),
                );
            }
        }
        assignment
    }

    fn announcement(&self, log: &Log) -> What {
        let assignment = self.members.iter().map(|(id, member)| {
            let assigned = member.assigned.iter().map(|index| {
                let partition = log.partition(*index);
                (partition.topic.clone(), partition.number)
            });
            (format!("{}#{}", member.host, id.0), assigned.collect())
        });
        What::Rebalanced {
            group: self.name.clone(),
            generation: self.generation,
            assignment: assignment.collect(),
        }
    }

    /// Notes a sign of life and answers with the generation.
    pub(super) fn heartbeat(&mut self, id: MemberId, now: Duration) -> Result<u64, Refusal> {
        let member = self.members.get_mut(&id).ok_or(Refusal::NotAMember)?;
        member.deadline = now + self.session_timeout;
        Ok(self.generation)
    }

    /// Hands a member what stands at its positions, at most `max` messages.
    pub(super) fn fetch(
        &mut self,
        id: MemberId,
        generation: u64,
        max: usize,
        now: Duration,
        log: &Log,
        seen: &mut Seen,
    ) -> Result<Vec<Handout>, Refusal> {
        let current = self.generation;
        let member = self.members.get_mut(&id).ok_or(Refusal::NotAMember)?;
        if generation != current {
            return Err(Refusal::Rebalanced {
                generation: current,
            });
        }
        let mut handouts = Vec::new();
        for step in 0..member.assigned.len() {
            let index = member.assigned[(member.turn + step) % member.assigned.len()];
            let Some(progress) = self.progress.get_mut(&index) else {
                continue;
            };
            let end = log.end(index);
            while now >= progress.resume_at && progress.position < end && handouts.len() < max {
                handouts.push(progress.hand_out(index, current, log));
            }
        }
        if !handouts.is_empty() {
            member.turn = (member.turn + 1) % member.assigned.len();
        }
        seen.extend(handouts.iter().map(|handout| {
            let delivered = What::Delivered {
                group: self.name.clone(),
                position: handout.position.clone(),
                attempt: handout.attempt,
                generation: current,
            };
            (member.host.clone(), delivered)
        }));
        Ok(handouts)
    }

    /// Commits, or seeks back. Refused unless the member owns the partition in this generation.
    pub(super) fn settle(
        &mut self,
        claim: &Claim,
        wish: Wish,
        index: PartitionIndex,
        now: Duration,
    ) -> Settled {
        let generation = self.generation;
        let member = self.members.get_mut(&claim.member);
        let progress = self.progress.entry(index).or_default();
        let owns = progress.owner == Some(claim.member) && claim.generation == generation;
        let is_member = member.is_some();
        let outcome = match member {
            Some(member) if owns => {
                member.deadline = member.deadline.max(now + self.session_timeout);
                progress.settle(claim.position.offset, wish, now)
            }
            _ => SettleOutcome::Fenced,
        };
        Settled {
            outcome,
            seek: progress.seeks,
            generation: is_member.then_some(generation),
        }
    }

    /// Removes the members whose session is over and says whether there were any.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let before = self.members.len();
        self.members.retain(|_, member| now < member.deadline);
        self.members.len() < before
    }

    /// When a session ends or a paused partition goes on.
    pub(super) fn next_wakeup(&self, now: Duration, log: &Log) -> Option<Duration> {
        let sessions = self.members.values().map(|member| member.deadline);
        let pauses = self.progress.iter().filter_map(|(index, progress)| {
            let waiting = progress.owner.is_some() && progress.position < log.end(*index);
            (waiting && progress.resume_at > now).then_some(progress.resume_at)
        });
        sessions.chain(pauses).min()
    }

    /// Forgets what the broker holds in memory only: who is a member.
    pub(super) fn restart(&mut self) {
        self.members.clear();
        for progress in self.progress.values_mut() {
            progress.owner = None;
        }
    }

    /// The first offset of a partition that is not committed.
    pub(super) fn committed(&self, index: PartitionIndex) -> u64 {
        self.progress
            .get(&index)
            .map_or(0, |progress| progress.committed)
    }
}

impl Progress {
    fn hand_out(&mut self, index: PartitionIndex, generation: u64, log: &Log) -> Handout {
        let offset = self.position;
        self.position += 1;
        if self.attempts.len() as u64 <= offset {
            self.attempts.resize(offset as usize + 1, 0);
        }
        let attempt = &mut self.attempts[offset as usize];
        *attempt += 1;
        Handout {
            position: log.position(index, offset),
            attempt: *attempt,
            generation,
            seek: self.seeks,
            message: log.partition(index).messages[offset as usize].clone(),
        }
    }

    fn settle(&mut self, offset: u64, wish: Wish, now: Duration) -> SettleOutcome {
        match wish {
            Wish::Ack if offset < self.committed => SettleOutcome::Stale,
            Wish::Ack => {
                self.committed = offset + 1;
                SettleOutcome::Accepted
            }
            Wish::Retry { after } => {
                self.position = self.position.min(offset);
                self.resume_at = self.resume_at.max(now + after);
                self.seeks += 1;
                SettleOutcome::Accepted
            }
        }
    }
}
