//! The history: the append-only record of one run, and the only thing that checkers see.
//!
//! Reading order: `digest` the hash chain, `operations` what clients asked and were told; the vocabulary is that of the
//! module `event`. A history never changes after its run; it computes nothing but indexes over itself.

mod digest;
mod operations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use digest::Digest;
pub use operations::{Asked, Told};

use crate::attempts::Attempts;
use crate::broker::{self, Profile};
pub use crate::event::{
    Announcement, Answer, Application, Event, ExternalOutcome, Fact, SettleOutcome, Settlement,
    What, Withholding,
};
use crate::message::{Message, Position};
pub use crate::plan::CLIENT;

/// What the system under test promised to be: written down before the run, read by checkers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The broker that was modelled.
    pub profile: Profile,
    /// Topics, with their number of partitions.
    pub topics: BTreeMap<String, u32>,
    /// Consumer groups, by name.
    pub groups: BTreeMap<String, GroupDescription>,
    /// How many attempts a poison message is given before it is parked, where its group does not say.
    pub attempts: Attempts,
    /// Whether a probe shows the state that events announce.
    #[serde(default)]
    pub is_announced: bool,
    /// Hosts that stand for products, such as the broker: while one of them is down, everybody is in trouble.
    #[serde(default = "the_broker")]
    pub servers: BTreeSet<String>,
}

fn the_broker() -> BTreeSet<String> {
    [broker::HOST.to_owned()].into()
}

impl Default for Description {
    /// An empty system on Kafka.
    fn default() -> Self {
        Description {
            profile: Profile::kafka(),
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            attempts: Attempts::default(),
            is_announced: false,
            servers: the_broker(),
        }
    }
}

/// One consumer group of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescription {
    /// The topics it subscribes to.
    pub topics: Vec<String>,
    /// The event types it has an effect for; empty means all of them.
    pub event_types: Vec<String>,
    /// The topic that its poison messages are parked in.
    pub dead_letters: Option<String>,
    /// How many attempts it gives a poison message, if it has a number of its own.
    #[serde(default)]
    pub attempts: Option<Attempts>,
    /// Whether its events are snapshots, of which the newest makes the older ones superfluous.
    #[serde(default)]
    pub is_superseding: bool,
    /// How long it certainly knows what it has handled, in virtual time, if not for ever.
    #[serde(default)]
    pub memory: Option<Duration>,
    /// Whether a probe shows its effects.
    #[serde(default)]
    pub is_probed: bool,
}

impl GroupDescription {
    /// Whether the group is handed what is published to this topic.
    pub fn hears(&self, topic: &str) -> bool {
        self.topics.iter().any(|own| covers(own, topic))
    }

    /// Whether the group owes an effect to an event of this topic and type.
    pub fn wants(&self, topic: &str, event_type: &str) -> bool {
        self.hears(topic)
            && (self.event_types.is_empty() || self.event_types.iter().any(|own| own == event_type))
    }
}

/// Whether what a group subscribes to covers a topic: it is that topic, or a pattern of NATS' subjects, where `*`
/// stands for one token and a last `>` for one or more.
pub(crate) fn covers(subscribed: &str, topic: &str) -> bool {
    let mut tokens = topic.split('.');
    for own in subscribed.split('.') {
        match (own, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (own, Some(token)) if own == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// The record of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What the system promised to be.
    pub description: Description,
    /// What happened, in order.
    pub events: Vec<Event>,
    digest: Digest,
    buffer: Vec<u8>,
}

impl History {
    /// An empty history of a system.
    pub fn new(description: Description) -> Self {
        History {
            description,
            events: Vec::new(),
            digest: Digest::EMPTY,
            buffer: Vec::new(),
        }
    }

    /// Appends what happened, gives it the next index and extends the digest.
    pub fn record(&mut self, at: Duration, host: &Arc<str>, what: What) -> u64 {
        let index = self.events.len() as u64;
        let event = Event {
            index,
            at,
            host: host.clone(),
            what,
        };
        self.digest = self.digest.chain(&event, &mut self.buffer);
        self.events.push(event);
        index
    }

    /// The hash chain over all events so far.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The message that was published at each position, with the index of its event.
    pub fn published(&self) -> BTreeMap<&Position, (u64, &Arc<Message>)> {
        self.events
            .iter()
            .filter_map(|event| match &event.what {
                What::Published { position, message } => Some((position, (event.index, message))),
                _ => None,
            })
            .collect()
    }

    /// The rows of a view, as they were when the run was over, with the event that shows them.
    pub fn final_state(&self, view: &str) -> Option<(u64, &[BTreeMap<String, Value>])> {
        self.events.iter().find_map(|event| match &event.what {
            What::FinalState {
                view: own, rows, ..
            } if own == view => Some((event.index, &**rows)),
            _ => None,
        })
    }

    /// What a third party booked, in that order: the event, the idempotency key and the request.
    pub fn ledger<'h>(
        &'h self,
        provider: &'h str,
    ) -> impl Iterator<Item = (u64, &'h str, &'h Value)> {
        self.events
            .iter()
            .filter_map(move |event| match &event.what {
                What::ExternalCalled {
                    provider: own,
                    idempotency_key,
                    request,
                    outcome: ExternalOutcome::Booked,
                    ..
                } if **own == *provider => Some((event.index, &**idempotency_key, request)),
                _ => None,
            })
    }
}
