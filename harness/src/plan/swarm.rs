//! The swarm: which kinds of fault one seed has at all.
//!
//! Plans that mix every kind hide what a few kinds together would show; so every seed has a random
//! subset of the kinds that its scenario allows (swarm testing, Groce and others, ISSTA 2012).

use proptest::prelude::*;
use proptest::sample::subsequence;

/// The kinds of fault that a schedule can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each is documented at the action of the same name"
)]
pub enum FaultKind {
    Crash,
    Pause,
    Partition,
    OneWayPartition,
    Latency,
    BrokerOutage,
    CapacityLimit,
    Rebalance,
    LoseAck,
    Duplicate,
    DelaySettle,
    Reorder,
    Poison,
    StatementError,
    Locked,
    Slow,
    CommitLost,
    CommitAnswerLost,
    ExternalOutage,
    ExternalAnswerLost,
}

impl FaultKind {
    /// Every kind there is.
    pub const ALL: &'static [FaultKind] = &[
        FaultKind::Crash,
        FaultKind::Pause,
        FaultKind::Partition,
        FaultKind::OneWayPartition,
        FaultKind::Latency,
        FaultKind::BrokerOutage,
        FaultKind::CapacityLimit,
        FaultKind::Rebalance,
        FaultKind::LoseAck,
        FaultKind::Duplicate,
        FaultKind::DelaySettle,
        FaultKind::Reorder,
        FaultKind::Poison,
        FaultKind::StatementError,
        FaultKind::Locked,
        FaultKind::Slow,
        FaultKind::CommitLost,
        FaultKind::CommitAnswerLost,
        FaultKind::ExternalOutage,
        FaultKind::ExternalAnswerLost,
    ];

    /// The kind in words, as reports count it.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Crash => "crash",
            FaultKind::Pause => "pause",
            FaultKind::Partition => "partition",
            FaultKind::OneWayPartition => "one-way partition",
            FaultKind::Latency => "latency",
            FaultKind::BrokerOutage => "broker outage",
            FaultKind::CapacityLimit => "capacity limit",
            FaultKind::Rebalance => "rebalance",
            FaultKind::LoseAck => "lost ack",
            FaultKind::Duplicate => "duplicate",
            FaultKind::DelaySettle => "delayed settlement",
            FaultKind::Reorder => "reorder",
            FaultKind::Poison => "poison",
            FaultKind::StatementError => "statement error",
            FaultKind::Locked => "locked",
            FaultKind::Slow => "slow statement",
            FaultKind::CommitLost => "commit lost",
            FaultKind::CommitAnswerLost => "commit answer lost",
            FaultKind::ExternalOutage => "external outage",
            FaultKind::ExternalAnswerLost => "external answer lost",
        }
    }

    /// How often the kind is drawn, compared with the others of the swarm. Crashes have the most
    /// places to strike at, so they get the largest share.
    pub(super) fn weight(self) -> u32 {
        match self {
            FaultKind::Crash => 4,
            FaultKind::LoseAck | FaultKind::Duplicate | FaultKind::CommitAnswerLost => 2,
            _ => 1,
        }
    }
}

/// The kinds of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm(Vec<FaultKind>);

impl Swarm {
    /// The kinds in it.
    pub fn kinds(&self) -> impl Iterator<Item = FaultKind> {
        self.0.iter().copied()
    }
}

/// Non-empty subsets of `allowed`, or the empty one where nothing is allowed.
pub(super) fn swarm(allowed: &[FaultKind]) -> BoxedStrategy<Swarm> {
    match allowed.len() {
        0 => Just(Swarm(Vec::new())).boxed(),
        many => subsequence(allowed.to_vec(), 1..=many)
            .prop_map(Swarm)
            .boxed(),
    }
}
