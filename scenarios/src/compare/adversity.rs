//! Adversity: the sets of faults under which patterns are compared. What strikes, and when, follows from the seed alone; each
//! pattern meets it as far as it has what is struck.

use std::ops::Range;

use stormglass::Seed;
use stormglass::plan::{Aim, Call, Fault, Incident, PublishFault, SettleFault, Side};

use super::contenders::Contender;
use crate::deploy::CARD_PROCESSOR;

/// Faults that belong together.
pub struct Adversity {
    /// Their name, as the command line knows it.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub about: &'static str,
    strikes: fn(Seed) -> Vec<Strike>,
    lasts: Option<fn(Seed) -> Range<u64>>,
}

/// What strikes, from which time of the run on.
#[derive(Clone)]
struct Strike {
    at_ms: u64,
    blow: Blow,
}

/// What strikes.
#[derive(Clone)]
enum Blow {
    /// The broker is down.
    Outage,
    /// This host does not reach the broker.
    Cut(&'static str),
    /// The so-maniest message that this host publishes is taken, and it never hears so.
    AckLost(&'static str, u32),
    /// The so-maniest message that this host is done with comes once more.
    Again(&'static str, u32),
    /// The process that does this host's work dies behind its so-maniest commit.
    Dies(&'static str, u32),
    /// The card processor is down.
    CardsDown,
}

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
        strikes: |seed| vec![Blow::Outage.at(begin(seed))],
        lasts: Some(long),
    },
    Adversity {
        name: "partition",
        about: "for six seconds the gateway, the order service and the relay do not reach the broker",
        strikes: |seed| {
            let hosts = ["gateway", "order", "relay"];
            hosts.map(|host| Blow::Cut(host).at(begin(seed))).to_vec()
        },
        lasts: Some(long),
    },
    Adversity {
        name: "lost-acks",
        about: "every process that publishes never hears of one of its publishes",
        strikes: |seed| {
            let publishers = [
                "gateway",
                "order",
                "inventory",
                "payment",
                "shipping",
                "relay",
            ];
            let lose = |host| Blow::AckLost(host, drawn(seed, "lost ack", host));
            publishers.map(|host| lose(host).at(begin(seed))).to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "duplicates",
        about: "every consumer is handed one event again after it was done with it",
        strikes: |seed| {
            let consumers = ["order", "inventory", "payment", "shipping", "notification"];
            let again = |host| Blow::Again(host, drawn(seed, "duplicate", host));
            consumers.map(|host| again(host).at(begin(seed))).to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "producer-dies",
        about: "the process that takes orders dies twice, each time just behind a commit",
        strikes: |seed| {
            let times = [begin(seed), begin(seed) + 4_000];
            let die = |at_ms: u64| Blow::Dies("gateway", drawn(seed, "commit", &at_ms.to_string()));
            times.map(|at_ms| die(at_ms).at(at_ms)).to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "consumer-dies",
        about: "the processes that do the work of payment and of inventory die, each just behind a commit; where one process does both, it dies twice",
        strikes: |seed| {
            let die = |host| Blow::Dies(host, drawn(seed, "commit", host));
            ["inventory", "payment"]
                .map(|host| die(host).at(begin(seed)))
                .to_vec()
        },
        lasts: None,
    },
    Adversity {
        name: "card-outage",
        about: "the card processor cannot be reached for six seconds",
        strikes: |seed| vec![Blow::CardsDown.at(begin(seed))],
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

/// Which call of a kind is struck: one of the first three.
fn drawn(seed: Seed, what: &str, of: &str) -> u32 {
    1 + (seed.number(&format!("{what} of {of}")) % 3) as u32
}

impl Blow {
    fn at(self, at_ms: u64) -> Strike {
        Strike { at_ms, blow: self }
    }
}

impl Strike {
    /// The fault that it is for a contender, if it has what is struck.
    fn befalls(self, contender: &Contender) -> Option<Fault> {
        let at_ms = self.at_ms;
        let on_broker = match self.blow {
            Blow::Outage => Fault::at(at_ms, Incident::BrokerOutage { for_ms: LONG_MS }),
            Blow::Cut(host) => {
                let partition = Incident::Partition {
                    a: host.to_owned(),
                    b: "broker".to_owned(),
                    for_ms: LONG_MS,
                };
                Fault::at(at_ms, partition)
            }
            Blow::AckLost(host, nth) => Fault::strike(at_ms, host, nth, PublishFault::AckLost),
            Blow::Again(host, nth) => Fault::strike(at_ms, host, nth, SettleFault::Duplicate),
            Blow::Dies(host, nth) => {
                return Some(behind_a_commit(at_ms, contender.home_of(host), nth));
            }
            Blow::CardsDown => {
                let outage = Incident::ExternalOutage {
                    provider: CARD_PROCESSOR.to_owned(),
                    for_ms: LONG_MS,
                };
                return Some(Fault::at(at_ms, outage));
            }
        };
        contender.uses_broker().then_some(on_broker)
    }
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
    /// The faults of a seed, as far as the contender has what they strike.
    pub(super) fn faults(&self, seed: Seed, contender: &Contender) -> Vec<Fault> {
        let strikes = (self.strikes)(seed).into_iter();
        let mut faults: Vec<Fault> = strikes.filter_map(|own| own.befalls(contender)).collect();
        faults.sort_by_key(|fault| fault.at_ms);
        faults
    }

    /// When the first of them comes, in milliseconds, if there are any.
    pub(super) fn begins(&self, seed: Seed) -> Option<u64> {
        let strikes = (self.strikes)(seed).into_iter();
        strikes.map(|own| own.at_ms).min()
    }

    /// From when to when something is down, in milliseconds, if it is for a while.
    pub(super) fn window(&self, seed: Seed) -> Option<Range<u64>> {
        self.lasts.map(|lasts| lasts(seed))
    }
}
