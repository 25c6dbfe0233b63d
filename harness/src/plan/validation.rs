//! Whether a plan fits a system: what it names exists, and it comes to an end.
//!
//! Generated plans always fit. A plan from a file may have been edited, or be of a system that has
//! changed since; it is refused before anything runs.

use super::Plan;
use super::fault::{Action, Fault};
use super::topology::{Services, instance_names, service_of};
use crate::history::CLIENT;

/// The longest that a plan may take, in virtual milliseconds: a day.
const MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Why a plan cannot be run against a system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan does not fit the system: {0}")]
pub struct Misfit(String);

impl Plan {
    /// Whether the plan can be run against a system with these services and consumer groups.
    ///
    /// # Errors
    ///
    /// Names the first number of instances, operation or fault that cannot be, and why.
    pub fn fits(&self, services: &Services, groups: &[&str]) -> Result<(), Misfit> {
        for (service, instances) in &self.instances {
            let wrong = wrong_number(service, *instances, services);
            said(format!("{instances} instances of `{service}`"), wrong)?;
        }
        for (number, operation) in self.workload.iter().enumerate() {
            let wrong = too_late(operation.at_ms);
            said(format!("operation {number}"), wrong)?;
        }
        let hosts = Hosts {
            plan: self,
            services,
        };
        for (number, fault) in self.schedule.iter().enumerate() {
            let wrong = too_late(fault.trigger.at_ms)
                .or_else(|| too_late(fault.action.duration_ms()))
                .or_else(|| wrong_target(&fault.action, &hosts, groups))
                .or_else(|| wrong_aim(fault, &hosts));
            let kind = fault.action.kind();
            said(format!("fault {number} ({kind})"), wrong)?;
        }
        Ok(())
    }
}

/// The hosts that a plan has.
struct Hosts<'a> {
    plan: &'a Plan,
    services: &'a Services,
}

impl Hosts<'_> {
    /// Why a fault cannot strike this host, or `None` if it can.
    fn lack(&self, host: &str) -> Option<String> {
        let Some(service) = service_of(self.services, host) else {
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

fn wrong_target(action: &Action, hosts: &Hosts<'_>, groups: &[&str]) -> Option<String> {
    match action {
        Action::Crash { host, .. } | Action::Pause { host, .. } => {
            hosts.lack(host).map(|lack| format!("names {lack}"))
        }
        Action::Partition { a, b, .. } | Action::Latency { a, b, .. } => no_link(a, b, hosts),
        Action::OneWayPartition { from, to, .. } => no_link(from, to, hosts),
        Action::Rebalance { group } if !groups.contains(&&**group) => Some(format!(
            "names group `{group}`, which the system does not have"
        )),
        _ => None,
    }
}

fn no_link(a: &str, b: &str, hosts: &Hosts<'_>) -> Option<String> {
    let own = |host: &&str| ![CLIENT, crate::broker::HOST].contains(host);
    let mut ends = [a, b].into_iter().filter(own);
    match ends.find_map(|host| hosts.lack(host)) {
        Some(lack) => Some(format!("names {lack}")),
        None => (a == b).then(|| format!("parts host `{a}` from itself")),
    }
}

fn wrong_aim(fault: &Fault, hosts: &Hosts<'_>) -> Option<String> {
    let Some(aim) = &fault.trigger.call else {
        let needed = fault.action.is_for_the_port();
        return needed.then(|| "has to aim at a port call".to_owned());
    };
    let lack = hosts.lack(&aim.host).filter(|_| aim.host != CLIENT);
    let unmet = lack.map(|lack| format!("aims at {lack}"));
    unmet.or_else(|| {
        (aim.nth == 0).then(|| "aims at call number 0; the first is number 1".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Aim, Call, Side, Trigger};
    use super::super::workload::Operation;
    use std::collections::BTreeMap;

    use super::*;
    use crate::seed::Seed;

    fn plan(at_ms: u64, aim: Option<(&str, u32)>, action: Action) -> Plan {
        let call = aim.map(|(host, nth)| Aim {
            host: host.to_owned(),
            call: Call::Commit,
            nth,
            side: Side::Before,
        });
        Plan {
            seed: Seed(0),
            instances: BTreeMap::from([("relay".to_owned(), 2)]),
            workload: Vec::new(),
            schedule: vec![Fault {
                trigger: Trigger { at_ms, call },
                action,
            }],
        }
    }

    fn crash(host: &str, down_ms: u64) -> Action {
        Action::Crash {
            host: host.to_owned(),
            down_ms,
        }
    }

    fn cut(a: &str, b: &str) -> Action {
        Action::Partition {
            a: a.to_owned(),
            b: b.to_owned(),
            for_ms: 1,
        }
    }

    fn fits(plan: &Plan) -> Result<(), String> {
        let services = [("billing".to_owned(), 1..=1), ("relay".to_owned(), 1..=3)];
        let fit = plan.fits(&services.into(), &["billing"]);
        fit.map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn what_exists_and_ends_fits() {
        for plan in [
            plan(0, None, crash("billing", 10)),
            plan(0, Some(("client", 1)), Action::CommitLost),
            plan(0, Some(("relay-2", 1)), crash("billing", 10)),
            plan(0, None, cut("client", "broker")),
        ] {
            assert_eq!(fits(&plan), Ok(()), "{plan}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let rebalance = Action::Rebalance {
            group: "ghosts".to_owned(),
        };
        for (plan, word) in [
            (plan(0, None, crash("ghost", 10)), "`ghost`"),
            (plan(0, None, crash("client", 10)), "`client`"),
            (
                plan(0, None, crash("relay-3", 10)),
                "no more than 2 of `relay`",
            ),
            (plan(0, None, crash("relay-4", 10)), "`relay-4`"),
            (plan(u64::MAX, None, crash("billing", 10)), "virtual day"),
            (plan(0, None, crash("billing", u64::MAX)), "virtual day"),
            (plan(0, None, cut("billing", "ghost")), "`ghost`"),
            (plan(0, None, cut("billing", "billing")), "itself"),
            (plan(0, None, rebalance), "`ghosts`"),
            (plan(0, None, Action::CommitLost), "port call"),
            (plan(0, Some(("ghost", 1)), Action::CommitLost), "`ghost`"),
            (plan(0, Some(("relay", 0)), Action::CommitLost), "number 0"),
        ] {
            let misfit = fits(&plan).unwrap_err();
            assert!(misfit.contains(word), "{misfit}");
            assert!(misfit.contains("fault 0"), "{misfit}");
        }
        for (service, instances, word) in [("ghost", 1, "`ghost`"), ("billing", 2, "1 to 1")] {
            let mut many = plan(0, None, crash("billing", 10));
            many.instances = BTreeMap::from([(service.to_owned(), instances)]);
            assert!(fits(&many).unwrap_err().contains(word));
        }
        let mut late = plan(0, None, crash("billing", 10));
        late.workload.push(Operation {
            at_ms: u64::MAX,
            operation: 0.into(),
        });
        assert!(fits(&late).unwrap_err().contains("operation 0"));
    }
}
