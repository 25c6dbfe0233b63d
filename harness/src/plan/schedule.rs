//! The fault schedule: proptest strategies for discrete faults against a given system.
//!
//! Only faults that the system can meet are generated: a host that exists, a group that the broker
//! knows, a provider that somebody calls. Which kinds a seed has at all is the swarm's choice.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::fault::{Action, Aim, Call, Fault, Side, Trigger};
use super::swarm::{FaultKind, Swarm};
use super::topology::{Services, instance_names, service_of};

/// What there is to be struck.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Hosts whose process may crash or pause, and whose port calls may be struck.
    pub hosts: Vec<String>,
    /// Which host calls which of its ports.
    pub calls: Vec<(String, Call)>,
    /// Pairs of hosts that talk to each other.
    pub links: Vec<(String, String)>,
    /// Consumer groups.
    pub groups: Vec<String>,
    /// Third parties.
    pub providers: Vec<String>,
}

impl Targets {
    /// Forgets every host that `keep` does not want, and every link that touches none of the others.
    pub(crate) fn keep_only(&mut self, keep: impl Fn(&str) -> bool) {
        self.hosts.retain(|host| keep(host));
        self.calls.retain(|(host, _)| keep(host));
        self.links.retain(|(a, b)| keep(a) || keep(b));
    }

    /// Grants every instance of a service what one of them was seen to do: which of them gets a
    /// partition, or a request, differs from run to run.
    pub(crate) fn level(&mut self, services: &Services) {
        let alike = |host: &String| match service_of(services, host) {
            Some(service) => instance_names(service, *services[service].end()).collect(),
            None => vec![host.clone()],
        };
        let calls = self.calls.iter();
        let calls = calls.flat_map(|(host, call)| alike(host).into_iter().map(|own| (own, *call)));
        self.calls = calls.collect::<BTreeSet<_>>().into_iter().collect();
        let links = self.links.iter().flat_map(|(a, b)| {
            let ends = alike(b);
            let pairs = alike(a).into_iter();
            pairs.flat_map(move |a| ends.clone().into_iter().map(move |b| (a.clone(), b)))
        });
        let links = links.filter(|(a, b)| a != b);
        let links = links.map(|(a, b)| if a < b { (a, b) } else { (b, a) });
        self.links = links.collect::<BTreeSet<_>>().into_iter().collect();
    }

    /// What there is to be struck where so many instances run.
    pub(super) fn within(&self, services: &Services, instances: &BTreeMap<String, u32>) -> Targets {
        let runs = |host: &str| match service_of(services, host) {
            Some(service) => {
                let most = instances.get(service).copied().unwrap_or(1);
                instance_names(service, most).any(|own| own == host)
            }
            None => true,
        };
        let mut own = self.clone();
        own.hosts.retain(|host| runs(host));
        own.calls.retain(|(host, _)| runs(host));
        own.links.retain(|(a, b)| runs(a) && runs(b));
        own
    }

    /// The hosts that make this call.
    fn making(&self, call: Call) -> Vec<String> {
        let calls = self.calls.iter().filter(|(_, made)| *made == call);
        calls.map(|(host, _)| host.clone()).collect()
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
    let aimed = |call: Call, action: BoxedStrategy<Action>| {
        let host = one_of(&targets.making(call))?;
        Some(fault(aimed_trigger(at.clone(), host, call), action))
    };
    match kind {
        FaultKind::Crash => crash(targets, at),
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
        FaultKind::LoseAck => aimed(Call::Publish, Just(Action::LoseAck).boxed()),
        FaultKind::Duplicate => aimed(Call::Settle, Just(Action::Duplicate).boxed()),
        FaultKind::DelaySettle => aimed(
            Call::Settle,
            (50..=4_000_u64)
                .prop_map(|delay_ms| Action::DelaySettle { delay_ms })
                .boxed(),
        ),
        FaultKind::Reorder => aimed(
            Call::Receive,
            (50..=2_000_u64)
                .prop_map(|hold_ms| Action::Reorder { hold_ms })
                .boxed(),
        ),
        FaultKind::Poison => aimed(Call::Publish, Just(Action::Poison).boxed()),
        FaultKind::StatementError => aimed(Call::Statement, Just(Action::StatementError).boxed()),
        FaultKind::Locked => aimed(
            Call::Statement,
            short.prop_map(|for_ms| Action::Locked { for_ms }).boxed(),
        ),
        FaultKind::Slow => aimed(
            Call::Statement,
            short.prop_map(|delay_ms| Action::Slow { delay_ms }).boxed(),
        ),
        FaultKind::CommitLost => aimed(Call::Commit, Just(Action::CommitLost).boxed()),
        FaultKind::CommitAnswerLost => aimed(Call::Commit, Just(Action::CommitAnswerLost).boxed()),
        FaultKind::ExternalOutage => timed(
            (one_of(&targets.providers)?, long)
                .prop_map(|(provider, for_ms)| Action::ExternalOutage { provider, for_ms })
                .boxed(),
        ),
        FaultKind::ExternalAnswerLost => {
            aimed(Call::External, Just(Action::ExternalAnswerLost).boxed())
        }
    }
}

/// Crashes at a time, or at a call that the host is known to make, on either side of it.
fn crash(targets: &Targets, at: std::ops::Range<u64>) -> Option<BoxedStrategy<Fault>> {
    let at_a_time = one_of(&targets.hosts)?.prop_map(|host| (host, None));
    let where_to = match one_of(&targets.calls) {
        None => at_a_time.boxed(),
        Some(calls) => {
            let sides = select(&[Side::Before, Side::After][..]);
            let at_a_call = (calls, sides, 1..=6_u32).prop_map(|((host, call), side, nth)| {
                let aim = Aim {
                    host: host.clone(),
                    call,
                    nth,
                    side,
                };
                (host, Some(aim))
            });
            prop_oneof![at_a_time, at_a_call].boxed()
        }
    };
    let crash = (at, where_to, 50..=2_500_u64).prop_map(|(at_ms, (host, call), down_ms)| Fault {
        trigger: Trigger { at_ms, call },
        action: Action::Crash { host, down_ms },
    });
    Some(crash.boxed())
}

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
    call: Call,
) -> BoxedStrategy<Trigger> {
    (at, host, 1..=4_u32)
        .prop_map(move |(at_ms, host, nth)| Trigger {
            at_ms,
            call: Some(Aim {
                host,
                call,
                nth,
                side: Side::Before,
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
