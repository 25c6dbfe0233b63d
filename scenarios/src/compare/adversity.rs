//! Adversity: the sets of faults under which patterns are compared. A plan follows from the seed alone; what it names and a pattern
//! does not have is left out of that pattern's plan.

use std::ops::Range;

use stormglass::Seed;
use stormglass::plan::{Aim, Call, Fault, Incident, Plan, PublishFault, SettleFault, Side};

use super::contenders::Contender;
use crate::deploy::CARD_PROCESSOR;
use crate::incidents::sale::{self, Sale};

/// Faults that belong together.
pub struct Adversity {
    /// Their name, as the command line knows it.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub about: &'static str,
    strikes: fn(Seed) -> Vec<Strike>,
    lasts: Option<fn(Seed) -> Range<u64>>,
}

/// The hosts that a fault names, and the fault.
type Strike = (Vec<&'static str>, Fault);

/// All of them, the one without faults first.
pub const ADVERSITIES: &[Adversity] = &[
    Adversity {
        name: "none",
        about: "nothing happens",
        strikes: |_| Vec::new(),
        lasts: None,
    },
    Adversity {
        name: "outage",
        about: "the broker is down for six seconds of the sale",
        strikes: |seed| {
            let outage = Incident::BrokerOutage { for_ms: LONG_MS };
            vec![(Vec::new(), Fault::at(begin(seed), outage))]
        },
        lasts: Some(long),
    },
    Adversity {
        name: "partition",
        about: "for six seconds the gateway, the order service and the relay do not reach the broker",
        strikes: |seed| {
            let cut = |host: &'static str| {
                let partition = Incident::Partition {
                    a: host.to_owned(),
                    b: "broker".to_owned(),
                    for_ms: LONG_MS,
                };
                (vec![host, "broker"], Fault::at(begin(seed), partition))
            };
            ["gateway", "order", "relay"].map(cut).to_vec()
        },
        lasts: Some(long),
    },
    Adversity {
        name: "lost-acks",
        about: "every process that publishes never hears of one of its publishes",
        strikes: |seed| {
            let lose = |host: &'static str| {
                let nth = drawn(seed, "lost ack", host, 1..4);
                (
                    vec![host],
                    Fault::strike(begin(seed), host, nth, PublishFault::AckLost),
                )
            };
            [
                "gateway",
                "order",
                "inventory",
                "payment",
                "shipping",
                "relay",
            ]
            .map(lose)
            .to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "duplicates",
        about: "every consumer is handed one event again after it was done with it",
        strikes: |seed| {
            let again = |host: &'static str| {
                let nth = drawn(seed, "duplicate", host, 1..4);
                (
                    vec![host],
                    Fault::strike(begin(seed), host, nth, SettleFault::Duplicate),
                )
            };
            ["order", "inventory", "payment", "shipping", "notification"]
                .map(again)
                .to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "producer-dies",
        about: "the process that takes orders dies twice, each time just behind a commit",
        strikes: |seed| {
            let crash = |at_ms: u64| {
                let nth = drawn(seed, "commit", &at_ms.to_string(), 1..4);
                (vec!["gateway"], behind_a_commit(at_ms, "gateway", nth))
            };
            [begin(seed), begin(seed) + 4_000].map(crash).to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "consumer-dies",
        about: "payment and inventory die, each just behind a commit; one process that has both is spared, and dies above",
        strikes: |seed| {
            let crash = |host: &'static str| {
                let nth = drawn(seed, "commit", host, 1..4);
                (vec![host], behind_a_commit(begin(seed), host, nth))
            };
            ["inventory", "payment"].map(crash).to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "card-outage",
        about: "the card processor cannot be reached for six seconds",
        strikes: |seed| {
            let outage = Incident::ExternalOutage {
                provider: CARD_PROCESSOR.to_owned(),
                for_ms: LONG_MS,
            };
            vec![(Vec::new(), Fault::at(begin(seed), outage))]
        },
        lasts: Some(long),
    },
];

/// How long what is down stays down.
const LONG_MS: u64 = 6_000;

/// When it begins.
fn begin(seed: Seed) -> u64 {
    2_000 + seed.number("begin of the faults") % 3_000
}

fn long(seed: Seed) -> Range<u64> {
    begin(seed)..begin(seed) + LONG_MS
}

fn drawn(seed: Seed, what: &str, of: &str, range: Range<u32>) -> u32 {
    let width = u64::from(range.end - range.start);
    range.start + (seed.number(&format!("{what} of {of}")) % width) as u32
}

fn behind_a_commit(at_ms: u64, host: &str, nth: u32) -> Fault {
    let aim = Aim {
        host: host.to_owned(),
        call: Call::Commit,
        nth,
        side: Side::After,
    };
    let crash = Incident::Crash {
        host: host.to_owned(),
        down_ms: 500,
    };
    Fault::on(at_ms, aim, crash)
}

impl Adversity {
    /// The load of a seed with these faults, as far as the contender has what they name.
    pub(super) fn plan(&self, seed: Seed, load: &Sale, contender: &Contender) -> Plan {
        let strikes = (self.strikes)(seed).into_iter();
        let met = strikes.filter(|(hosts, _)| hosts.iter().all(|host| contender.has(host)));
        let mut schedule: Vec<Fault> = met.map(|(_, fault)| fault).collect();
        schedule.sort_by_key(|fault| fault.at_ms);
        sale::plan(seed, &[*load], schedule)
    }

    /// From when to when something is down, in milliseconds, if it is for a while.
    pub(super) fn window(&self, seed: Seed) -> Option<Range<u64>> {
        self.lasts.map(|lasts| lasts(seed))
    }
}
