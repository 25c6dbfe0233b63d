//! The catalogue: scenarios, each a promise of the reference system under some kinds of fault.
//!
//! A scenario names only the properties that its faults can put to the test. All of them deploy the
//! same services; what differs is the broker that is modelled, how events are published, what goes wrong, and which releases
//! come up.

mod contracts;
mod incident;
mod model;
mod neighbours;
mod publishing;
mod saga;
mod traced;

use std::time::Duration;

use reference_system::event::contract::topic;
use reference_system::ports::broker::NatsSettings;
use stormglass::System;
use stormglass::broker::Profile;
use stormglass::checker::{
    Causality, Convergence, DlqReplay, DlqRouting, EffectOnce, EntityOrder, Fencing, Log,
    LogCorrelation, NoGhostEvent, NoLostEvent, NoPanic, OneEventPerId, OnlyPoisonParked, Progress,
};
use stormglass::plan::FaultKind;
use stormglass::simulation::Settings;

use crate::analytics_counts::AnalyticsCounts;
use crate::answered_stays::AnsweredStays;
use crate::deploy::{
    Deployment, Events, Extent, GuardedRelay, Pattern, Rollout, Saga, ShopBroker, breaker, deploy,
};
use crate::mail_and_charge::MailAndCharge;
use crate::money_and_stock::MoneyAndStock;
use crate::one_trace::OneTrace;
use crate::partner_told::PartnerTold;
use crate::search_agrees::SearchAgrees;
use crate::workload;

pub use incident::{ABSENT_CONSUMER, BROKEN_RELEASE, Incident};
pub use model::{Memory, Model};
pub use traced::Spans;

/// A promise under some kinds of fault.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The name, as the command line knows it.
    pub name: &'static str,
    /// What it promises, in one sentence.
    pub promise: &'static str,
    /// The kinds of fault that its plans may have.
    pub faults: &'static [FaultKind],
    /// The kinds of fault that every plan has, so that most seeds put its properties to the test.
    pub certain: &'static [FaultKind],
    /// What it judges beside the properties that every scenario judges.
    pub beside: &'static [Beside],
    /// The broker that is modelled where the shop is not over NATS.
    pub broker: Model,
    /// How events are published.
    pub pattern: Pattern,
    /// The hosts that faults strike; all of them if empty.
    pub struck: &'static [&'static str],
    /// Who asks for things.
    pub clients: Clients,
    /// How long is remembered what.
    pub memory: Memory,
    /// What is between the relay and the broker.
    pub relay: Relaying,
    /// Which services are deployed.
    pub extent: Extent,
    /// What happens beside the faults.
    pub incident: Option<Incident>,
    /// How much events say.
    pub events: Events,
    /// The releases that come up at restarts, where there are several.
    pub rollout: Option<&'static Rollout>,
    /// Whether services export spans.
    pub spans: Spans,
    /// Who drives an order through its steps, where these have deadlines.
    pub saga: Option<Saga>,
}

/// What is between the relay and the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relaying {
    /// Nothing.
    Plain,
    /// A circuit breaker.
    Guarded,
}

/// Who asks for things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Customers.
    Customers,
    /// Customers, and operators who replay what is parked.
    CustomersAndOperators,
    /// Customers, and operators who release what could not be published.
    CustomersAndReleases,
}

/// A property that only some faults put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// [`EffectOnce`]: something has to arrive twice.
    EffectOnce,
    /// [`EffectOnce`] where what is published twice arrives twice. NATS knows it by its id.
    EffectOnceOfRepublished,
    /// [`DlqRouting`]: something has to be poison, or to be tried again.
    DlqRouting,
    /// [`OnlyPoisonParked`], which is a part of it: a consumer has to fail while it has an event in hand.
    OnlyPoisonParked,
    /// [`Progress`]: something has to be refused by the broker for its own sake.
    Progress,
    /// [`Fencing`]: a consumer has to lose what it has in hand.
    Fencing,
    /// [`Breaker`](stormglass::checker::Breaker): the broker has to fail for a while, and a breaker to notice.
    Breaker,
    /// [`PartnerTold`] and [`SearchAgrees`]: the services that came later have to be there.
    Neighbours,
    /// [`OneTrace`]: services have to export spans.
    OneTrace,
    /// [`AnalyticsCounts`]: analytics has to be there.
    Analytics,
    /// [`DlqReplay`]: operators have to replay what is parked.
    DlqReplay,
}

/// How long events may take to the broker while one of another entity cannot be published.
pub const PROGRESS: Duration = Duration::from_secs(2);
/// How long a publisher may take to be itself again: a client of NATS waits five seconds for an acknowledgement before it
/// takes it for lost.
const RECOVERY: Duration = Duration::from_secs(6);

/// How the name of a scenario's system ends where the shop is over NATS.
const OVER_NATS: &str = " over nats";

impl Scenario {
    /// The scenario of this name.
    pub fn find(name: &str) -> Option<&'static Scenario> {
        CATALOGUE.iter().find(|scenario| scenario.name == name)
    }

    /// The scenario whose system has this name, and the broker that it is on.
    pub fn of_system(name: &str) -> Option<(&'static Scenario, ShopBroker)> {
        match name.strip_suffix(OVER_NATS) {
            Some(name) => Some((Scenario::find(name)?, ShopBroker::Nats)),
            None => Some((Scenario::find(name)?, ShopBroker::Simulated)),
        }
    }

    /// The name of its system on this broker.
    pub fn system_name(&self, broker: ShopBroker) -> String {
        match broker {
            ShopBroker::Simulated => self.name.to_owned(),
            ShopBroker::Nats => format!("{}{OVER_NATS}", self.name),
        }
    }

    /// Whether it can be run on this broker.
    pub fn runs_on(&self, broker: ShopBroker) -> bool {
        broker == ShopBroker::Simulated || self.broker != Model::Kafka
    }

    /// The system under test, with its workload, faults and properties, on the simulated broker.
    pub fn system(&self) -> System {
        self.system_on(ShopBroker::Simulated)
    }

    /// The same on this broker.
    pub fn system_on(&self, broker: ShopBroker) -> System {
        let deployment = Deployment::new(&self.system_name(broker))
            .settings(self.memory.settings())
            .extent(self.extent)
            .pattern(self.pattern)
            .events(self.events);
        let deployment = match self.relay {
            Relaying::Plain => deployment,
            Relaying::Guarded => deployment.processes(GuardedRelay),
        };
        let deployment = match self.rollout {
            None => deployment,
            Some(rollout) => deployment.rollout(*rollout),
        };
        let deployment = self.spans.deployed(deployment);
        let deployment = match self.saga {
            None => deployment,
            Some(saga) => deployment.saga(saga),
        };
        let (deployment, profile) = match broker {
            ShopBroker::Simulated => (deployment, self.broker.profile(self.memory)),
            ShopBroker::Nats => {
                let profile = self.memory.jetstream();
                let asked_for = NatsSettings {
                    ack_wait: profile.ack_wait,
                    duplicate_window: profile.duplicate_window,
                };
                let deployment = deployment.over_nats(asked_for);
                (deployment, Profile::JetStream(profile))
            }
        };
        let deployment = match self.incident {
            Some(incident) => incident.deployed(deployment),
            None => deployment,
        };
        let system = under_test(deploy(deployment))
            .broker(profile)
            .load(self.memory.load())
            .budget(self.memory.budget())
            .faults(self.faults)
            .provoke(self.certain);
        let system = match self.clients {
            Clients::Customers => system,
            Clients::CustomersAndOperators => {
                system.operations(workload::operation_with_operators, workload::carry_out)
            }
            Clients::CustomersAndReleases => {
                system.operations(workload::operation_with_releases, workload::carry_out)
            }
        };
        let system = match self.incident {
            Some(incident) => incident.judged(system),
            None => system,
        };
        let system = match self.rollout {
            None => system,
            Some(rollout) => under_rollout(system, rollout, self.clients),
        };
        let system = if self.struck.is_empty() {
            system
        } else {
            system.strike(self.struck)
        };
        self.beside
            .iter()
            .fold(system, |system, beside| match beside {
                Beside::EffectOnceOfRepublished if broker == ShopBroker::Nats => system,
                Beside::EffectOnce | Beside::EffectOnceOfRepublished => system.property(EffectOnce),
                Beside::DlqRouting => system.property(DlqRouting::default()),
                Beside::OnlyPoisonParked => system.property(OnlyPoisonParked),
                Beside::Progress => {
                    system.property(Progress::within(PROGRESS).recovering(RECOVERY))
                }
                Beside::Fencing => system.property(Fencing),
                Beside::Breaker => system.property(breaker(broker)),
                Beside::Neighbours => system.property(PartnerTold).property(SearchAgrees),
                Beside::OneTrace => system.property(OneTrace),
                Beside::Analytics => system.property(AnalyticsCounts),
                Beside::DlqReplay => system.property(DlqReplay::default()),
            })
    }
}

/// A deployed system with the workload, the settings and the properties that all scenarios share.
pub fn under_test(system: System) -> System {
    let settings = Settings {
        liveness_bound: Duration::from_secs(30),
        // A client asks three times, twice over where it asks again late.
        operation_timeout: Duration::from_secs(20),
        ..Settings::default()
    };
    system
        .operations(workload::operation, workload::carry_out)
        .load(Memory::Long.load())
        .budget(Memory::Long.budget())
        .settings(settings)
        .property(NoLostEvent)
        .property(NoGhostEvent::default().exempting(topic::ACTIVITY))
        .property(OneEventPerId)
        .property(EntityOrder)
        .property(Causality)
        .property(LogCorrelation)
        .property(MoneyAndStock)
        .property(MailAndCharge)
        .property(AnsweredStays)
        .property(NoPanic)
        .property(Convergence)
        .property(Log)
}

/// The same where releases differ: customers have vouchers, which not every release takes.
pub fn under_rollout(system: System, rollout: &'static Rollout, clients: Clients) -> System {
    let system = system
        .property(contracts::schema(rollout))
        .load(contracts::load())
        .budget(contracts::budget());
    match clients {
        Clients::Customers => {
            system.operations(workload::operation_with_vouchers, workload::carry_out)
        }
        Clients::CustomersAndOperators | Clients::CustomersAndReleases => {
            system.operations(workload::operation_with_all, workload::carry_out)
        }
    }
}

/// What most scenarios have.
const PLAIN: Scenario = Scenario {
    name: "",
    promise: "",
    faults: &[],
    certain: &[],
    beside: &[],
    broker: Model::Any,
    pattern: Pattern::Outbox,
    struck: &[],
    clients: Clients::Customers,
    memory: Memory::Long,
    relay: Relaying::Plain,
    extent: Extent::Core,
    incident: None,
    events: Events::Hybrid,
    rollout: None,
    spans: Spans::Off,
    saga: None,
};

/// Every scenario, the gentlest first.
pub const CATALOGUE: &[Scenario] = &[
    Scenario {
        name: "calm",
        promise: "without any fault every order comes to its end",
        ..PLAIN
    },
    Scenario {
        name: "duplicates",
        promise: "whatever is delivered or published twice takes effect once",
        faults: &[
            FaultKind::Duplicate,
            FaultKind::LoseAck,
            FaultKind::Rebalance,
            FaultKind::DelaySettle,
        ],
        certain: &[FaultKind::Duplicate],
        beside: &[Beside::EffectOnce],
        broker: Model::Kafka,
        ..PLAIN
    },
    Scenario {
        name: "duplicates-jetstream",
        promise: "the same where a late acknowledgement counts and each message has its own lease",
        faults: &[
            FaultKind::Duplicate,
            FaultKind::LoseAck,
            FaultKind::DelaySettle,
        ],
        certain: &[FaultKind::Duplicate],
        beside: &[Beside::EffectOnce],
        broker: Model::JetStream,
        ..PLAIN
    },
    Scenario {
        name: "reordering",
        promise: "effects on one order keep their order while other orders overtake",
        faults: &[
            FaultKind::Reorder,
            FaultKind::Latency,
            FaultKind::DelaySettle,
        ],
        ..PLAIN
    },
    Scenario {
        name: "broker-outage",
        promise: "orders taken while the broker is away or full are carried out when it is back",
        faults: &[
            FaultKind::BrokerOutage,
            FaultKind::CapacityLimit,
            FaultKind::LoseAck,
        ],
        certain: &[FaultKind::LoseAck],
        beside: &[Beside::EffectOnceOfRepublished],
        ..PLAIN
    },
    Scenario {
        name: "consumer-crashes",
        promise: "a service that dies at any step goes on where it was",
        faults: &[FaultKind::Crash, FaultKind::MachineLoss, FaultKind::Pause],
        certain: &[FaultKind::Crash],
        beside: &[Beside::EffectOnce, Beside::OnlyPoisonParked],
        struck: &["order", "inventory", "payment", "shipping", "notification"],
        ..PLAIN
    },
    Scenario {
        name: "rolling-restarts",
        promise: "a new version is rolled out, or everything restarted, while orders come in",
        faults: &[FaultKind::Restart, FaultKind::Rebalance, FaultKind::LoseAck],
        certain: &[FaultKind::Restart],
        beside: &[Beside::EffectOnce, Beside::OnlyPoisonParked],
        ..PLAIN
    },
    Scenario {
        name: "relay-crashes",
        promise: "a relay that dies at any step loses no event",
        faults: &[
            FaultKind::Crash,
            FaultKind::MachineLoss,
            FaultKind::Pause,
            FaultKind::LoseAck,
        ],
        certain: &[FaultKind::LoseAck],
        beside: &[Beside::EffectOnceOfRepublished],
        struck: &["relay"],
        ..PLAIN
    },
    publishing::TOO_LARGE,
    publishing::CIRCUIT,
    publishing::CDC,
    Scenario {
        name: "partitions",
        promise: "orders survive a network that parts, one way or both, or slows down",
        faults: &[
            FaultKind::Partition,
            FaultKind::OneWayPartition,
            FaultKind::Latency,
            FaultKind::ConnectionReset,
        ],
        beside: &[Beside::EffectOnce, Beside::OnlyPoisonParked],
        ..PLAIN
    },
    Scenario {
        name: "database-faults",
        promise: "failed, locked, slow and half-answered transactions are carried out once",
        faults: &[
            FaultKind::StatementError,
            FaultKind::Locked,
            FaultKind::Slow,
            FaultKind::CommitLost,
            FaultKind::CommitAnswerLost,
            FaultKind::SerializationFailure,
            FaultKind::Deadlock,
            FaultKind::DatabaseRestart,
            FaultKind::DiskFull,
            FaultKind::ConnectionsUsedUp,
        ],
        certain: &[FaultKind::CommitAnswerLost],
        beside: &[Beside::EffectOnce, Beside::OnlyPoisonParked],
        ..PLAIN
    },
    Scenario {
        name: "third-parties",
        promise: "a card processor or mail service that is away, late or silent is asked again, and books once",
        faults: &[
            FaultKind::ExternalOutage,
            FaultKind::ExternalAnswerLost,
            FaultKind::ExternalAnswerLate,
            FaultKind::ExternalRefusal,
        ],
        certain: &[FaultKind::ExternalAnswerLost],
        beside: &[Beside::EffectOnce, Beside::OnlyPoisonParked],
        ..PLAIN
    },
    Scenario {
        name: "poison",
        promise: "what cannot be read is parked whole, and nothing overtakes it",
        faults: &[
            FaultKind::Poison,
            FaultKind::GroupPoison,
            FaultKind::Crash,
            FaultKind::Duplicate,
            FaultKind::StatementError,
        ],
        certain: &[FaultKind::Poison, FaultKind::GroupPoison],
        beside: &[Beside::DlqRouting],
        ..PLAIN
    },
    Scenario {
        name: "replay",
        promise: "what an operator replays while orders come in takes effect once and in its order",
        faults: &[
            FaultKind::Poison,
            FaultKind::GroupPoison,
            FaultKind::LoseAck,
            FaultKind::Crash,
            FaultKind::CommitAnswerLost,
        ],
        certain: &[
            FaultKind::Poison,
            FaultKind::GroupPoison,
            FaultKind::LoseAck,
        ],
        beside: &[Beside::EffectOnce, Beside::DlqRouting, Beside::DlqReplay],
        clients: Clients::CustomersAndOperators,
        ..PLAIN
    },
    incident::DLQ_FLOOD,
    incident::LAGGING_CONSUMER,
    Scenario {
        name: "crashes-jetstream",
        promise: "a service that dies or stands still while its lease runs out goes on where it was",
        faults: &[
            FaultKind::Crash,
            FaultKind::MachineLoss,
            FaultKind::Pause,
            FaultKind::DelaySettle,
        ],
        certain: &[FaultKind::Crash, FaultKind::Pause],
        beside: &[
            Beside::EffectOnce,
            Beside::OnlyPoisonParked,
            Beside::Fencing,
        ],
        broker: Model::JetStream,
        ..PLAIN
    },
    Scenario {
        name: "retention",
        promise: "what comes again after it was forgotten is not taken for new",
        faults: &[
            FaultKind::LoseAck,
            FaultKind::Duplicate,
            FaultKind::DelaySettle,
            FaultKind::Pause,
            FaultKind::Reorder,
            FaultKind::ClockSkew,
        ],
        certain: &[FaultKind::LoseAck, FaultKind::Duplicate, FaultKind::Pause],
        beside: &[Beside::EffectOnce],
        broker: Model::JetStream,
        memory: Memory::Short,
        ..PLAIN
    },
    Scenario {
        name: "clocks",
        promise: "services whose clocks differ keep order, leases and keys apart from the time of day",
        faults: &[
            FaultKind::ClockSkew,
            FaultKind::Pause,
            FaultKind::Restart,
            FaultKind::LoseAck,
        ],
        certain: &[FaultKind::ClockSkew, FaultKind::LoseAck],
        beside: &[Beside::EffectOnce],
        ..PLAIN
    },
    saga::SAGA_TIMEOUT,
    saga::SAGA_TIMEOUT_ORCHESTRATED,
    contracts::ROLLING_DEPLOYMENT,
    contracts::ROLLBACK,
    contracts::SCHEMA_CHANGE,
    contracts::DISTRIBUTED_MONOLITH,
    contracts::THIN_EVENTS,
    neighbours::NEIGHBOURS,
    neighbours::ANALYTICS,
    traced::TRACED,
    Scenario {
        name: "everything",
        promise: "all of it at once",
        faults: FaultKind::ALL,
        certain: &[
            FaultKind::Poison,
            FaultKind::GroupPoison,
            FaultKind::Duplicate,
        ],
        beside: &[Beside::EffectOnce, Beside::DlqRouting],
        clients: Clients::CustomersAndOperators,
        broker: Model::Kafka,
        ..PLAIN
    },
    Scenario {
        name: "everything-jetstream",
        promise: "all of it at once, where each message has its own lease",
        faults: FaultKind::ALL,
        certain: &[
            FaultKind::Poison,
            FaultKind::GroupPoison,
            FaultKind::Duplicate,
        ],
        beside: &[Beside::EffectOnce, Beside::DlqRouting],
        broker: Model::JetStream,
        clients: Clients::CustomersAndOperators,
        ..PLAIN
    },
];
