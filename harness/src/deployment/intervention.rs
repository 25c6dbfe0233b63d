//! Interventions: what the nemesis does to machines and links, and when hosts start again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Deployment;
use super::sqlite::file_of;
use crate::nemesis::Intervention;
use crate::plan::Targets;
use crate::world::{Command, GRACE};

/// How long a supervisor waits before it starts a service again that ended by itself.
const SUPERVISOR_DELAY: Duration = Duration::from_secs(1);

impl Deployment<'_, '_> {
    pub(super) fn now(&self) -> Duration {
        self.machines.now()
    }

    /// When everything is over that the nemesis has begun.
    pub(super) fn busy_until(&self) -> Duration {
        self.nemesis.busy_until(&self.world)
    }

    /// Does what is due, and lets time pass until something else is, but not beyond `until`.
    pub(super) fn go_on(&mut self, until: Duration) {
        self.do_what_is_due();
        let due = [
            self.nemesis.next(),
            next(&self.stops),
            next(&self.restarts),
            next(&self.resumptions),
            next(&self.turns),
        ];
        let due = due.into_iter().flatten().fold(until, Duration::min);
        self.machines.wait_for_bell(due);
        self.notice_links();
        self.do_what_is_due();
    }

    fn do_what_is_due(&mut self) {
        for command in self.world.commands.take() {
            self.obey(command);
        }
        let interventions = self.nemesis.due(&self.world);
        self.carry_out(interventions);
        for host in self.nemesis.take_to_tell() {
            self.tell_to_stop(&host);
        }
        let now = self.now();
        for turn in take_due(&mut self.turns, now) {
            let _ = turn.send(());
        }
        for host in take_due(&mut self.stops, now) {
            self.world.hosts.stop_late(&Arc::from(host));
        }
        for host in take_due(&mut self.restarts, now) {
            self.carry_out(vec![Intervention::Start(host)]);
        }
        for host in take_due(&mut self.resumptions, now) {
            self.machines.unpause(&host);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::SetOff { fault } => {
                let interventions = self.nemesis.set_off(fault, &self.world);
                self.carry_out(interventions);
            }
            Command::Paused { host, fault, until } => {
                self.carry_out(vec![Intervention::Pause { host, fault, until }]);
            }
            Command::Stopped { host } => {
                self.stops.retain(|(_, own)| *own != host);
                let interventions = self.nemesis.stopped(&host, self.now());
                self.carry_out(interventions);
            }
            Command::Exited { host } => {
                if self.prepared.plan.schedule.is_empty() {
                    self.world.recorder.refuse_if_in_vain(&host);
                }
                self.carry_out(vec![Intervention::Kill(host.clone())]);
                self.restarts.push((self.now() + SUPERVISOR_DELAY, host));
            }
        }
    }

    /// Software that handles the signal has a grace; other software has ended at once.
    fn tell_to_stop(&mut self, host: &str) {
        if !self.machines.can_be_asked(host) {
            // It is dead before anything of it is dropped.
            self.world.hosts.stop(&Arc::from(host), None);
        }
        if self.machines.terminate(host) {
            self.stops.push((self.now() + GRACE, host.to_owned()));
        }
    }

    /// Ends every fault.
    pub(super) fn heal(&mut self) {
        let interventions = self.nemesis.heal(&self.world);
        self.carry_out(interventions);
        for (_, host) in std::mem::take(&mut self.resumptions) {
            self.machines.unpause(&host);
        }
        self.machines.heal();
    }

    fn carry_out(&mut self, interventions: Vec<Intervention>) {
        let usual = self.prepared.system.settings.latency_max;
        for intervention in interventions {
            match intervention {
                Intervention::Kill(host) => {
                    self.machines.kill(&host);
                    let mut servers = self.servers.iter();
                    if let Some(server) = servers.find(|own| **own.name() == *host) {
                        server.killed();
                    }
                }
                Intervention::Lose(host) => self.machines.lose(&host),
                // A host that another fault has started meanwhile is left alone.
                Intervention::Start(host) if self.world.hosts.is_up(&host) => {}
                Intervention::Start(host) => self.start(&Arc::from(host)),
                Intervention::Pause { host, fault, until } => {
                    let name = Arc::from(&*host);
                    self.world
                        .recorder
                        .bit(fault, &name, "stood still".to_owned());
                    self.machines.pause(&host);
                    self.resumptions.push((until, host));
                }
                Intervention::Clock { host, fault, by_ms } => {
                    self.notice_clock(fault, &host);
                    self.machines.step_clock(&host, by_ms);
                }
                Intervention::Reset { fault, a, b } => {
                    if self.machines.reset(&a, &b) {
                        self.notice_reset(fault, &Arc::from(a), &Arc::from(b));
                    }
                }
                Intervention::Room { database, is_full } => {
                    self.watch.set_full(&file_of(&database), is_full);
                }
                Intervention::Rebalance { fault, group } => {
                    let bite = || self.nemesis.notice(fault, &self.world);
                    for server in &self.servers {
                        server.rebalance(&group, &bite);
                    }
                }
                Intervention::Cut { from, to } => self.machines.cut(&from, &to),
                Intervention::Mend { from, to } => self.machines.mend(&from, &to),
                Intervention::Latency { a, b, latency } => {
                    let longer = latency.map(|latency| latency.saturating_sub(usual));
                    let longer = longer.unwrap_or_default();
                    self.machines.slow_down(&a, &b, longer);
                    self.machines.slow_down(&b, &a, longer);
                }
            }
        }
    }

    /// A fault of a link has an effect when a packet meets it.
    fn notice_links(&self) {
        for (from, to, _) in self.machines.take_affected() {
            for fault in self.world.conditions.of_link(&from, &to) {
                let recorder = &self.world.recorder;
                recorder.bit(fault, &from, format!("traffic to {to} affected"));
                recorder.bit(fault, &to, format!("traffic from {from} affected"));
            }
        }
    }

    fn notice_reset(&self, fault: usize, a: &Arc<str>, b: &Arc<str>) {
        for (host, peer) in [(a, b), (b, a)] {
            let text = format!("connections with {peer} reset");
            self.world.recorder.bit(fault, host, text);
        }
    }

    /// A wrong clock has an effect when its host looks at it while it is wrong.
    fn notice_clock(&mut self, fault: usize, host: &str) {
        let reads = self.machines.clock_reads(host);
        match self.clocks.remove(&fault) {
            None => drop(self.clocks.insert(fault, reads)),
            Some(before) if before < reads => self.nemesis.notice(fault, &self.world),
            Some(_) => {}
        }
    }

    /// What faults could aim at, judging by what has happened so far.
    pub(super) fn targets(&self) -> Targets {
        let mut targets = self.world.targets();
        let parties = &self.prepared.system.machine.third_parties;
        targets.providers = parties.iter().map(|own| own.name.to_string()).collect();
        let read = self
            .services
            .keys()
            .filter(|host| self.machines.has_read_clock(host));
        targets.clocks = read.map(ToString::to_string).collect();
        let links = self.machines.traffic().into_keys();
        let links = links.map(|(from, to)| if from < to { (from, to) } else { (to, from) });
        let links: BTreeSet<_> = links.collect();
        let named = |(one, other): (Arc<str>, Arc<str>)| (one.to_string(), other.to_string());
        targets.links = links.into_iter().map(named).collect();
        targets.hosts = self.services.keys().map(ToString::to_string).collect();
        let system = &self.prepared.system;
        targets.databases = system
            .databases()
            .iter()
            .map(|own| own.name().to_owned())
            .collect();
        targets.database_servers = system.database_server_names().into_iter().collect();
        targets
    }
}

fn next<T>(agenda: &[(Duration, T)]) -> Option<Duration> {
    agenda.iter().map(|(at, _)| *at).min()
}

/// Takes those whose time has come, in the order in which they were put down.
fn take_due<T>(agenda: &mut Vec<(Duration, T)>, now: Duration) -> Vec<T> {
    agenda
        .extract_if(.., |(at, _)| *at <= now)
        .map(|(_, due)| due)
        .collect()
}
