//! Whether a plan fits a system: what it names exists, and it comes to an end.
//!
//! Generated plans always fit. A plan from a file may have been edited, or be of a system that has
//! changed since; it is refused before anything runs.

use super::Plan;
use super::fault::{Action, Fault};
use crate::history::CLIENT;

/// The longest that a plan may take, in virtual milliseconds: a day.
const MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Why a plan cannot be run against a system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan does not fit the system: {0}")]
pub struct Misfit(String);

impl Plan {
    /// Whether the plan can be run against a system with these hosts and consumer groups.
    ///
    /// # Errors
    ///
    /// Names the first operation or fault that cannot be, and why.
    pub fn fits(&self, hosts: &[&str], groups: &[&str]) -> Result<(), Misfit> {
        for (number, operation) in self.workload.iter().enumerate() {
            let wrong = too_late(operation.at_ms);
            said(format!("operation {number}"), wrong)?;
        }
        for (number, fault) in self.schedule.iter().enumerate() {
            let wrong = too_late(fault.trigger.at_ms)
                .or_else(|| too_late(fault.action.duration_ms()))
                .or_else(|| wrong_target(&fault.action, hosts, groups))
                .or_else(|| wrong_aim(fault, hosts));
            let kind = fault.action.kind();
            said(format!("fault {number} ({kind})"), wrong)?;
        }
        Ok(())
    }
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

fn wrong_target(action: &Action, hosts: &[&str], groups: &[&str]) -> Option<String> {
    let no_host = |host: &str| {
        let known = hosts.contains(&host);
        (!known).then(|| format!("names host `{host}`, which the system does not have"))
    };
    match action {
        Action::Crash { host, .. } | Action::Pause { host, .. } => no_host(host),
        Action::Partition { a, b, .. } | Action::Latency { a, b, .. } => no_link(a, b, hosts),
        Action::OneWayPartition { from, to, .. } => no_link(from, to, hosts),
        Action::Rebalance { group } if !groups.contains(&&**group) => Some(format!(
            "names group `{group}`, which the system does not have"
        )),
        _ => None,
    }
}

fn no_link(a: &str, b: &str, hosts: &[&str]) -> Option<String> {
    let ends = |host: &&str| hosts.contains(host) || [CLIENT, crate::broker::HOST].contains(host);
    match [a, b].iter().find(|host| !ends(host)) {
        Some(host) => Some(format!(
            "names host `{host}`, which the system does not have"
        )),
        None => (a == b).then(|| format!("parts host `{a}` from itself")),
    }
}

fn wrong_aim(fault: &Fault, hosts: &[&str]) -> Option<String> {
    let Some(aim) = &fault.trigger.call else {
        let needed = fault.action.is_for_the_port();
        return needed.then(|| "has to aim at a port call".to_owned());
    };
    if !hosts.contains(&&*aim.host) && aim.host != CLIENT {
        let host = &aim.host;
        return Some(format!(
            "aims at host `{host}`, which the system does not have"
        ));
    }
    (aim.nth == 0).then(|| "aims at call number 0; the first is number 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Aim, Call, Side, Trigger};
    use super::super::workload::Operation;
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
        let fit = plan.fits(&["billing", "relay"], &["billing"]);
        fit.map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn what_exists_and_ends_fits() {
        for plan in [
            plan(0, None, crash("billing", 10)),
            plan(0, Some(("client", 1)), Action::CommitLost),
            plan(0, Some(("relay", 1)), crash("billing", 10)),
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
        let mut late = plan(0, None, crash("billing", 10));
        late.workload.push(Operation {
            at_ms: u64::MAX,
            operation: 0.into(),
        });
        assert!(fits(&late).unwrap_err().contains("operation 0"));
    }
}
