//! The core: the log, the groups of a profile and the broker's faults behind one interface.
//!
//! A pure state machine: time is a parameter, what becomes observable is pushed to a list, and
//! equal calls have equal effects. It knows no connection, no clock and no history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::consumers::{Consumers, Joining};
use super::interface::{
    Capacity, Claim, Fetch, Handout, Join, MemberId, Refusal, Rejection, Seen, Settled, Stamp,
    Standing, Wish, Written,
};
use super::log::{Examined, Log, PartitionIndex};
use super::profile::{Capabilities, Profile};
use crate::event::{SettleOutcome, Settlement, What};
use crate::message::{Message, Position};

/// The broker's state.
pub(crate) struct Core {
    profile: Profile,
    log: Log,
    groups: BTreeMap<Arc<str>, Group>,
    members: u64,
    capacity: Capacity,
    /// The host that the broker's own deeds are recorded at.
    host: Arc<str>,
}

/// One consumer group, declared before the run or created by its first member.
struct Group {
    /// The partitions it was declared to consume; what it owes in them is the backlog.
    declared: Vec<PartitionIndex>,
    consumers: Box<dyn Consumers>,
}

impl Core {
    /// A broker with topics, each with its number of partitions, with groups, each with what it consumes, and nothing in
    /// them. A group starts at the beginning of the log. `host` is what the broker's own deeds are recorded at.
    pub(crate) fn new<'a>(
        profile: &Profile,
        topics: &BTreeMap<String, u32>,
        groups: impl IntoIterator<Item = (&'a str, &'a [String])>,
        host: Arc<str>,
    ) -> Self {
        let mut core = Core {
            log: Log::new(profile.capabilities().deduplication, topics),
            profile: profile.clone(),
            groups: BTreeMap::new(),
            members: 0,
            capacity: Capacity::Unlimited,
            host,
        };
        for (name, topics) in groups {
            let partitions = topics
                .iter()
                .flat_map(|topic| core.log.partitions_of(topic));
            let declared = partitions.flatten().collect();
            core.create_group(name.into(), declared);
        }
        core
    }

    fn create_group(&mut self, name: Arc<str>, declared: Vec<PartitionIndex>) {
        let consumers = self
            .profile
            .model()
            .consumers(name.clone(), self.host.clone());
        let group = Group {
            declared,
            consumers,
        };
        self.groups.insert(name, group);
    }

    /// What the modelled broker does.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.profile.capabilities()
    }

    /// Opens a session for an idempotent producer.
    pub(crate) fn open_producer(&mut self) -> u64 {
        self.log.open_producer()
    }

    /// Appends a message, recognises it, or refuses it and says why.
    pub(crate) fn publish(
        &mut self,
        host: &Arc<str>,
        stamp: Option<Stamp>,
        message: Arc<Message>,
        now: Duration,
        seen: &mut Seen,
    ) -> Result<Written, Rejection> {
        let event_id = message.event_id().map(str::to_owned);
        let examined = match self.log.examine(stamp, &message, now) {
            Ok(Examined::New(_)) if self.capacity == Capacity::UsedUp => Err(Rejection::Capacity),
            Ok(Examined::New(_)) if self.capacity == Capacity::TooSmall => Err(Rejection::TooLarge),
            examined => examined,
        };
        let (written, what) = match examined {
            Ok(Examined::New(index)) => {
                let written = self.log.append(index, stamp, message.clone(), now);
                let position = written.position().clone();
                (Ok(written), What::Published { position, message })
            }
            Ok(Examined::Known(written)) => {
                let position = written.position().clone();
                let what = What::PublishDeduplicated { position, event_id };
                (Ok(written), what)
            }
            Err(rejection) => {
                let what = What::PublishRejected {
                    topic: message.topic.clone(),
                    event_id,
                    reason: rejection.to_string(),
                };
                (Err(rejection), what)
            }
        };
        seen.push((host.clone(), what));
        written
    }

    /// Lets a consumer into a group, which is created if need be, and removes earlier memberships
    /// that it has given up. Answers with the member and the generation, or says which topic does
    /// not exist.
    pub(crate) fn join(
        &mut self,
        request: Join<'_>,
        now: Duration,
        seen: &mut Seen,
    ) -> Result<(MemberId, u64), String> {
        let mut partitions = Vec::new();
        for topic in request.topics {
            let found = self.log.partitions_of(topic);
            partitions.extend(found.ok_or_else(|| format!("unknown topic {topic}"))?);
        }
        if !self.groups.contains_key(request.group) {
            self.create_group(request.group.clone(), Vec::new());
        }
        let Some(group) = self.groups.get_mut(request.group) else {
            return Err(format!("unknown group {}", request.group));
        };
        self.members += 1;
        let joining = Joining {
            id: MemberId(self.members),
            host: request.host,
            topics: request.topics,
            partitions,
            leaving: request.leaving,
        };
        let id = joining.id;
        Ok((id, group.consumers.join(joining, now, &self.log, seen)))
    }

    /// Ends a membership and says whether there was one.
    pub(crate) fn leave(&mut self, group: &str, member: MemberId, seen: &mut Seen) -> bool {
        let group = self.groups.get_mut(group);
        group.is_some_and(|group| group.consumers.leave(member, &self.log, seen))
    }

    /// Notes that a member is alive and answers with the group's generation.
    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        member: MemberId,
        now: Duration,
    ) -> Result<u64, Refusal> {
        let group = self.groups.get_mut(group).ok_or(Refusal::NotAMember)?;
        group.consumers.heartbeat(member, now)
    }

    /// Hands out what a member can have now, which may be nothing.
    pub(crate) fn fetch(
        &mut self,
        request: &Fetch,
        now: Duration,
        seen: &mut Seen,
    ) -> Result<Vec<Handout>, Refusal> {
        let group = self.groups.get_mut(&request.group);
        let group = group.ok_or(Refusal::NotAMember)?;
        group.consumers.fetch(request, now, &self.log, seen)
    }

    /// Whether a fetch, for one message at least, would be answered with something else than nothing.
    pub(crate) fn may_answer(&self, request: &Fetch, now: Duration) -> bool {
        let group = self.groups.get(&request.group);
        group.is_none_or(|group| group.consumers.may_answer(request, now, &self.log))
    }

    /// Settles a delivery, as far as the profile lets it.
    pub(crate) fn settle(
        &mut self,
        host: &Arc<str>,
        claim: &Claim,
        wish: Wish,
        now: Duration,
        seen: &mut Seen,
    ) -> Settled {
        let settled = self.try_settle(claim, wish, now).unwrap_or(Settled {
            outcome: SettleOutcome::Stale,
            seek: 0,
            generation: None,
        });
        let what = What::Settled {
            group: claim.group.clone(),
            position: claim.position.clone(),
            settlement: match wish {
                Wish::Ack => Settlement::Ack,
                Wish::Retry { .. } => Settlement::Retry,
            },
            outcome: settled.outcome,
            generation: claim.generation,
        };
        seen.push((host.clone(), what));
        settled
    }

    /// `None` if the claim speaks of a group or a message that does not exist.
    fn try_settle(&mut self, claim: &Claim, wish: Wish, now: Duration) -> Option<Settled> {
        let index = self.log.find(&claim.position)?;
        if claim.position.offset >= self.log.end(index) {
            return None;
        }
        let group = self.groups.get_mut(&claim.group)?;
        Some(group.consumers.settle(claim, wish, index, now))
    }

    /// When time alone will change something: a session or a lease ends, a redelivery falls due, a
    /// paused partition goes on. May lie in the past if [`Core::expire`] is overdue.
    pub(crate) fn next_wakeup(&self, now: Duration) -> Option<Duration> {
        let groups = self.groups.values();
        let wakeups = groups.filter_map(|group| group.consumers.next_wakeup(now, &self.log));
        wakeups.min()
    }

    /// Ends the sessions and leases whose time is over.
    pub(crate) fn expire(&mut self, now: Duration, seen: &mut Seen) {
        for group in self.groups.values_mut() {
            group.consumers.expire(now, &self.log, seen);
        }
    }
}

/// Faults.
impl Core {
    /// Says whether the broker takes messages from now on.
    pub(crate) fn set_capacity(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// Assigns the partitions of a group anew, and says whether anybody was affected; that is nobody where the profile
    /// assigns none.
    pub(crate) fn rebalance(&mut self, group: &str, seen: &mut Seen) -> bool {
        let group = self.groups.get_mut(group);
        group.is_some_and(|group| group.consumers.rebalance(&self.log, seen))
    }

    /// The broker's process dies: memberships are gone. The log, producers' sequences, the
    /// duplicate window, committed offsets and leases are on disk.
    pub(crate) fn crash(&mut self) {
        for group in self.groups.values_mut() {
            group.consumers.restart();
        }
    }
}

/// What is left to do, and the final state.
impl Core {
    /// Whether a group has settled a message.
    pub(crate) fn is_settled(&self, group: &str, position: &Position) -> bool {
        let found = self.groups.get(group).zip(self.log.find(position));
        found.is_some_and(|(group, index)| {
            let mut unsettled = self.unsettled(group, index);
            !unsettled.any(|offset| offset == position.offset)
        })
    }

    /// Whether every declared group has settled everything, whether it has members or not.
    pub(crate) fn is_idle(&self) -> bool {
        self.groups.values().all(|group| {
            let mut declared = group.declared.iter();
            declared.all(|index| !self.owes(group, *index))
        })
    }

    fn owes(&self, group: &Group, index: PartitionIndex) -> bool {
        group.consumers.owes(index, self.log.end(index))
    }

    /// Describes what declared groups have not settled, or `None` if nothing is left.
    pub(crate) fn backlog(&self) -> Option<String> {
        if self.is_idle() {
            return None;
        }
        let mut waiting = Vec::new();
        for (name, group) in &self.groups {
            for index in &group.declared {
                let mut unsettled = self.unsettled(group, *index);
                if let Some(first) = unsettled.next() {
                    let position = self.log.position(*index, first);
                    let more = match unsettled.count() {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    waiting.push(format!("group {name} has not settled {position}{more}"));
                }
            }
        }
        Some(waiting.join("; "))
    }

    /// How far a group has come in some topics; one that nobody has declared or joined has read nothing.
    pub(crate) fn standing(
        &self,
        group: &str,
        topics: &[Arc<str>],
        now: Duration,
    ) -> Vec<Standing> {
        let group = self.groups.get(group);
        let partitions = topics
            .iter()
            .flat_map(|topic| self.log.partitions_of(topic));
        let standing = partitions.flatten().map(|index| {
            let (partition, end) = (self.log.partition(index), self.log.end(index));
            let unread: Vec<u64> = match group {
                Some(group) => self.unsettled(group, index).collect(),
                None => (0..end).collect(),
            };
            let oldest = unread.first().copied();
            let appended = oldest.and_then(|offset| self.log.appended(index, offset));
            Standing {
                topic: partition.topic.clone(),
                partition: partition.number,
                settled: oldest.unwrap_or(end),
                unread: unread.len() as u64,
                waiting: appended.map(|at| now.saturating_sub(at)),
            }
        });
        standing.collect()
    }

    fn unsettled<'a>(
        &'a self,
        group: &'a Group,
        index: PartitionIndex,
    ) -> Box<dyn Iterator<Item = u64> + 'a> {
        group.consumers.unsettled(index, self.log.end(index))
    }

    /// The end of every partition's log, then how far every group got in what it was declared to
    /// consume.
    pub(crate) fn final_events(&self) -> Vec<What> {
        let logs = self.log.iter().map(|partition| What::FinalLog {
            topic: partition.topic.clone(),
            partition: partition.number,
            messages: partition.messages.clone(),
        });
        let groups = self.groups.iter().flat_map(|(name, group)| {
            group.declared.iter().map(|index| {
                let partition = self.log.partition(*index);
                What::FinalGroup {
                    group: name.clone(),
                    topic: partition.topic.clone(),
                    partition: partition.number,
                    unsettled: self.unsettled(group, *index).collect(),
                }
            })
        });
        logs.chain(groups).collect()
    }
}
