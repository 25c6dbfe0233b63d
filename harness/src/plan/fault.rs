//! Faults as data: what is done to the system, and the moment at which it is done.
//!
//! A fault holds no probability and no closure. It prints in one line, compares, and can be saved.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::swarm::FaultKind;

/// One fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When it happens.
    pub trigger: Trigger,
    /// What happens.
    pub action: Action,
}

/// The moment of a fault: a time, or a port call counted from that time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Virtual time in milliseconds since the start of the run.
    pub at_ms: u64,
    /// If given, the fault waits from `at_ms` on for this call instead of happening at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Aim>,
}

/// A port call that a fault aims at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aim {
    /// The host whose call it is.
    pub host: String,
    /// Which of its ports.
    pub call: Call,
    /// The number of the call, from one, among the host's calls of this kind since the trigger's time.
    pub nth: u32,
    /// Before the call has its effect, or after it.
    pub side: Side,
}

/// The ports at which a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Publishing a message.
    Publish,
    /// A delivery reaching the application.
    Receive,
    /// Settling a delivery.
    Settle,
    /// A statement on a database, the beginning of a transaction included.
    Statement,
    /// The commit of a transaction.
    Commit,
    /// A call to a third party.
    External,
}

/// Which side of a call a fault strikes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The call has no effect.
    Before,
    /// The call has had its effect, but the caller does not know.
    After,
}

/// What a fault does. Durations are virtual milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// The host loses its memory and its connections, and starts again after `down_ms`.
    Crash {
        /// The host.
        host: String,
        /// How long it stays down.
        down_ms: u64,
    },
    /// The host stands still for `for_ms` and then goes on as if nothing had happened.
    Pause {
        /// The host.
        host: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// No segment passes between two hosts.
    Partition {
        /// One end.
        a: String,
        /// The other end.
        b: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// No segment passes from one host to another; the way back is open.
    OneWayPartition {
        /// The sending host.
        from: String,
        /// The receiving host.
        to: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// Every segment between two hosts takes `latency_ms`.
    Latency {
        /// One end.
        a: String,
        /// The other end.
        b: String,
        /// How long every segment takes.
        latency_ms: u64,
        /// How long it lasts.
        for_ms: u64,
    },

    /// The broker's process dies and starts again after `for_ms`.
    BrokerOutage {
        /// How long it lasts.
        for_ms: u64,
    },
    /// The broker refuses every publish.
    CapacityLimit {
        /// How long it lasts.
        for_ms: u64,
    },
    /// A consumer group gets a new generation. Kafka only: JetStream has no generations.
    Rebalance {
        /// The consumer group.
        group: String,
    },
    /// The broker appends the message, and the producer never hears of it.
    LoseAck,
    /// The settlement has no effect, and the message is delivered again.
    Duplicate,
    /// The settlement arrives later.
    DelaySettle {
        /// How much later.
        delay_ms: u64,
    },
    /// The delivery is held back while others go on.
    Reorder {
        /// For how long.
        hold_ms: u64,
    },
    /// The payload becomes bytes that nobody can decode.
    Poison,

    /// The statement fails.
    StatementError,
    /// The database is locked by somebody else for so long.
    Locked {
        /// How long it lasts.
        for_ms: u64,
    },
    /// The statement takes so much longer.
    Slow {
        /// How much later.
        delay_ms: u64,
    },
    /// The commit fails, and nothing was written.
    CommitLost,
    /// The commit succeeds, and the caller is told that it failed.
    CommitAnswerLost,

    /// A third party cannot be reached.
    ExternalOutage {
        /// The third party.
        provider: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// A third party books the call, and the caller never hears of it.
    ExternalAnswerLost,
}

impl Action {
    /// The fault's kind, as reports count it.
    pub fn kind(&self) -> &'static str {
        let kind = match self {
            Action::Crash { .. } => FaultKind::Crash,
            Action::Pause { .. } => FaultKind::Pause,
            Action::Partition { .. } => FaultKind::Partition,
            Action::OneWayPartition { .. } => FaultKind::OneWayPartition,
            Action::Latency { .. } => FaultKind::Latency,
            Action::BrokerOutage { .. } => FaultKind::BrokerOutage,
            Action::CapacityLimit { .. } => FaultKind::CapacityLimit,
            Action::Rebalance { .. } => FaultKind::Rebalance,
            Action::LoseAck => FaultKind::LoseAck,
            Action::Duplicate => FaultKind::Duplicate,
            Action::DelaySettle { .. } => FaultKind::DelaySettle,
            Action::Reorder { .. } => FaultKind::Reorder,
            Action::Poison => FaultKind::Poison,
            Action::StatementError => FaultKind::StatementError,
            Action::Locked { .. } => FaultKind::Locked,
            Action::Slow { .. } => FaultKind::Slow,
            Action::CommitLost => FaultKind::CommitLost,
            Action::CommitAnswerLost => FaultKind::CommitAnswerLost,
            Action::ExternalOutage { .. } => FaultKind::ExternalOutage,
            Action::ExternalAnswerLost => FaultKind::ExternalAnswerLost,
        };
        kind.name()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Action::Crash { host, down_ms } => write!(f, "crash {host}, down for {down_ms} ms"),
            Action::Pause { host, for_ms } => write!(f, "pause {host} for {for_ms} ms"),
            Action::Partition { a, b, for_ms } => {
                write!(f, "partition {a} <-/-> {b} for {for_ms} ms")
            }
            Action::OneWayPartition { from, to, for_ms } => {
                write!(f, "partition {from} -/-> {to} for {for_ms} ms")
            }
            Action::Latency {
                a,
                b,
                latency_ms,
                for_ms,
            } => {
                write!(f, "latency {a} <-> {b} of {latency_ms} ms for {for_ms} ms")
            }
            Action::BrokerOutage { for_ms } | Action::CapacityLimit { for_ms } => {
                write!(f, "{kind} for {for_ms} ms")
            }
            Action::Locked { for_ms } => write!(f, "database locked for {for_ms} ms"),
            Action::Rebalance { group } => write!(f, "rebalance {group}"),
            Action::DelaySettle { delay_ms } => write!(f, "{kind} by {delay_ms} ms"),
            Action::Slow { delay_ms } => write!(f, "{kind}, {delay_ms} ms longer"),
            Action::Reorder { hold_ms } => write!(f, "{kind}, held back for {hold_ms} ms"),
            Action::ExternalOutage { provider, for_ms } => {
                write!(f, "{provider} unreachable for {for_ms} ms")
            }
            _ => write!(f, "{kind}"),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7.3} s", self.at_ms as f64 / 1000.0)?;
        let Some(aim) = &self.call else { return Ok(()) };
        let side = match aim.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "  {side} {} #{} of {}", aim.call, aim.nth, aim.host)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Call::Publish => "publish",
            Call::Receive => "receive",
            Call::Settle => "settle",
            Call::Statement => "statement",
            Call::Commit => "commit",
            Call::External => "external call",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.trigger, self.action)
    }
}

impl Fault {
    /// The hosts that the fault names.
    pub(crate) fn hosts_mut(&mut self) -> Vec<&mut String> {
        let mut hosts = match &mut self.action {
            Action::Crash { host, .. } | Action::Pause { host, .. } => vec![host],
            Action::Partition { a, b, .. } | Action::Latency { a, b, .. } => vec![a, b],
            Action::OneWayPartition { from, to, .. } => vec![from, to],
            _ => Vec::new(),
        };
        hosts.extend(self.trigger.call.as_mut().map(|aim| &mut aim.host));
        hosts
    }
}

impl Action {
    /// Whether the struck port applies the fault itself; the nemesis applies the others.
    pub(crate) fn is_for_the_port(&self) -> bool {
        matches!(
            self,
            Action::LoseAck
                | Action::Duplicate
                | Action::DelaySettle { .. }
                | Action::Reorder { .. }
                | Action::Poison
                | Action::StatementError
                | Action::Locked { .. }
                | Action::Slow { .. }
                | Action::CommitLost
                | Action::CommitAnswerLost
                | Action::ExternalAnswerLost
        )
    }

    /// How long the fault lasts once it has begun, in virtual milliseconds.
    pub(crate) fn duration_ms(&self) -> u64 {
        match self {
            Action::Crash { down_ms, .. } => *down_ms,
            Action::Pause { for_ms, .. }
            | Action::Partition { for_ms, .. }
            | Action::OneWayPartition { for_ms, .. }
            | Action::Latency { for_ms, .. }
            | Action::BrokerOutage { for_ms }
            | Action::CapacityLimit { for_ms }
            | Action::Locked { for_ms }
            | Action::ExternalOutage { for_ms, .. } => *for_ms,
            Action::DelaySettle { delay_ms } | Action::Slow { delay_ms } => *delay_ms,
            Action::Reorder { hold_ms } => *hold_ms,
            _ => 0,
        }
    }
}
