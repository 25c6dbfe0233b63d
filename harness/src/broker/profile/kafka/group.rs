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

use crate::broker::consumers::{Consumers, Joining};
use crate::broker::interface::{Claim, Fetch, Handout, MemberId, Refusal, Seen, Settled, Wish};
use crate::broker::log::{Log, PartitionIndex};
use crate::event::{SettleOutcome, What};

/// One group.
pub(super) struct KafkaGroup {
    name: Arc<str>,
    /// Where what the broker does by itself is seen.
    host: Arc<str>,
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
    pub(super) fn new(name: Arc<str>, host: Arc<str>, session_timeout: Duration) -> Self {
        KafkaGroup {
            name,
            host,
            session_timeout,
            generation: 0,
            members: BTreeMap::new(),
            progress: BTreeMap::new(),
        }
    }

    /// Begins a new generation: assigns every partition anew and goes back to what is committed.
    fn begin_generation(&mut self, log: &Log, seen: &mut Seen) {
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
        seen.push((self.host.clone(), self.announcement(log)));
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

    /// The first offset of a partition that is not committed.
    fn committed(&self, index: PartitionIndex) -> u64 {
        self.progress
            .get(&index)
            .map_or(0, |progress| progress.committed)
    }
}

impl Consumers for KafkaGroup {
    fn join(&mut self, joining: Joining<'_>, now: Duration, log: &Log, seen: &mut Seen) -> u64 {
        for former in joining.leaving {
            self.members.remove(former);
        }
        let mut topics = joining.topics.to_vec();
        topics.sort();
        topics.dedup();
        let member = Member {
            host: joining.host.clone(),
            topics,
            deadline: now + self.session_timeout,
            assigned: Vec::new(),
            turn: 0,
        };
        self.members.insert(joining.id, member);
        self.begin_generation(log, seen);
        self.generation
    }

    fn leave(&mut self, member: MemberId, log: &Log, seen: &mut Seen) -> bool {
        let left = self.members.remove(&member).is_some();
        if left {
            self.begin_generation(log, seen);
        }
        left
    }

    fn heartbeat(&mut self, member: MemberId, now: Duration) -> Result<u64, Refusal> {
        let member = self.members.get_mut(&member).ok_or(Refusal::NotAMember)?;
        member.deadline = now + self.session_timeout;
        Ok(self.generation)
    }

    fn fetch(
        &mut self,
        request: &Fetch,
        now: Duration,
        log: &Log,
        seen: &mut Seen,
    ) -> Result<Vec<Handout>, Refusal> {
        let (current, max) = (self.generation, request.max);
        let member = self.members.get_mut(&request.member);
        let member = member.ok_or(Refusal::NotAMember)?;
        if request.generation != current {
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
            while progress.has_next(index, now, log) && handouts.len() < max {
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

    fn may_answer(&self, request: &Fetch, now: Duration, log: &Log) -> bool {
        let Some(member) = self.members.get(&request.member) else {
            return true;
        };
        let has_next = |index| {
            let progress = self.progress.get(index);
            progress.is_some_and(|progress| progress.has_next(*index, now, log))
        };
        request.generation != self.generation || member.assigned.iter().any(has_next)
    }

    /// Commits, or seeks back. Refused unless the member owns the partition in this generation.
    fn settle(
        &mut self,
        claim: &Claim,
        wish: Wish,
        partition: PartitionIndex,
        now: Duration,
    ) -> Settled {
        let generation = self.generation;
        let member = self.members.get_mut(&claim.member);
        let progress = self.progress.entry(partition).or_default();
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

    /// When a session ends or a paused partition goes on.
    fn next_wakeup(&self, now: Duration, log: &Log) -> Option<Duration> {
        let sessions = self.members.values().map(|member| member.deadline);
        let pauses = self.progress.iter().filter_map(|(index, progress)| {
            let waiting = progress.owner.is_some() && progress.position < log.end(*index);
            (waiting && progress.resume_at > now).then_some(progress.resume_at)
        });
        sessions.chain(pauses).min()
    }

    fn expire(&mut self, now: Duration, log: &Log, seen: &mut Seen) {
        let before = self.members.len();
        self.members.retain(|_, member| now < member.deadline);
        if self.members.len() < before {
            self.begin_generation(log, seen);
        }
    }

    fn rebalance(&mut self, log: &Log, seen: &mut Seen) -> bool {
        let has_members = !self.members.is_empty();
        if has_members {
            self.begin_generation(log, seen);
        }
        has_members
    }

    /// Who is a member is held in memory only.
    fn restart(&mut self) {
        self.members.clear();
        for progress in self.progress.values_mut() {
            progress.owner = None;
        }
    }

    fn owes(&self, partition: PartitionIndex, end: u64) -> bool {
        self.committed(partition) < end
    }

    fn unsettled(&self, partition: PartitionIndex, end: u64) -> Box<dyn Iterator<Item = u64> + '_> {
        Box::new(self.committed(partition)..end)
    }
}

impl Progress {
    /// Whether the owner can be handed a message of the partition.
    fn has_next(&self, partition: PartitionIndex, now: Duration, log: &Log) -> bool {
        now >= self.resume_at && self.position < log.end(partition)
    }

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
