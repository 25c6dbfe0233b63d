//! Whether a plan fits a system: what it names exists, and it comes to an end.
//!
//! Generated plans always fit. A plan from a file may have been edited, or be of a system that has
//! changed since; it is refused before anything runs.

use std::collections::BTreeSet;

use super::Plan;
use super::fault::{Action, Fault};
use super::incident::{Incident, Named};
use super::topology::{CLIENT, Services, instance_names, service_of};

/// The longest that a plan may take, in virtual milliseconds: a day.
const MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Why a plan cannot be run against a system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan does not fit the system: {0}")]
pub struct Misfit(String);

/// What a system has that a plan may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts<'a> {
    /// The services, and how many instances of each may run.
    pub(crate) services: Services,
    /// The consumer groups.
    pub(crate) groups: Vec<&'a str>,
    /// The hosts that stand for products.
    pub(crate) servers: BTreeSet<String>,
    /// The databases.
    pub(crate) databases: Vec<&'a str>,
    /// The hosts of PostgreSQL servers, which are among the servers.
    pub(crate) database_servers: BTreeSet<String>,
}

impl Plan {
    /// Whether the plan can be run against a system with these parts.
    ///
    /// # Errors
    ///
    /// Names the first number of instances, operation or fault that cannot be, and why.
    pub(crate) fn fits(&self, parts: &Parts<'_>) -> Result<(), Misfit> {
        for (service, instances) in &self.instances {
            let wrong = wrong_number(service, *instances, &parts.services);
            said(format!("{instances} instances of `{service}`"), wrong)?;
        }
        for (number, operation) in self.workload.iter().enumerate() {
            let wrong = too_late(operation.at_ms);
            said(format!("operation {number}"), wrong)?;
        }
        let hosts = Hosts { plan: self, parts };
        for (number, fault) in self.schedule.iter().enumerate() {
            let wrong = too_late(fault.at_ms)
                .or_else(|| too_late(fault.duration_ms()))
                .or_else(|| match &fault.action {
                    Action::Incident { incident, .. } => wrong_target(incident, &hosts),
                    Action::Strike { .. } => None,
                })
                .or_else(|| wrong_aim(fault, &hosts));
            let kind = fault.kind().name();
            said(format!("fault {number} ({kind})"), wrong)?;
        }
        Ok(())
    }
}

/// The hosts that a plan has.
struct Hosts<'a> {
    plan: &'a Plan,
    parts: &'a Parts<'a>,
}

impl Hosts<'_> {
    /// Why a fault cannot strike this host, or `None` if it can.
    fn lack(&self, host: &str) -> Option<String> {
        let Some(service) = service_of(&self.parts.services, host) else {
            return Some(format!("host `{host}`, which the system does not have"));
        };
        let instances = self.plan.instances_of(service);
        let runs = instance_names(service, instances).any(|own| own == host);
        (!runs).then(|| {
            format!("host `{host}`, but this plan runs no more than {instances} of `{service}`")
        })
    }
}

fn wrong_number(service: &str, instances: u32, services: &Services) -> Option<String> {
    let Some(range) = services.get(service) else {
        return Some("are of a service that the system does not have".to_owned());
    };
    let (least, most) = (range.start(), range.end());
    (!range.contains(&instances))
        .then(|| format!("are not what the system has, which is {least} to {most}"))
}

fn said(where_: String, wrong: Option<String>) -> Result<(), Misfit> {
    match wrong {
        None => Ok(()),
        Some(wrong) => Err(Misfit(format!("{where_} {wrong}"))),
    }
}

fn too_late(ms: u64) -> Option<String> {
    (ms > MS_MAX).then(|| format!("begins at or lasts {ms} ms, more than a virtual day"))
}

fn wrong_target(incident: &Incident, hosts: &Hosts<'_>) -> Option<String> {
    let parts = hosts.parts;
    let (is_there, what) = match incident.names()? {
        Named::Host(host) => return hosts.lack(host).map(|lack| format!("names {lack}")),
        Named::Link(a, b) => return no_link(a, b, hosts),
        Named::Service(name) => (
            parts.services.contains_key(name),
            format!("service `{name}`"),
        ),
        Named::DatabaseServer(name) => (
            parts.database_servers.contains(name),
            format!("PostgreSQL server `{name}`"),
        ),
        Named::Database(name) => (
            parts.databases.contains(&name),
            format!("database `{name}`"),
        ),
        Named::Group(name) => (parts.groups.contains(&name), format!("group `{name}`")),
    };
    (!is_there).then(|| format!("names {what}, which the system does not have"))
}

fn no_link(a: &str, b: &str, hosts: &Hosts<'_>) -> Option<String> {
    let own = |host: &&str| *host != CLIENT && !hosts.parts.servers.contains(*host);
    let mut ends = [a, b].into_iter().filter(own);
    match ends.find_map(|host| hosts.lack(host)) {
        Some(lack) => Some(format!("names {lack}")),
        None => (a == b).then(|| format!("parts host `{a}` from itself")),
    }
}

fn wrong_aim(fault: &Fault, hosts: &Hosts<'_>) -> Option<String> {
    let (host, _, nth) = fault.call()?;
    let lack = hosts.lack(host).filter(|_| host != CLIENT);
    let unmet = lack.map(|lack| format!("aims at {lack}"));
    unmet.or_else(|| (nth == 0).then(|| "aims at call number 0; the first is number 1".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::fault::{Aim, Side};
    use super::super::incident::Restarted;
    use super::super::strike::{Call, CommitFault};
    use super::super::workload::Operation;
    use super::*;
    use crate::seed::Seed;

    fn plan(fault: Fault) -> Plan {
        Plan {
            seed: Seed(0),
            chance: 0,
            instances: BTreeMap::from([("relay".to_owned(), 2)]),
            workload: Vec::new(),
            schedule: vec![fault],
        }
    }

    fn at_once(incident: Incident) -> Plan {
        plan(Fault::at(0, incident))
    }

    fn commit_lost(host: &str, nth: u32) -> Plan {
        plan(Fault::strike(0, host, nth, CommitFault::Lost))
    }

    fn crash(host: &str, down_ms: u64) -> Incident {
        let host = host.to_owned();
        Incident::Crash { host, down_ms }
    }

    fn restart(of: Restarted) -> Incident {
        Incident::Restart { of, down_ms: 10 }
    }

    fn cut(a: &str, b: &str) -> Incident {
        let (a, b) = (a.to_owned(), b.to_owned());
        Incident::Partition { a, b, for_ms: 1 }
    }

    fn lost_machine(host: &str) -> Incident {
        let host = host.to_owned();
        Incident::MachineLoss { host, down_ms: 10 }
    }

    fn reset(a: &str, b: &str) -> Incident {
        let (a, b) = (a.to_owned(), b.to_owned());
        Incident::ConnectionReset { a, b }
    }

    fn server_restart(server: &str) -> Incident {
        let server = server.to_owned();
        Incident::DatabaseRestart {
            server,
            down_ms: 10,
        }
    }

    fn used_up(server: &str) -> Incident {
        let server = server.to_owned();
        Incident::ConnectionsUsedUp { server, for_ms: 1 }
    }

    fn full(database: &str) -> Incident {
        let database = database.to_owned();
        Incident::DiskFull {
            database,
            for_ms: 1,
        }
    }

    fn crash_at_commit_of(host: &str) -> Plan {
        let aim = Aim {
            host: host.to_owned(),
            call: Call::Commit,
            nth: 1,
            side: Side::Before,
        };
        plan(Fault::on(0, aim, crash("billing", 10)))
    }

    fn fits(plan: &Plan) -> Result<(), String> {
        let services = [("billing".to_owned(), 1..=1), ("relay".to_owned(), 1..=3)];
        let fit = plan.fits(&Parts {
            services: services.into(),
            groups: vec!["billing"],
            servers: ["broker".to_owned(), "postgres".to_owned()].into(),
            databases: vec!["ledger"],
            database_servers: ["postgres".to_owned()].into(),
        });
        fit.map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn what_exists_and_ends_fits() {
        for plan in [
            at_once(crash("billing", 10)),
            at_once(restart(Restarted::Host("relay-2".to_owned()))),
            at_once(restart(Restarted::Service("relay".to_owned()))),
            at_once(restart(Restarted::Everything)),
            at_once(cut("client", "broker")),
            at_once(lost_machine("relay-2")),
            at_once(reset("client", "broker")),
            at_once(server_restart("postgres")),
            at_once(used_up("postgres")),
            at_once(full("ledger")),
            commit_lost("client", 1),
            crash_at_commit_of("relay-2"),
        ] {
            assert_eq!(fits(&plan), Ok(()), "{plan}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let rebalance = Incident::Rebalance {
            group: "ghosts".to_owned(),
        };
        for (plan, word) in [
            (at_once(crash("ghost", 10)), "`ghost`"),
            (at_once(crash("client", 10)), "`client`"),
            (at_once(crash("relay-3", 10)), "no more than 2 of `relay`"),
            (at_once(crash("relay-4", 10)), "`relay-4`"),
            (
                at_once(restart(Restarted::Host("relay-3".to_owned()))),
                "no more than 2 of `relay`",
            ),
            (
                at_once(restart(Restarted::Service("relay-2".to_owned()))),
                "service `relay-2`",
            ),
            (
                plan(Fault::at(u64::MAX, crash("billing", 10))),
                "virtual day",
            ),
            (at_once(crash("billing", u64::MAX)), "virtual day"),
            (at_once(cut("billing", "ghost")), "`ghost`"),
            (at_once(cut("billing", "billing")), "itself"),
            (at_once(rebalance), "`ghosts`"),
            (at_once(lost_machine("postgres")), "`postgres`"),
            (at_once(reset("billing", "ghost")), "`ghost`"),
            (at_once(server_restart("billing")), "server `billing`"),
            (at_once(used_up("broker")), "server `broker`"),
            (at_once(full("ghost")), "database `ghost`"),
            (crash_at_commit_of("ghost"), "`ghost`"),
            (commit_lost("ghost", 1), "`ghost`"),
            (commit_lost("relay", 0), "number 0"),
        ] {
            let misfit = fits(&plan).unwrap_err();
            assert!(misfit.contains(word), "{misfit}");
            assert!(misfit.contains("fault 0"), "{misfit}");
        }
        for (service, instances, word) in [("ghost", 1, "`ghost`"), ("billing", 2, "1 to 1")] {
            let mut many = at_once(crash("billing", 10));
            many.instances = BTreeMap::from([(service.to_owned(), instances)]);
            assert!(fits(&many).unwrap_err().contains(word));
        }
        let mut late = at_once(crash("billing", 10));
        late.workload.push(Operation {
            at_ms: u64::MAX,
            operation: 0.into(),
        });
        assert!(fits(&late).unwrap_err().contains("operation 0"));
    }
}
