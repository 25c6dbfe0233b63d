//! The vocabulary of a history: everything that is recorded, as plain data.
//!
//! Events are written at the ports and inside the broker. A service's own claims appear only as
//! [`What::Logged`], and no checker but `log-correlation` reads those.

mod narrative;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::{Message, Position};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the history, from zero, in the order in which things really happened.
    pub index: u64,
    /// Virtual time since the start of the run; it never goes back.
    pub at: Duration,
    /// The host at whose port it was seen; `nemesis` and `harness` stand for the harness itself.
    pub host: Arc<str>,
    /// What happened.
    pub what: What,
}

/// What a database holds after a commit that it did not hold before, as a probe saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// State was committed that an event has to announce.
    Announced(Announcement),
    /// A consumer's effect of an event was committed.
    Applied(Application),
    /// A consumer decided not to apply an event and left an audit entry that says so.
    Discarded(Application),
    /// Who has to publish an event has put it aside, because no broker takes it as it is.
    Withheld(Withholding),
}

/// An event that is committed and not published until somebody has seen to it. Later events of its entity wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withholding {
    /// The event.
    pub event_id: String,
    /// The entity that it is about; empty if the system does not say.
    pub entity: String,
    /// Why it cannot be published, for a person.
    pub reason: String,
}

/// State whose event has to reach every subscribed group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The id that the published event carries in its `event-id` header.
    pub event_id: String,
    /// The entity that the event is about; order is promised per entity.
    pub entity: String,
    /// The topic that it has to be published to.
    pub topic: String,
    /// The event's type; empty if the system does not use types.
    pub event_type: String,
    /// The flow that the state change belongs to; empty if the system does not say.
    pub correlation_id: String,
    /// The id of the event that caused the state change; at the ingress that of the request, or empty.
    pub cause_id: String,
    /// Whether a flow begins with it; `None` if the system does not say.
    pub is_root: Option<bool>,
}

/// The effect of one event on the state of one consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The consumer (the broker's group) whose effect it is.
    pub consumer: String,
    /// The id of the event that was applied.
    pub event_id: String,
    /// The entity that the effect is about.
    pub entity: String,
    /// A few words on what was done, for a person.
    pub effect: String,
    /// The flow that the effect was booked under; empty if the system does not say.
    pub correlation_id: String,
}

/// How a consumer settled a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    /// Done with it (offset commit, ack, delete).
    Ack,
    /// Not done; wants it again later (seek back, nak with delay, visibility timeout).
    Retry,
}

/// What the broker made of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettleOutcome {
    /// It took effect.
    Accepted,
    /// Refused: the consumer no longer owns the partition (its generation is over).
    Fenced,
    /// Took no effect: the message had been settled or its lease had ended.
    Stale,
}

/// How an operation of the workload ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The system answered that it was done.
    Done,
    /// The system refused, timed out or broke off; the operation may or may not have happened.
    Failed,
    /// The operation panicked at the client, as an assertion does that fails.
    Panicked,
}

/// What a third party answered, from its own ledger's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternalOutcome {
    /// A new entry in the third party's ledger.
    Booked,
    /// The idempotency key was known; the first answer was given again and nothing was booked.
    Repeated,
    /// Refused for a reason that belongs to the business, such as a declined card.
    Refused,
    /// Not reachable; nothing was booked.
    Unavailable,
}

/// Everything that can happen in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A workload operation was sent to the system.
    OperationInvoked {
        /// The operation, by its index in the plan.
        operation: usize,
        /// The operation, as JSON.
        text: String,
    },
    /// A workload operation was answered.
    OperationAnswered {
        /// The operation, by its index in the plan.
        operation: usize,
        /// How it ended.
        answer: Answer,
        /// The answer as JSON, or the error in words.
        text: String,
    },

    /// A host's software began to run, for the first time or again.
    HostStarted {
        /// How often the host has been started, this time included.
        incarnation: u32,
    },
    /// A host died: its ports are dead from here on.
    HostCrashed,
    /// A host's software was told to stop; it is dropped at the time given if it has not come to its
    /// end by then.
    HostStopping {
        /// When it has to have ended.
        until: Duration,
    },
    /// A host's software came to its end because it was told to stop (`error` says how, if it failed or
    /// was late).
    HostStopped {
        /// The error, if it failed or was late.
        error: Option<String>,
    },
    /// A host stands still; its ports answer again at the time given.
    HostPaused {
        /// When it goes on.
        until: Duration,
    },
    /// A host's software came to an end by itself (`error` says how, if it failed).
    HostExited {
        /// The error, if it failed.
        error: Option<String>,
    },

    /// A fault of the plan (by its index there) had an effect.
    FaultBit {
        /// The fault, by its index in the plan.
        fault: usize,
        /// What the effect was.
        text: String,
    },
    /// A fault of the plan ended.
    FaultLifted {
        /// The fault, by its index in the plan.
        fault: usize,
    },
    /// All faults are lifted and every host is up: the heal phase begins.
    HealBegan,
    /// The system came to rest in the heal phase.
    Quiet {
        /// Work that went on although nothing owed was left, in words for a person.
        background: Vec<String>,
    },
    /// The system had not come to rest at the liveness bound.
    LivenessBoundReached {
        /// What it was still waiting for.
        waiting_for: String,
    },

    /// The broker appended a message; the host is the producer.
    Published {
        /// Where the message stands.
        position: Position,
        /// The message.
        message: Arc<Message>,
    },
    /// The broker recognised a republication and did not append it again.
    PublishDeduplicated {
        /// Where the first one stands.
        position: Position,
        /// The event's id, if the producer gave it one.
        event_id: Option<String>,
    },
    /// The broker refused a message; nothing was appended.
    PublishRejected {
        /// The topic.
        topic: String,
        /// The event's id, if the producer gave it one.
        event_id: Option<String>,
        /// Why.
        reason: String,
    },
    /// A producer learnt that its message stands in the log.
    PublishAcknowledged {
        /// Where the message stands.
        position: Position,
        /// The event's id, if the producer gave it one.
        event_id: Option<String>,
    },
    /// A producer never learnt what became of its message.
    PublishUnknown {
        /// The topic.
        topic: String,
        /// The event's id, if the producer gave it one.
        event_id: Option<String>,
    },

    /// A group has a new generation with this assignment of partitions.
    Rebalanced {
        /// The group.
        group: Arc<str>,
        /// The group's generation at that moment; zero where the profile has none.
        generation: u64,
        /// Partitions by member.
        assignment: BTreeMap<String, Vec<(Arc<str>, u32)>>,
    },
    /// The broker handed a message to a consumer of a group (the event's host).
    Delivered {
        /// The group.
        group: Arc<str>,
        /// Where the message stands.
        position: Position,
        /// How often the group was handed this message, this time included.
        attempt: u32,
        /// The group's generation at that moment; zero where the profile has none.
        generation: u64,
    },
    /// The host's group cannot decode this message, from here on; the fault that makes it so is not in
    /// the log.
    MadePoison {
        /// The group.
        group: Arc<str>,
        /// Where the message stands.
        position: Position,
    },
    /// A consumer's settlement reached the broker.
    Settled {
        /// The group.
        group: Arc<str>,
        /// Where the message stands.
        position: Position,
        /// What the consumer asked for.
        settlement: Settlement,
        /// What the broker made of it.
        outcome: SettleOutcome,
        /// The group's generation at that moment; zero where the profile has none.
        generation: u64,
    },
    /// The broker took a delivery back that was not settled in time.
    LeaseExpired {
        /// The group.
        group: Arc<str>,
        /// Where the message stands.
        position: Position,
    },
    /// The end of a partition's log, read when the run was over.
    FinalLog {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The messages, by offset.
        messages: Vec<Arc<Message>>,
    },
    /// How far a group got in a partition, read when the run was over.
    FinalGroup {
        /// The group.
        group: Arc<str>,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// Offsets that the group has not settled.
        unsettled: Vec<u64>,
    },

    /// A transaction that wrote something was committed.
    Committed {
        /// The database.
        database: Arc<str>,
    },
    /// A transaction was rolled back by its owner, by a crash or by an injected fault.
    RolledBack {
        /// The database.
        database: Arc<str>,
        /// Who or what did it.
        why: String,
    },
    /// A statement failed.
    StatementFailed {
        /// The database.
        database: Arc<str>,
        /// What the caller was told.
        error: String,
    },
    /// A probe saw something new after a commit.
    Observed {
        /// The database.
        database: Arc<str>,
        /// The commit after which it looked, by the index of its event.
        commit: u64,
        /// What it saw.
        fact: Fact,
    },
    /// A query of the final state, read when the run was over.
    FinalState {
        /// The database.
        database: Arc<str>,
        /// The query's name.
        view: String,
        /// Its rows, by column.
        rows: Vec<BTreeMap<String, Value>>,
    },

    /// A host called a third party.
    ExternalCalled {
        /// The third party.
        provider: Arc<str>,
        /// The key by which the third party tells calls apart.
        idempotency_key: String,
        /// What it was asked for.
        request: Value,
        /// What the third party made of it.
        outcome: ExternalOutcome,
        /// Whether the answer got back to the caller.
        answered: bool,
    },

    /// A log line of the system.
    Logged {
        /// The level, such as `WARN`.
        level: String,
        /// The line, with its fields.
        message: String,
        /// The correlation id of the innermost span or of the line itself, if it has one.
        correlation_id: Option<String>,
    },

    /// The broker refuses an event of the host as too large, from here on until the fault is over.
    MadeTooLarge {
        /// The fault, by its index in the plan.
        fault: usize,
        /// The event.
        event_id: String,
    },
    /// Code of a host panicked, in whatever task or thread, whether anybody noticed or not.
    Panicked {
        /// What it said.
        message: String,
        /// Where, as `src/relay.rs:52:9`; empty if that is not known.
        place: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.3} s  #{:<5} {:<12} {}",
            self.at.as_secs_f64(),
            self.index,
            self.host,
            self.what
        )
    }
}
