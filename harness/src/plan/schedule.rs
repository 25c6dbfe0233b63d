//! The fault schedule: proptest strategies for discrete faults against a given system.
//!
//! Only faults that the system can meet are generated: a host that exists, a group that the broker
//! knows, a provider that somebody calls. Which kinds a seed has at all is the swarm's choice.

use proptest::prelude::*;
use proptest::sample::select;

use super::fault::{Action, Aim, Call, Fault, Side, Trigger};
use super::swarm::{FaultKind, Swarm};

/// What there is to be struck.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Hosts whose process may crash or pause, and whose port calls may be struck.
    pub hosts: Vec<String>,
    /// Hosts that open transactions.
    pub database_hosts: Vec<String>,
    /// Hosts that publish.
    pub publishers: Vec<String>,
    /// Hosts that consume.
    pub consumers: Vec<String>,
    /// Pairs of hosts that talk to each other.
    pub links: Vec<(String, String)>,
    /// Consumer groups.
    pub groups: Vec<String>,
    /// Third parties, and the hosts that call them.
    pub providers: Vec<String>,
    /// Hosts that call third parties.
    pub external_hosts: Vec<String>,
}

impl Targets {
    /// Forgets every host that is not one of `hosts`, and every link that touches none of them.
    pub(crate) fn keep_only(&mut self, hosts: &[String]) {
        let lists = [
            &mut self.hosts,
            &mut self.database_hosts,
            &mut self.publishers,
            &mut self.consumers,
            &mut self.external_hosts,
        ];
        for list in lists {
            list.retain(|host| hosts.contains(host));
        }
        self.links
            .retain(|(a, b)| hosts.contains(a) || hosts.contains(b));
    }
}

/// The budget of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The greatest number of faults in one plan.
    pub faults_max: usize,
    /// Faults begin within this time, in virtual milliseconds.
    pub over_ms: u64,
    /// The longest that one fault lasts, in virtual milliseconds.
    pub duration_ms_max: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            faults_max: 12,
            over_ms: 6_000,
            duration_ms_max: 4_000,
        }
    }
}

/// Schedules of the faults that `swarm` has, against `targets`, within `budget`.
pub(super) fn schedule(
    swarm: &Swarm,
    targets: &Targets,
    budget: &Budget,
) -> BoxedStrategy<Vec<Fault>> {
    let choices: Vec<(u32, BoxedStrategy<Fault>)> = swarm
        .kinds()
        .filter_map(|kind| one(kind, targets, budget).map(|fault| (kind.weight(), fault)))
        .collect();
    if choices.is_empty() || budget.faults_max == 0 {
        return Just(Vec::new()).boxed();
    }
    prop::collection::vec(
        proptest::strategy::Union::new_weighted(choices),
        1..=budget.faults_max,
    )
    .prop_map(|mut faults| {
        faults.sort_by_key(|fault| fault.trigger.at_ms);
        faults
    })
    .boxed()
}

/// A strategy for one fault of `kind`, or `None` where the system offers it no target.
fn one(kind: FaultKind, targets: &Targets, budget: &Budget) -> Option<BoxedStrategy<Fault>> {
    let at = 0..budget.over_ms.max(1);
    let long = 200..=budget.duration_ms_max.max(201);
    let short = 20..=1_500_u64;
    let hosts = one_of(&targets.hosts);
    let timed = |action: BoxedStrategy<Action>| Some(fault(timed_trigger(at.clone()), action));
    let aimed = |hosts: &[String],
                 calls: &'static [Call],
                 side: &'static [Side],
                 action: BoxedStrategy<Action>| {
        Some(fault(
            aimed_trigger(at.clone(), one_of(hosts)?, calls, side),
            action,
        ))
    };
    const BEFORE: &[Side] = &[Side::Before];
    match kind {
        FaultKind::Crash => {
            let calls = prop_oneof![
                Just(None),
                (
                    select(CRASH_CALLS),
                    select(&[Side::Before, Side::After][..]),
                    1..=6_u32
                )
                    .prop_map(Some)
            ];
            Some(
                (at, hosts?, calls, 50..=2_500_u64)
                    .prop_map(|(at_ms, host, call, down_ms)| Fault {
                        trigger: Trigger {
                            at_ms,
                            call: call.map(|(call, side, nth)| Aim {
                                host: host.clone(),
                                call,
                                nth,
                                side,
                            }),
                        },
                        action: Action::Crash { host, down_ms },
                    })
                    .boxed(),
            )
        }
        FaultKind::Pause => timed(
            (hosts?, 500..=6_000_u64)
                .prop_map(|(host, for_ms)| Action::Pause { host, for_ms })
                .boxed(),
        ),
        FaultKind::Partition => timed(
            (one_of(&targets.links)?, long)
                .prop_map(|((a, b), for_ms)| Action::Partition { a, b, for_ms })
                .boxed(),
        ),
        FaultKind::OneWayPartition => timed(
            (one_of(&targets.links)?, any::<bool>(), long)
                .prop_map(|((a, b), turned, for_ms)| {
                    let (from, to) = if turned { (b, a) } else { (a, b) };
                    Action::OneWayPartition { from, to, for_ms }
                })
                .boxed(),
        ),
        FaultKind::Latency => timed(
            (one_of(&targets.links)?, 50..=800_u64, long)
                .prop_map(|((a, b), latency_ms, for_ms)| Action::Latency {
                    a,
                    b,
                    latency_ms,
                    for_ms,
                })
                .boxed(),
        ),
        FaultKind::BrokerOutage => timed(
            long.prop_map(|for_ms| Action::BrokerOutage { for_ms })
                .boxed(),
        ),
        FaultKind::CapacityLimit => timed(
            long.prop_map(|for_ms| Action::CapacityLimit { for_ms })
                .boxed(),
        ),
        FaultKind::Rebalance => timed(
            one_of(&targets.groups)?
                .prop_map(|group| Action::Rebalance { group })
                .boxed(),
        ),
        FaultKind::LoseAck => aimed(
            &targets.publishers,
            &[Call::Publish],
            BEFORE,
            Just(Action::LoseAck).boxed(),
        ),
        FaultKind::Duplicate => aimed(
            &targets.consumers,
            &[Call::Settle],
            BEFORE,
            Just(Action::Duplicate).boxed(),
        ),
        FaultKind::DelaySettle => aimed(
            &targets.consumers,
            &[Call::Settle],
            BEFORE,
            (50..=4_000_u64)
                .prop_map(|delay_ms| Action::DelaySettle { delay_ms })
                .boxed(),
        ),
        FaultKind::Reorder => aimed(
            &targets.consumers,
            &[Call::Receive],
            BEFORE,
            (50..=2_000_u64)
                .prop_map(|hold_ms| Action::Reorder { hold_ms })
                .boxed(),
        ),
        FaultKind::Poison => aimed(
            &targets.publishers,
            &[Call::Publish],
            BEFORE,
            Just(Action::Poison).boxed(),
        ),
        FaultKind::StatementError => aimed(
            &targets.database_hosts,
            &[Call::Statement],
            BEFORE,
            Just(Action::StatementError).boxed(),
        ),
        FaultKind::Locked => aimed(
            &targets.database_hosts,
            &[Call::Statement],
            BEFORE,
            short.prop_map(|for_ms| Action::Locked { for_ms }).boxed(),
        ),
        FaultKind::Slow => aimed(
            &targets.database_hosts,
            &[Call::Statement],
            BEFORE,
            short.prop_map(|delay_ms| Action::Slow { delay_ms }).boxed(),
        ),
        FaultKind::CommitLost => aimed(
            &targets.database_hosts,
            &[Call::Commit],
            BEFORE,
            Just(Action::CommitLost).boxed(),
        ),
        FaultKind::CommitAnswerLost => aimed(
            &targets.database_hosts,
            &[Call::Commit],
            BEFORE,
            Just(Action::CommitAnswerLost).boxed(),
        ),
        FaultKind::ExternalOutage => timed(
            (one_of(&targets.providers)?, long)
                .prop_map(|(provider, for_ms)| Action::ExternalOutage { provider, for_ms })
                .boxed(),
        ),
        FaultKind::ExternalAnswerLost => aimed(
            &targets.external_hosts,
            &[Call::External],
            BEFORE,
            Just(Action::ExternalAnswerLost).boxed(),
        ),
    }
}

const CRASH_CALLS: &[Call] = &[
    Call::Publish,
    Call::Receive,
    Call::Settle,
    Call::Statement,
    Call::Commit,
    Call::External,
];

fn fault(trigger: BoxedStrategy<Trigger>, action: BoxedStrategy<Action>) -> BoxedStrategy<Fault> {
    (trigger, action)
        .prop_map(|(trigger, action)| Fault { trigger, action })
        .boxed()
}

fn timed_trigger(at: std::ops::Range<u64>) -> BoxedStrategy<Trigger> {
    at.prop_map(|at_ms| Trigger { at_ms, call: None }).boxed()
}

fn aimed_trigger(
    at: std::ops::Range<u64>,
    host: BoxedStrategy<String>,
    calls: &'static [Call],
    sides: &'static [Side],
) -> BoxedStrategy<Trigger> {
    (at, host, select(calls), select(sides), 1..=4_u32)
        .prop_map(|(at_ms, host, call, side, nth)| Trigger {
            at_ms,
            call: Some(Aim {
                host,
                call,
                nth,
                side,
            }),
        })
        .boxed()
}

/// One of several, or `None` where there is none.
fn one_of<T: Clone + std::fmt::Debug + Send + Sync + 'static>(
    choices: &[T],
) -> Option<BoxedStrategy<T>> {
    (!choices.is_empty()).then(|| select(choices.to_vec()).boxed())
}
