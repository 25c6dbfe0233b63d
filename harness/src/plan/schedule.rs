//! The fault schedule: the kinds of fault, how often each is drawn, and how it is aimed.
//!
//! Only faults that the system can meet are generated: a host that exists, a group that the broker
//! knows, a provider that somebody calls, a server that a database is on. Which kinds a seed has at all is the swarm's choice.

use proptest::prelude::*;
use proptest::sample::select;

use super::fault::{Aim, Fault, Side};
use super::incident::{Incident, Restarted};
use super::strike::{
    Call, CallFault, CommitFault, ExternalFault, PublishFault, ReceiveFault, SettleFault,
    StatementFault, Strike,
};
use super::swarm::Swarm;
use super::targets::Targets;

macro_rules! kinds {
    ($($kind:ident $name:literal $weight:literal;)*) => {
        /// The kinds of fault that a schedule can be made of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind {
            $(#[doc = $name] $kind,)*
        }

        impl FaultKind {
            /// Every kind there is.
            pub const ALL: &'static [FaultKind] = &[$(FaultKind::$kind,)*];

            /// The kind in words, as reports count it.
            pub fn name(self) -> &'static str {
                match self { $(FaultKind::$kind => $name,)* }
            }

            /// How often the kind is drawn, compared with the others of the swarm.
            pub(super) fn weight(self) -> u32 {
                match self { $(FaultKind::$kind => $weight,)* }
            }
        }
    };
}

// Crashes have the most places to strike at, so they get the largest share. Poison has a large one
// because no other kind brings a dead letter about.
kinds! {
    Crash "crash" 4;
    MachineLoss "machine loss" 2;
    Restart "restart" 2;
    Pause "pause" 1;
    ClockSkew "clock skew" 1;
    Partition "partition" 1;
    OneWayPartition "one-way partition" 1;
    Latency "latency" 1;
    ConnectionReset "connection reset" 1;
    BrokerOutage "broker outage" 1;
    CapacityLimit "capacity limit" 1;
    Rebalance "rebalance" 1;
    LoseAck "lost ack" 2;
    Duplicate "duplicate" 2;
    DelaySettle "delayed settlement" 1;
    Reorder "reorder" 1;
    Poison "poison" 3;
    GroupPoison "poison for one group" 1;
    StatementError "statement error" 1;
    Locked "locked" 1;
    Slow "slow statement" 1;
    CommitLost "commit lost" 1;
    CommitAnswerLost "commit answer lost" 2;
    SerializationFailure "serialization failure" 1;
    Deadlock "deadlock" 1;
    DatabaseRestart "database restart" 1;
    DiskFull "disk full" 1;
    ConnectionsUsedUp "connections used up" 1;
    ExternalOutage "external outage" 1;
    ExternalAnswerLost "external answer lost" 1;
    ExternalAnswerLate "external answer late" 1;
    ExternalRefusal "external refusal unheard" 1;
    TooLarge "too large a message" 1;
}

/// The budget of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The greatest number of faults in one plan.
    pub faults_max: usize,
    /// Faults begin within this time, in virtual milliseconds.
    pub over_ms: u64,
    /// The longest that a fault lasts, in virtual milliseconds; but for one in ten, which lasts up to
    /// eight times as long, to outlast what gives up after a number of retries.
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

/// One lasting fault in so many outlasts the others.
const OUTLASTING_IN: u32 = 10;
/// How many times longer it may last.
const OUTLASTING: u64 = 8;

/// How far a clock may be off, in milliseconds, ahead or behind: so far one drifts unnoticed.
const SKEW_MS_MAX: i64 = 2_500;

/// Schedules of the faults that `swarm` has, against `targets`, within `budget`, for clients that ask
/// for something at `moments`.
pub(super) fn schedule(
    swarm: &Swarm,
    targets: &Targets,
    budget: &Budget,
    moments: &[u64],
) -> BoxedStrategy<Vec<Fault>> {
    let aiming = Aiming {
        targets,
        at: 0..budget.over_ms.max(1),
        moments,
    };
    let choices: Vec<(u32, BoxedStrategy<Fault>)> = swarm
        .kinds()
        .filter_map(|kind| one(kind, &aiming, budget).map(|fault| (kind.weight(), fault)))
        .collect();
    if choices.is_empty() || budget.faults_max == 0 {
        return Just(Vec::new()).boxed();
    }
    prop::collection::vec(
        proptest::strategy::Union::new_weighted(choices),
        1..=budget.faults_max,
    )
    .prop_map(|mut faults| {
        faults.sort_by_key(|fault| fault.at_ms);
        faults
    })
    .boxed()
}

/// How many faults of each certain kind a plan has.
pub(super) const CERTAIN: usize = 3;

/// Faults of each of these kinds, as far as the system offers them a target.
pub(super) fn certain(
    kinds: &[FaultKind],
    targets: &Targets,
    budget: &Budget,
    moments: &[u64],
) -> BoxedStrategy<Vec<Fault>> {
    let aiming = Aiming {
        targets,
        at: 0..budget.over_ms.max(1),
        moments,
    };
    let of_each = kinds
        .iter()
        .filter_map(|&kind| one(kind, &aiming, budget))
        .map(|fault| prop::collection::vec(fault, CERTAIN));
    of_each
        .collect::<Vec<_>>()
        .prop_map(|faults| faults.concat())
        .boxed()
}

/// A strategy for one fault of `kind`, or `None` where the system offers it no target.
fn one(kind: FaultKind, aiming: &Aiming<'_>, budget: &Budget) -> Option<BoxedStrategy<Fault>> {
    let targets = aiming.targets;
    let most = budget.duration_ms_max.max(201);
    let long = prop_oneof![
        OUTLASTING_IN - 1 => 200..=most,
        1 => most * OUTLASTING / 2..=most * OUTLASTING,
    ];
    let short = 20..=1_500_u64;
    match kind {
        FaultKind::Crash => aiming.beside_calls(50..=2_500_u64, |host, down_ms| Incident::Crash {
            host,
            down_ms,
        }),
        FaultKind::MachineLoss => aiming.beside_calls(long, |host, down_ms| {
            Incident::MachineLoss { host, down_ms }
        }),
        FaultKind::Restart => aiming.restart(),
        FaultKind::Pause => {
            aiming.beside_calls(long, |host, for_ms| Incident::Pause { host, for_ms })
        }
        FaultKind::ClockSkew => aiming.incident(
            (
                one_of(&targets.clocks)?,
                10..=SKEW_MS_MAX,
                any::<bool>(),
                long,
            )
                .prop_map(|(host, off_ms, is_behind, for_ms)| Incident::ClockSkew {
                    host,
                    ahead_ms: if is_behind { -off_ms } else { off_ms },
                    for_ms,
                }),
        ),
        FaultKind::Partition => aiming.incident(
            (one_of(&targets.links)?, long).prop_map(|((a, b), for_ms)| Incident::Partition {
                a,
                b,
                for_ms,
            }),
        ),
        FaultKind::OneWayPartition => aiming.incident(
            (one_of(&targets.links)?, any::<bool>(), long).prop_map(|((a, b), turned, for_ms)| {
                let (from, to) = if turned { (b, a) } else { (a, b) };
                Incident::OneWayPartition { from, to, for_ms }
            }),
        ),
        FaultKind::Latency => {
            aiming.incident((one_of(&targets.links)?, 50..=800_u64, long).prop_map(
                |((a, b), latency_ms, for_ms)| Incident::Latency {
                    a,
                    b,
                    latency_ms,
                    for_ms,
                },
            ))
        }
        FaultKind::ConnectionReset => aiming.reset(),
        FaultKind::DatabaseRestart => aiming.incident(
            (one_of(&targets.database_servers)?, 50..=2_500_u64)
                .prop_map(|(server, down_ms)| Incident::DatabaseRestart { server, down_ms }),
        ),
        FaultKind::DiskFull => aiming.incident(
            (one_of(&targets.databases)?, long)
                .prop_map(|(database, for_ms)| Incident::DiskFull { database, for_ms }),
        ),
        FaultKind::ConnectionsUsedUp => aiming.incident(
            (one_of(&targets.database_servers)?, long)
                .prop_map(|(server, for_ms)| Incident::ConnectionsUsedUp { server, for_ms }),
        ),
        FaultKind::BrokerOutage => {
            aiming.incident(long.prop_map(|for_ms| Incident::BrokerOutage { for_ms }))
        }
        FaultKind::CapacityLimit => aiming.incident(long.prop_map(Incident::capacity_used_up)),
        FaultKind::Rebalance => aiming
            .incident(one_of(&targets.groups)?.prop_map(|group| Incident::Rebalance { group })),
        FaultKind::ExternalOutage => aiming.incident(
            (one_of(&targets.providers)?, long)
                .prop_map(|(provider, for_ms)| Incident::ExternalOutage { provider, for_ms }),
        ),
        FaultKind::LoseAck => aiming.strike(Just(PublishFault::AckLost)),
        FaultKind::Poison => aiming.strike(Just(PublishFault::Poison)),
        FaultKind::TooLarge => {
            aiming.strike((1_000..=8_000_u64).prop_map(|for_ms| PublishFault::TooLarge { for_ms }))
        }
        FaultKind::GroupPoison => {
            let events = prop_oneof![Just(1), 2..=3_u32];
            aiming.strike(events.prop_map(|events| ReceiveFault::Poison { events }))
        }
        FaultKind::Reorder => {
            let hold_ms = prop_oneof![
                OUTLASTING_IN - 1 => 50..=2_000_u64,
                1 => 2_000 * OUTLASTING / 2..=2_000 * OUTLASTING,
            ];
            aiming.strike(hold_ms.prop_map(|hold_ms| ReceiveFault::Reorder { hold_ms }))
        }
        FaultKind::Duplicate => aiming.strike(Just(SettleFault::Duplicate)),
        FaultKind::DelaySettle => {
            aiming.strike((50..=4_000_u64).prop_map(|delay_ms| SettleFault::Delay { delay_ms }))
        }
        FaultKind::StatementError => aiming.strike(Just(StatementFault::Error)),
        FaultKind::Locked => {
            aiming.strike(short.prop_map(|for_ms| StatementFault::Locked { for_ms }))
        }
        FaultKind::Slow => {
            aiming.strike(short.prop_map(|delay_ms| StatementFault::Slow { delay_ms }))
        }
        FaultKind::CommitLost => aiming.strike(Just(CommitFault::Lost)),
        FaultKind::CommitAnswerLost => aiming.strike(Just(CommitFault::AnswerLost)),
        FaultKind::SerializationFailure => {
            aiming.strike_on_server(CommitFault::SerializationFailure)
        }
        FaultKind::Deadlock => aiming.strike_on_server(StatementFault::Deadlock),
        FaultKind::ExternalAnswerLost => aiming.strike(Just(ExternalFault::AnswerLost)),
        FaultKind::ExternalAnswerLate => aiming
            .strike((100..=5_000_u64).prop_map(|delay_ms| ExternalFault::AnswerLate { delay_ms })),
        FaultKind::ExternalRefusal => aiming.strike(Just(ExternalFault::RefusedUnheard)),
    }
}

/// What faults of one schedule are aimed at, and from when on.
struct Aiming<'a> {
    targets: &'a Targets,
    at: std::ops::Range<u64>,
    /// When clients ask for something: what they set off follows soon after.
    moments: &'a [u64],
}

impl Aiming<'_> {
    /// An incident at a time.
    fn incident(
        &self,
        incident: impl Strategy<Value = Incident> + 'static,
    ) -> Option<BoxedStrategy<Fault>> {
        let fault =
            (self.at.clone(), incident).prop_map(|(at_ms, incident)| Fault::at(at_ms, incident));
        Some(fault.boxed())
    }

    /// A strike at one of the hosts that are known to make the call that it is typed to.
    fn strike<F: CallFault + Into<Strike> + std::fmt::Debug + 'static>(
        &self,
        fault: impl Strategy<Value = F> + 'static,
    ) -> Option<BoxedStrategy<Fault>> {
        self.strike_at(self.targets.making(F::CALL), fault)
    }

    /// The same at a host that makes such calls and talks to a PostgreSQL server.
    fn strike_on_server<F: CallFault + Into<Strike> + std::fmt::Debug + 'static>(
        &self,
        fault: F,
    ) -> Option<BoxedStrategy<Fault>> {
        let mut hosts = self.targets.making(F::CALL);
        hosts.retain(|host| self.targets.talks_to_database_server(host));
        self.strike_at(hosts, Just(fault))
    }

    fn strike_at<F: CallFault + Into<Strike> + std::fmt::Debug + 'static>(
        &self,
        hosts: Vec<String>,
        fault: impl Strategy<Value = F> + 'static,
    ) -> Option<BoxedStrategy<Fault>> {
        let host = one_of(&hosts)?;
        let struck = (self.from(), host, nth(4), fault)
            .prop_map(|(at_ms, host, nth, fault)| Fault::strike(at_ms, &host, nth, fault));
        Some(struck.boxed())
    }

    /// When a fault begins to wait for its call: mostly when a client asks for something, because
    /// what waits longer than the system has work strikes nothing.
    fn from(&self) -> BoxedStrategy<u64> {
        match one_of(self.moments) {
            Some(moment) => prop_oneof![1 => self.at.clone(), 3 => moment].boxed(),
            None => self.at.clone().boxed(),
        }
    }

    /// Restarts of one host, often at a call of its own, of a service's instances, and of everything.
    fn restart(&self) -> Option<BoxedStrategy<Fault>> {
        let down_ms = 50..=1_500_u64;
        let alone = self.beside_calls(down_ms.clone(), |host, down_ms| {
            let of = Restarted::Host(host);
            Incident::Restart { of, down_ms }
        })?;
        let Some(many) = one_of(&self.targets.restarts) else {
            return Some(alone);
        };
        let many = (many, down_ms).prop_map(|(of, down_ms)| Incident::Restart { of, down_ms });
        Some(prop_oneof![alone, self.incident(many)?].boxed())
    }

    /// Resets of a link, at a time or beside a call of one of its ends: between calls nothing is under way, and what was
    /// connected connects again.
    fn reset(&self) -> Option<BoxedStrategy<Fault>> {
        let reset = |(a, b): (String, String)| Incident::ConnectionReset { a, b };
        let links = &self.targets.links;
        let at_a_time = self.incident(one_of(links)?.prop_map(reset))?;
        let calls = &self.targets.calls;
        let beside = links.iter().flat_map(|link| {
            let ends = calls
                .iter()
                .filter(|(host, _)| [&link.0, &link.1].contains(&host));
            ends.map(|call| (link.clone(), call.clone()))
        });
        let beside: Vec<_> = beside.collect();
        let Some(beside) = one_of(&beside) else {
            return Some(at_a_time);
        };
        let at_a_call = (self.from(), beside, sides(), nth(6)).prop_map(
            move |(at_ms, (link, (host, call)), side, nth)| {
                let aim = Aim {
                    host,
                    call,
                    nth,
                    side,
                };
                Fault::on(at_ms, aim, reset(link))
            },
        );
        Some(prop_oneof![at_a_time, at_a_call].boxed())
    }

    /// Incidents at a time, or at a call that the host is known to make, on either side of it.
    fn beside_calls(
        &self,
        duration_ms: impl Strategy<Value = u64> + 'static,
        incident: fn(String, u64) -> Incident,
    ) -> Option<BoxedStrategy<Fault>> {
        let hosts = one_of(&self.targets.hosts)?;
        let at_a_time = (self.at.clone(), hosts).prop_map(|(at_ms, host)| (at_ms, host, None));
        let own = |(host, _): &&(String, Call)| self.targets.hosts.contains(host);
        let calls: Vec<_> = self.targets.calls.iter().filter(own).cloned().collect();
        let when = match one_of(&calls) {
            None => at_a_time.boxed(),
            Some(calls) => {
                let at_a_call = (self.from(), calls, sides(), nth(6));
                let at_a_call = at_a_call.prop_map(|(at_ms, (host, call), side, nth)| {
                    let aim = Aim {
                        host: host.clone(),
                        call,
                        nth,
                        side,
                    };
                    (at_ms, host, Some(aim))
                });
                prop_oneof![at_a_time, at_a_call].boxed()
            }
        };
        let fault = (when, duration_ms).prop_map(move |((at_ms, host, aim), ms)| {
            let incident = incident(host, ms);
            match aim {
                Some(aim) => Fault::on(at_ms, aim, incident),
                None => Fault::at(at_ms, incident),
            }
        });
        Some(fault.boxed())
    }
}

/// Either side of a call.
fn sides() -> impl Strategy<Value = Side> {
    select(&[Side::Before, Side::After][..])
}

/// The number of a call: the first half of the time, because there may be no second.
fn nth(most: u32) -> BoxedStrategy<u32> {
    prop_oneof![Just(1), 2..=most].boxed()
}

/// One of several, or `None` where there is none.
fn one_of<T: Clone + std::fmt::Debug + Send + Sync + 'static>(
    choices: &[T],
) -> Option<BoxedStrategy<T>> {
    (!choices.is_empty()).then(|| select(choices.to_vec()).boxed())
}
