//! The interface of the core, as data: who asks, what is handed out, how it is
//! settled, and why a request is refused.
//!
//! Plain data, nothing else.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{SettleOutcome, What};
use crate::message::{Message, Position};

/// What became observable, with the host at which it was seen, in the order in which it happened.
pub(crate) type Seen = Vec<(Arc<str>, What)>;

/// One membership of one consumer in one group. Never given twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct MemberId(pub(crate) u64);

/// A producer's session and the number of the message within it. The client numbers messages in
/// the order in which it sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The producer's session.
    pub(crate) producer: u64,
    /// The number of the message within the session.
    pub(crate) sequence: u64,
}

/// Where a publish ended up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Written {
    /// The message was appended here.
    Appended(Position),
    /// The message was recognised; its first copy stands here.
    Recognised(Position),
}

impl Written {
    /// The position of the message in the log.
    pub(crate) fn position(&self) -> &Position {
        match self {
            Written::Appended(position) | Written::Recognised(position) => position,
        }
    }
}

/// How far a group has come in one partition, as the broker knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number within the topic.
    pub partition: u32,
    /// The offset up to which the group has settled everything.
    pub settled: u64,
    /// How many messages it has not settled.
    pub unread: u64,
    /// How long the first of them has stood in the log.
    pub waiting: Option<Duration>,
}

/// A message as it is handed to a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Handout {
    /// Where it stands.
    pub(crate) position: Position,
    /// How often the group was handed it, this time included.
    pub(crate) attempt: u32,
    /// The group's generation; zero where the profile has none.
    pub(crate) generation: u64,
    /// How often the group had sought back in the partition; what carries a lower number than the
    /// last seek is void, because it will be handed out again.
    pub(crate) seek: u64,
    /// The message.
    pub(crate) message: Arc<Message>,
}

/// A consumer's wish to become a member of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Join<'a> {
    /// The host that deliveries to the member are recorded at.
    pub(crate) host: &'a Arc<str>,
    /// The group.
    pub(crate) group: &'a Arc<str>,
    /// The topics it subscribes to.
    pub(crate) topics: &'a [Arc<str>],
    /// Memberships of the same consumer that it gives up.
    pub(crate) leaving: &'a [MemberId],
}

/// A member's wish for messages.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// The group.
    pub(crate) group: Arc<str>,
    /// The member.
    pub(crate) member: MemberId,
    /// The generation that it believes to be the current one.
    pub(crate) generation: u64,
    /// How many messages it takes at most.
    pub(crate) max: usize,
}

/// The delivery that a settlement speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The group.
    pub(crate) group: Arc<str>,
    /// The member that was handed the message.
    pub(crate) member: MemberId,
    /// The generation in which it was.
    pub(crate) generation: u64,
    /// The message.
    pub(crate) position: Position,
}

/// How a member wants to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// It is done.
    Ack,
    /// It wants the message again.
    Retry {
        /// Not before so much time has passed.
        after: Duration,
    },
}

/// What the broker made of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// The outcome.
    pub(crate) outcome: SettleOutcome,
    /// How often the group has now sought back in the partition.
    pub(crate) seek: u64,
    /// The group's generation, if the one who settles is still a member.
    pub(crate) generation: Option<u64>,
}

/// Why a member gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// It is still a member, but the group has a new generation; what it held is void.
    Rebalanced {
        /// The new generation.
        generation: u64,
    },
    /// It is not a member, or no longer.
    NotAMember,
}

/// Why a publish is refused; nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// The capacity is used up.
    #[error("capacity limit reached")]
    Capacity,
    /// The message is larger than the broker takes.
    #[error("message too large")]
    TooLarge,
    /// There is no such topic.
    #[error("unknown topic {0}")]
    UnknownTopic(String),
    /// A later message of the same producer stands in the partition already.
    #[error("out of order sequence number")]
    OutOfOrder,
}

/// Whether the broker takes more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capacity {
    /// As many as come.
    Unlimited,
    /// None: every publish of a new message is refused.
    UsedUp,
    /// None as large as the next one.
    TooSmall,
}
