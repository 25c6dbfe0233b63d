//! The contenders: the ways of publishing that are compared, each with the least that it needs.

use std::time::Duration;

use reference_system::monitor::DepthThreshold;
use stormglass::System;
use stormglass::simulation::Settings;

use crate::deploy::{self, ARTICLES, Deployment, Pattern, Watch, deploy};
use crate::incidents::sale::patient;
use crate::workload;

/// A way of publishing, as it is deployed.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    way: Way,
}

enum Way {
    /// Services apart, with this pattern and this time between two looks at what is to be published.
    Services(Pattern, Duration),
    /// One process.
    Monolith,
}

const USUAL: Duration = Duration::from_millis(100);

/// How services are watched that tell each other of events. What is down is down for seconds here and not for minutes, so that the
/// thresholds are short.
const WATCH: Watch = Watch {
    depth: DepthThreshold {
        parked: 5,
        lately: 1,
        window: Duration::from_secs(60 * 60),
    },
    unpublished: Some(Duration::from_secs(2)),
    waiting: Duration::from_secs(2),
    every: Duration::from_secs(2),
};

/// All of them; in pairs a later one is compared with an earlier one.
pub(super) const CONTENDERS: &[Contender] = &[
    Contender {
        name: "outbox",
        about: "a relay publishes rows that were written with the order; it looks every 100 ms",
        way: Way::Services(Pattern::Outbox, USUAL),
    },
    Contender {
        name: "outbox-1s",
        about: "the same relay, which looks every second",
        way: Way::Services(Pattern::Outbox, Duration::from_secs(1)),
    },
    Contender {
        name: "cdc",
        about: "a capture publishes what the database's log of changes says; it looks every 100 ms",
        way: Way::Services(Pattern::Cdc, USUAL),
    },
    Contender {
        name: "direct",
        about: "each service publishes once, after its commit",
        way: Way::Services(Pattern::Direct, USUAL),
    },
    Contender {
        name: "guarded",
        about: "each service publishes after its commit, in a few tries, through a circuit breaker",
        way: Way::Services(Pattern::DirectGuarded, USUAL),
    },
    Contender {
        name: "sync",
        about: "no events: the order service calls the others over HTTP, one after the other, before it answers",
        way: Way::Services(Pattern::Synchronous, USUAL),
    },
    Contender {
        name: "in-process",
        about: "one process and one database; subscribers run in it, behind the commit",
        way: Way::Monolith,
    },
];

impl Contender {
    /// The system, with customers and without properties.
    pub(super) fn system(&self) -> System {
        let name = format!("compare {}", self.name);
        let system = match self.way {
            Way::Services(pattern, relay_poll) => {
                let settings = reference_system::Settings {
                    relay_poll,
                    ..reference_system::Settings::default()
                };
                let deployment = Deployment::new(&name).settings(settings);
                let deployment = match self.uses_broker() {
                    true => deployment.watched(WATCH),
                    false => deployment,
                };
                deploy(deployment.pattern(pattern))
            }
            Way::Monolith => deploy::monolith(&name, &ARTICLES),
        };
        system
            .operations(workload::operation, workload::carry_out)
            .settings(Settings {
                // Faults last for six seconds, so that what has not come within a minute never comes.
                liveness_bound: Duration::from_secs(60),
                ..patient()
            })
    }

    /// Whether its services tell each other of events over a broker.
    pub(super) fn uses_broker(&self) -> bool {
        match self.way {
            Way::Services(pattern, _) => pattern != Pattern::Synchronous,
            Way::Monolith => false,
        }
    }

    /// The process that does what this host of services does.
    pub(super) fn home_of<'h>(&self, host: &'h str) -> &'h str {
        match self.way {
            Way::Services(..) => host,
            Way::Monolith => "gateway",
        }
    }
}
