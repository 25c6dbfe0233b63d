//! How far consumer groups have come, as the broker knows it: nobody has to be alive in a group to be asked.

use std::time::Duration;

use async_trait::async_trait;

use super::BrokerError;

/// How far a group has come in one partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The topic.
    pub topic: String,
    /// The partition's number within the topic.
    pub partition: u32,
    /// A number that grows with what the group has settled. Between two brokers it has nothing in common.
    pub settled: u64,
    /// How many messages the group has not settled.
    pub unread: u64,
    /// How long the first of them has been there; `None` if there is none, or the broker does not say.
    pub waiting: Option<Duration>,
    /// Whether a member is known to have a message in hand.
    pub is_in_hand: bool,
}

/// A broker that tells how far groups have come.
#[async_trait]
pub trait Standings: Send + Sync {
    /// How far `group` has come in each partition of `topics`. A group that has read nothing has everything unread.
    ///
    /// # Errors
    /// See [`BrokerError`].
    async fn standing(&self, group: &str, topics: &[&str]) -> Result<Vec<Standing>, BrokerError>;
}
