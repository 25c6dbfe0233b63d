//! The nemesis: begins and ends the faults that a time or a call sets off, and applies nothing but those.
//!
//! Those that strike a call wait in `world`. No probability is rolled here. It decides and keeps the books; what has to be done to processes and links comes out as
//! [`Intervention`]s, which the deployment carries out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::history::What;
use crate::plan::{Action, Fault, Incident, Plan, Restarted};
use crate::world::{CapacityLimit, State, StruckLink, World, lock, now};

/// Something to be done to the simulated machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intervention {
    /// Drop what runs on the host.
    Kill(String),
    /// Take the host's computer away.
    Lose(String),
    /// Start the host's software again.
    Start(String),
    /// Let the host stand still.
    Pause {
        host: String,
        fault: usize,
        until: Duration,
    },
    /// Put the host's system clock forward; back, if negative.
    Clock {
        host: String,
        fault: usize,
        by_ms: i64,
    },
    /// Reset every connection between two hosts.
    Reset { fault: usize, a: String, b: String },
    /// Leave a database room for what it writes, or none.
    Room { database: String, is_full: bool },
    /// Assign the partitions of a consumer group anew.
    Rebalance { fault: usize, group: String },
    /// Let nothing pass from one host to another.
    Cut { from: String, to: String },
    /// Let everything pass again.
    Mend { from: String, to: String },
    /// Every segment between two hosts takes so long; `None` means as usual.
    Latency {
        a: String,
        b: String,
        latency: Option<Duration>,
    },
}

enum Step {
    Begin(usize),
    End(usize),
    Start(String),
}

/// Hosts that a fault stops one after the other.
struct Stopping {
    fault: usize,
    down: Duration,
    /// Those whose turn has not come.
    hosts: VecDeque<String>,
    /// Whether the one whose turn it is has gone down.
    is_down: bool,
}

/// The faults of one plan, in the course of one run.
pub(crate) struct Nemesis {
    /// The incidents of the plan, by their faults' index.
    incidents: BTreeMap<usize, Incident>,
    agenda: BTreeMap<(Duration, usize), Step>,
    booked: usize,
    active: BTreeSet<usize>,
    cut: BTreeSet<(String, String)>,
    /// Databases whose disk is full.
    full: BTreeSet<String>,
    /// Hosts that were told to stop and have not started again, each with what comes after it.
    stopping: BTreeMap<String, Stopping>,
    /// Those of them that somebody still has to tell.
    to_tell: Vec<String>,
    /// The system's hosts, with their services.
    hosts: Vec<(String, String)>,
    broker_host: String,
    name: Arc<str>,
}

impl Nemesis {
    pub(crate) fn new(plan: &Plan, hosts: Vec<(String, String)>, broker_host: &str) -> Self {
        let mut nemesis = Nemesis {
            incidents: BTreeMap::new(),
            agenda: BTreeMap::new(),
            booked: 0,
            active: BTreeSet::new(),
            cut: BTreeSet::new(),
            full: BTreeSet::new(),
            stopping: BTreeMap::new(),
            to_tell: Vec::new(),
            hosts,
            broker_host: broker_host.to_owned(),
            name: "nemesis".into(),
        };
        for (fault, planned) in plan.schedule.iter().enumerate() {
            let Action::Incident { incident, on } = &planned.action else {
                continue;
            };
            nemesis.incidents.insert(fault, incident.clone());
            if on.is_none() {
                let at = Duration::from_millis(planned.at_ms);
                nemesis.book(at, Step::Begin(fault));
            }
        }
        nemesis
    }

    /// When a plan's chaos may be over: after the last operation and the last fault. A fault that waits
    /// for a call is given `patience` to meet one, also after the last operation; how long it then
    /// lasts, [`Nemesis::busy_until`] tells.
    pub(crate) fn end_of(plan: &Plan, patience: Duration) -> Duration {
        let last_operation = plan.workload.iter().map(|operation| operation.at_ms).max();
        let last_operation = Duration::from_millis(last_operation.unwrap_or_default());
        let end = |fault: &Fault| {
            let begin = Duration::from_millis(fault.at_ms);
            match fault.call() {
                Some(_) => begin.max(last_operation) + patience,
                None => begin + Duration::from_millis(fault.duration_ms()),
            }
        };
        plan.schedule
            .iter()
            .map(end)
            .max()
            .unwrap_or_default()
            .max(last_operation)
    }

    /// When everything is over that has begun by now; restarts are waited for.
    pub(crate) fn busy_until(&self, world: &World) -> Duration {
        let last = self.agenda.last_key_value().map(|((at, _), _)| *at);
        let last = last.unwrap_or_default().max(world.hosts.paused_until());
        match self.stopping.is_empty() {
            true => last,
            false => last.max(now() + Duration::from_millis(1)),
        }
    }

    /// Notes that a fault had an effect which breaks nothing off, such as that a wrong clock was looked at, so that it
    /// excuses no host: it is said in the nemesis' own name.
    pub(crate) fn notice(&self, fault: usize, world: &World) {
        let text = self.incidents[&fault].to_string();
        world.recorder.bit(fault, &self.name, text);
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    fn book(&mut self, at: Duration, step: Step) {
        self.agenda.insert((at, self.booked), step);
        self.booked += 1;
    }

    /// Does everything whose time has come.
    pub(crate) fn due(&mut self, world: &World) -> Vec<Intervention> {
        self.go_on(world);
        let mut interventions = Vec::new();
        let now = now();
        while let Some(entry) = self
            .agenda
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            match entry.remove() {
                Step::Begin(fault) => interventions.extend(self.begin(fault, world)),
                Step::End(fault) => interventions.extend(self.end(fault, world)),
                Step::Start(host) => interventions.push(Intervention::Start(host)),
            }
        }
        interventions
    }

    /// Begins a fault that a call set off.
    pub(crate) fn set_off(&mut self, fault: usize, world: &World) -> Vec<Intervention> {
        self.begin(fault, world)
    }

    /// Ends every fault.
    pub(crate) fn heal(&mut self, world: &World) -> Vec<Intervention> {
        let mut interventions = Vec::new();
        for step in std::mem::take(&mut self.agenda).into_values() {
            match step {
                Step::Begin(_) => {}
                Step::End(fault) => interventions.extend(self.end(fault, world)),
                Step::Start(host) => interventions.push(Intervention::Start(host)),
            }
        }
        lock(&world.armed).disarm();
        world.hosts.resume_all();
        interventions
    }

    fn begin(&mut self, fault: usize, world: &World) -> Vec<Intervention> {
        let Some(incident) = self.incidents.get(&fault).cloned() else {
            return Vec::new();
        };
        let now = now();
        let lasts = Duration::from_millis(incident.duration_ms());
        match &incident {
            Incident::Crash { host, .. } | Incident::MachineLoss { host, .. } => {
                self.crash(fault, host, lasts, world)
            }
            Incident::DatabaseRestart { server, .. } => self.crash(fault, server, lasts, world),
            Incident::BrokerOutage { .. } => {
                let host = self.broker_host.clone();
                self.crash(fault, &host, lasts, world)
            }
            Incident::Restart { of, .. } => {
                for hosts in self.restarted(of) {
                    let (fault, down) = (fault, lasts);
                    let row = Stopping {
                        fault,
                        down,
                        hosts,
                        is_down: false,
                    };
                    self.stop_next(row, world);
                }
                Vec::new()
            }
            Incident::Pause { host, .. } => {
                let until = now + lasts;
                world.hosts.pause(&Arc::from(host.as_str()), fault, until);
                let host = host.clone();
                vec![Intervention::Pause { host, fault, until }]
            }
            Incident::Rebalance { group } => {
                let group = group.clone();
                vec![Intervention::Rebalance { fault, group }]
            }
            Incident::ConnectionReset { a, b } => {
                let (a, b) = (a.clone(), b.clone());
                vec![Intervention::Reset { fault, a, b }]
            }
            Incident::ClockSkew { host, ahead_ms, .. } => {
                self.book(now + lasts, Step::End(fault));
                let (host, by_ms) = (host.clone(), *ahead_ms);
                vec![Intervention::Clock { host, fault, by_ms }]
            }
            Incident::Partition { .. }
            | Incident::OneWayPartition { .. }
            | Incident::Latency { .. }
            | Incident::DiskFull { .. }
            | Incident::ConnectionsUsedUp { .. }
            | Incident::CapacityLimit { .. }
            | Incident::ExternalOutage { .. } => {
                self.active.insert(fault);
                self.book(now + lasts, Step::End(fault));
                self.refresh(world)
            }
        }
    }

    fn end(&mut self, fault: usize, world: &World) -> Vec<Intervention> {
        self.active.remove(&fault);
        let mut interventions = self.refresh(world);
        if let Some(Incident::Latency { a, b, .. }) = self.incidents.get(&fault) {
            interventions.push(Intervention::Latency {
                a: a.clone(),
                b: b.clone(),
                latency: None,
            });
        }
        if let Some(Incident::ClockSkew { host, ahead_ms, .. }) = self.incidents.get(&fault) {
            interventions.push(Intervention::Clock {
                host: host.clone(),
                fault,
                by_ms: -ahead_ms,
            });
        }
        world
            .recorder
            .record(&self.name, What::FaultLifted { fault });
        interventions
    }

    fn crash(
        &mut self,
        fault: usize,
        host: &str,
        lasts: Duration,
        world: &World,
    ) -> Vec<Intervention> {
        let name: Arc<str> = host.into();
        let is_loss = matches!(self.incidents[&fault], Incident::MachineLoss { .. });
        // A crash that a call set off has already killed the host at the gate.
        let set_off = world.recorder.has_bitten(fault);
        if !set_off {
            if !world.hosts.is_up(host) {
                return Vec::new();
            }
            world
                .recorder
                .bit(fault, &self.name, self.incidents[&fault].to_string());
            match is_loss {
                true => world.hosts.lose(&name),
                false => world.hosts.kill(&name),
            };
        }
        if let Some(row) = self.stopping.get_mut(host) {
            row.is_down = true;
        }
        self.book(now() + lasts, Step::Start(host.to_owned()));
        let host = host.to_owned();
        vec![match is_loss {
            true => Intervention::Lose(host),
            false => Intervention::Kill(host),
        }]
    }

    /// The hosts that a restart is of; those of one row one after the other.
    fn restarted(&self, of: &Restarted) -> Vec<VecDeque<String>> {
        let names = self.hosts.iter();
        match of {
            Restarted::Host(host) => vec![[host.clone()].into()],
            Restarted::Service(service) => {
                let own = names.filter(|(_, own)| own == service);
                vec![own.map(|(host, _)| host.clone()).collect()]
            }
            Restarted::Everything => names.map(|(host, _)| [host.clone()].into()).collect(),
        }
    }

    /// Tells the first of the hosts to stop that can be told.
    fn stop_next(&mut self, mut row: Stopping, world: &World) {
        let text = self.incidents[&row.fault].to_string();
        while let Some(host) = row.hosts.pop_front() {
            if world
                .hosts
                .tell_to_stop(&Arc::from(&*host), row.fault, &text)
            {
                row.is_down = false;
                self.to_tell.push(host.clone());
                self.stopping.insert(host, row);
                return;
            }
        }
    }

    /// Takes the hosts that have to be told to stop; those on gates hear of it there.
    pub(crate) fn take_to_tell(&mut self) -> Vec<String> {
        std::mem::take(&mut self.to_tell)
    }

    /// A host has stopped that was told to.
    pub(crate) fn stopped(&mut self, host: &str, now: Duration) -> Vec<Intervention> {
        if let Some(row) = self.stopping.get_mut(host) {
            row.is_down = true;
            let again = now + row.down;
            self.book(again, Step::Start(host.to_owned()));
        }
        vec![Intervention::Kill(host.to_owned())]
    }

    /// Where a host that was told to stop has started again it is the next one's turn.
    fn go_on(&mut self, world: &World) {
        let is_up_again =
            |host: &String, row: &mut Stopping| row.is_down && world.hosts.is_up(host);
        let done: Vec<Stopping> = self
            .stopping
            .extract_if(.., is_up_again)
            .map(|(_, row)| row)
            .collect();
        for row in done {
            self.stop_next(row, world);
        }
    }

    /// Brings links, databases, third parties and the broker's capacity in line with the active faults.
    fn refresh(&mut self, world: &World) -> Vec<Intervention> {
        let mut interventions = Vec::new();
        let mut links = Vec::new();
        let mut cut = BTreeSet::new();
        let mut capacity_limit = None;
        let mut outages = BTreeMap::new();
        let (mut full, mut used_up) = (BTreeMap::new(), BTreeMap::new());
        for &fault in &self.active {
            let mut both_ways = |a: &String, b: &String| {
                for (from, to) in [(a, b), (b, a)] {
                    links.push(StruckLink {
                        fault,
                        from: from.clone(),
                        to: to.clone(),
                    });
                }
            };
            match &self.incidents[&fault] {
                Incident::Partition { a, b, .. } => {
                    both_ways(a, b);
                    cut.insert((a.clone(), b.clone()));
                    cut.insert((b.clone(), a.clone()));
                }
                Incident::OneWayPartition { from, to, .. } => {
                    links.push(StruckLink {
                        fault,
                        from: from.clone(),
                        to: to.clone(),
                    });
                    cut.insert((from.clone(), to.clone()));
                }
                Incident::Latency {
                    a, b, latency_ms, ..
                } => {
                    both_ways(a, b);
                    interventions.push(Intervention::Latency {
                        a: a.clone(),
                        b: b.clone(),
                        latency: Some(Duration::from_millis(*latency_ms)),
                    });
                }
                Incident::CapacityLimit { per_minute, .. } => {
                    let per_minute = *per_minute;
                    capacity_limit = Some(CapacityLimit { fault, per_minute });
                }
                Incident::DiskFull { database, .. } => {
                    full.insert(database.clone(), fault);
                }
                Incident::ConnectionsUsedUp { server, .. } => {
                    used_up.insert(server.clone(), fault);
                }
                Incident::ExternalOutage { provider, .. } => {
                    outages.insert(provider.clone(), fault);
                }
                Incident::Crash { .. }
                | Incident::MachineLoss { .. }
                | Incident::ConnectionReset { .. }
                | Incident::DatabaseRestart { .. }
                | Incident::Restart { .. }
                | Incident::Pause { .. }
                | Incident::ClockSkew { .. }
                | Incident::BrokerOutage { .. }
                | Incident::Rebalance { .. } => {}
            }
        }
        let link = |(from, to): &(String, String)| (from.clone(), to.clone());
        for (from, to) in self.cut.difference(&cut).map(link) {
            interventions.push(Intervention::Mend { from, to });
        }
        for (from, to) in cut.difference(&self.cut).map(link) {
            interventions.push(Intervention::Cut { from, to });
        }
        self.cut = cut;
        let databases: BTreeSet<String> = full.keys().cloned().collect();
        for database in self.full.symmetric_difference(&databases) {
            interventions.push(Intervention::Room {
                database: database.clone(),
                is_full: databases.contains(database),
            });
        }
        self.full = databases;
        world.conditions.set(State {
            outages,
            full_disks: full,
            used_up,
            links,
            capacity_limit,
        });
        interventions
    }
}
