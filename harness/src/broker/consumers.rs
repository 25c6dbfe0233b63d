//! The consumers of one group, as the core sees them whatever the profile: who is a member, what each is handed, and how
//! far the group has settled.
//!
//! State machines: time is a parameter, and what becomes observable is pushed to a list.

use std::sync::Arc;
use std::time::Duration;

use super::interface::{Claim, Fetch, Handout, MemberId, Refusal, Seen, Settled, Wish};
use super::log::{Log, PartitionIndex};

/// One group of a profile.
pub(crate) trait Consumers: Send {
    /// Lets a member in, after those have gone whose place it takes. Answers with the group's generation, which is zero
    /// for ever where there are none.
    fn join(&mut self, joining: Joining<'_>, now: Duration, log: &Log, seen: &mut Seen) -> u64;

    /// Ends a membership and says whether there was one.
    fn leave(&mut self, member: MemberId, log: &Log, seen: &mut Seen) -> bool;

    /// Notes that a member is alive and answers with the group's generation.
    fn heartbeat(&mut self, member: MemberId, now: Duration) -> Result<u64, Refusal>;

    /// Hands out what a member can have now, which may be nothing.
    fn fetch(
        &mut self,
        request: &Fetch,
        now: Duration,
        log: &Log,
        seen: &mut Seen,
    ) -> Result<Vec<Handout>, Refusal>;

    /// Whether [`Consumers::fetch`] would hand out something now, or refuse to; the request is for one message at least.
    fn may_answer(&self, request: &Fetch, now: Duration, log: &Log) -> bool;

    /// Settles a message of a partition, as far as that is possible.
    fn settle(
        &mut self,
        claim: &Claim,
        wish: Wish,
        partition: PartitionIndex,
        now: Duration,
    ) -> Settled;

    /// When time alone will change something.
    fn next_wakeup(&self, now: Duration, log: &Log) -> Option<Duration>;

    /// Ends the sessions and leases whose time is over.
    fn expire(&mut self, now: Duration, log: &Log, seen: &mut Seen);

    /// Assigns the partitions anew, and says whether anybody was affected.
    fn rebalance(&mut self, log: &Log, seen: &mut Seen) -> bool;

    /// Forgets what the broker holds in memory only.
    fn restart(&mut self);

    /// Whether an offset of the partition below `end` is not settled.
    fn owes(&self, partition: PartitionIndex, end: u64) -> bool;

    /// The offsets of the partition below `end` that are not settled.
    fn unsettled(&self, partition: PartitionIndex, end: u64) -> Box<dyn Iterator<Item = u64> + '_>;
}

/// Who wants to become a member.
pub(crate) struct Joining<'a> {
    pub(crate) id: MemberId,
    /// The host that deliveries to the member are recorded at.
    pub(crate) host: &'a Arc<str>,
    /// The topics it subscribes to, and their partitions.
    pub(crate) topics: &'a [Arc<str>],
    pub(crate) partitions: Vec<PartitionIndex>,
    /// Memberships of the same consumer that it gives up.
    pub(crate) leaving: &'a [MemberId],
}
