//! Smaller plans: the size by which plans are compared, and candidates with few operations.

use std::time::Duration;

use crate::plan::topology::instance_name;
use crate::plan::{
    Action, Aim, Call, Fault, Incident, Plan, ReceiveFault, Restarted, SettleFault, Side,
    StatementFault, Strike,
};

/// The size of a plan: faults, operations, how widely it restarts, instances, and how many calls its
/// faults wait for. A plan is better than another only if its size comes first.
pub(super) fn size(plan: &Plan) -> (usize, usize, u32, u32, u32) {
    let aims = plan.schedule.iter().filter_map(Fault::call);
    let calls = aims.map(|(_, _, nth)| nth).sum();
    let instances = plan.instances.values().sum();
    let restarts = plan.schedule.iter().map(breadth).sum();
    let (faults, operations) = (plan.schedule.len(), plan.workload.len());
    (faults, operations, restarts, instances, calls)
}

/// How widely a fault restarts: one host, a service, everything.
fn breadth(fault: &Fault) -> u32 {
    match restarted(fault) {
        None | Some(Restarted::Host(_)) => 0,
        Some(Restarted::Service(_)) => 1,
        Some(Restarted::Everything) => 2,
    }
}

fn restarted(fault: &Fault) -> Option<&Restarted> {
    match &fault.action {
        Action::Incident {
            incident: Incident::Restart { of, .. },
            ..
        } => Some(of),
        _ => None,
    }
}

/// The plans in which a fault restarts only one of the hosts that it restarts; `hosts` are all of them,
/// with their services.
pub(super) fn with_narrower_restart(
    plan: &Plan,
    fault: usize,
    hosts: &[(String, String)],
) -> Vec<Plan> {
    let is_meant = |service: &str| match restarted(&plan.schedule[fault]) {
        Some(Restarted::Service(own)) => own == service,
        Some(Restarted::Everything) => true,
        Some(Restarted::Host(_)) | None => false,
    };
    let own = hosts.iter().filter(|(_, service)| is_meant(service));
    let narrower = own.map(|(host, _)| {
        let mut plan = plan.clone();
        if let Action::Incident {
            incident: Incident::Restart { of, .. },
            ..
        } = &mut plan.schedule[fault].action
        {
            *of = Restarted::Host(host.clone());
        }
        plan
    });
    narrower.collect()
}

/// The plan with so many instances of a service. What was to befall one that is gone befalls the
/// first, as far as that has a meaning.
pub(super) fn with_instances(plan: &Plan, service: &str, instances: u32) -> Plan {
    let mut plan = plan.clone();
    let most = plan.instances_of(service);
    match instances {
        1 => plan.instances.remove(service),
        _ => plan.instances.insert(service.to_owned(), instances),
    };
    let gone = (instances + 1..=most).map(|number| instance_name(service, number));
    let gone: Vec<String> = gone.collect();
    for fault in &mut plan.schedule {
        for host in fault.hosts_mut() {
            if gone.contains(host) {
                service.clone_into(host);
            }
        }
    }
    plan
}

/// How many pairs of operations are tried at other chances.
const PAIRS_MAX: usize = 4;
/// How many ways to count the calls of several faults are tried for one set of operations.
const COUNTS_MAX: usize = 27;

/// The sets of at most three operations that are worth a try, the most promising first, from
/// operations in the order of promise.
pub(super) fn few(promising: &[usize]) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = promising.iter().map(|own| vec![*own]).collect();
    let front = &promising[..promising.len().min(4)];
    for (index, second) in front.iter().enumerate() {
        sets.extend(front[..index].iter().map(|first| vec![*first, *second]));
    }
    if let [first, second, third, ..] = front {
        sets.push(vec![*first, *second, *third]);
    }
    sets.retain(|set| set.len() < promising.len());
    sets
}

/// The few of those sets that are worth a try at many calls; only one where little is to gain.
pub(super) fn fewest(promising: &[usize]) -> Vec<Vec<usize>> {
    let sets = match promising.len() {
        0..=3 => &[&[0][..]][..],
        _ => &[&[0][..], &[0, 1], &[1], &[0, 1, 2]],
    };
    let fitting = sets.iter().filter(|set| set.len() < promising.len());
    fitting
        .map(|set| set.iter().map(|own| promising[*own]).collect())
        .collect()
}

/// The pairs of operations that are most likely to meet on their way.
pub(super) fn closest(plan: &Plan, promising: &[usize]) -> Vec<Vec<usize>> {
    let mut pairs = Vec::new();
    for (index, second) in promising.iter().enumerate() {
        pairs.extend(promising[..index].iter().map(|first| vec![*first, *second]));
    }
    let at_ms = |operation: usize| plan.workload[operation].at_ms;
    pairs.sort_by_key(|pair| at_ms(pair[0]).abs_diff(at_ms(pair[1])));
    pairs.truncate(PAIRS_MAX);
    pairs
}

/// The plan with these operations only, each at its own time.
pub(super) fn with_operations(plan: &Plan, kept: &[usize]) -> Plan {
    let mut plan = plan.clone();
    let mut index = 0;
    plan.workload.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
    plan
}

/// The plan with all operations at the time of the last of them, so that they are the more likely to meet.
pub(super) fn at_once(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let last = plan.workload.iter().map(|own| own.at_ms).max();
    for operation in &mut plan.workload {
        operation.at_ms = last.unwrap_or_default();
    }
    plan
}

/// The plan with every fault that waits for a call waiting from the first operation on for an early
/// one, in every combination of early ones, those with the fewest calls first.
pub(super) fn with_early_calls(plan: &Plan) -> Vec<Plan> {
    let first = plan.workload.first().map_or(0, |own| own.at_ms);
    let mut plans = vec![plan.clone()];
    for fault in 0..plan.schedule.len() {
        let Some((_, call, _)) = plan.schedule[fault].call() else {
            continue;
        };
        let counts = 1..=early_calls(call);
        let counted = |nth| move |plan: &Plan| counting(plan, fault, nth, first);
        plans = counts
            .flat_map(|nth| plans.iter().map(counted(nth)).collect::<Vec<_>>())
            .collect();
        plans.sort_by_key(size);
        plans.truncate(COUNTS_MAX);
    }
    plans
}

/// The plan with one fault counting to `nth`, from `from_ms` on at the latest.
fn counting(plan: &Plan, fault: usize, nth: u32, from_ms: u64) -> Plan {
    let mut plan = plan.clone();
    let fault = &mut plan.schedule[fault];
    fault.at_ms = fault.at_ms.min(from_ms);
    if let Some(own) = fault.nth_mut() {
        *own = nth;
    }
    plan
}

/// How many calls of a kind one operation may make at one host before the one that matters.
fn early_calls(call: Call) -> u32 {
    match call {
        Call::Statement => 12,
        _ => 3,
    }
}

/// The plan with an incident at a time waiting for a host's call instead.
pub(super) fn waiting_for(plan: &Plan, fault: usize, host: &str, call: Call, side: Side) -> Plan {
    let mut plan = plan.clone();
    if let Action::Incident { on, .. } = &mut plan.schedule[fault].action {
        *on = Some(Aim {
            host: host.to_owned(),
            call,
            nth: 1,
            side,
        });
    }
    plan
}

/// The plan with every incident at the time at which it began, instead of at a call.
pub(super) fn at_times(plan: &Plan, begin: impl Fn(usize) -> Duration) -> Plan {
    let mut plan = plan.clone();
    for (index, fault) in plan.schedule.iter_mut().enumerate() {
        if let Action::Incident { on, .. } = &mut fault.action
            && on.take().is_some()
        {
            fault.at_ms = u64::try_from(begin(index).as_millis()).unwrap_or(u64::MAX);
        }
    }
    plan.schedule.sort_by_key(|fault| fault.at_ms);
    plan
}

/// How many times as strong a fault is made that is to do with few operations what it did with many.
const STRONGER: u64 = 8;
/// How long a fault holds something up at most that is made stronger.
const STRONGEST_MS: u64 = 3_000;
/// The same of a pause, or of a machine that is lost: memberships time out after some seconds.
const LONGEST_PAUSE_MS: u64 = 5_000;

/// The plan with whatever holds something up holding it up for longer; `None` if nothing does.
pub(super) fn with_stronger_faults(plan: &Plan) -> Option<Plan> {
    let mut plan = plan.clone();
    let mut is_any = false;
    for fault in &mut plan.schedule {
        let (ms, most) = match &mut fault.action {
            Action::Incident { incident, .. } => match incident {
                Incident::Latency { latency_ms, .. } => (latency_ms, STRONGEST_MS),
                Incident::Pause { for_ms: ms, .. } | Incident::MachineLoss { down_ms: ms, .. } => {
                    (ms, LONGEST_PAUSE_MS)
                }
                Incident::BrokerOutage { for_ms: ms }
                | Incident::CapacityLimit { for_ms: ms, .. }
                | Incident::DatabaseRestart { down_ms: ms, .. }
                | Incident::DiskFull { for_ms: ms, .. }
                | Incident::ConnectionsUsedUp { for_ms: ms, .. } => (ms, STRONGEST_MS),
                _ => continue,
            },
            Action::Strike { strike, .. } => match strike {
                Strike::Receive(ReceiveFault::Reorder { hold_ms: ms })
                | Strike::Settle(SettleFault::Delay { delay_ms: ms })
                | Strike::Statement(StatementFault::Slow { delay_ms: ms }) => (ms, STRONGEST_MS),
                _ => continue,
            },
        };
        *ms = ms.saturating_mul(STRONGER).min(most.max(*ms));
        is_any = true;
    }
    is_any.then_some(plan)
}

/// The plans with one fault only: a strike at an early call, or an incident at one of these calls.
pub(super) fn with_one_fault(plan: &Plan, calls: &[(String, Call)]) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut kinds = Vec::new();
    for fault in &plan.schedule {
        if kinds.contains(&fault.kind()) {
            continue;
        }
        kinds.push(fault.kind());
        let mut alone = plan.clone();
        alone.schedule = vec![fault.clone()];
        let placed = match &fault.action {
            Action::Strike { .. } => vec![alone],
            Action::Incident { incident, .. } => at_each_of(&alone, incident, calls),
        };
        plans.extend(placed.iter().flat_map(with_early_calls));
    }
    plans
}

/// The plans with the one fault of a plan coming at one of these calls, on either side of it. What befalls a
/// single host befalls the caller then; what befalls a link waits for one of its ends.
fn at_each_of(alone: &Plan, incident: &Incident, calls: &[(String, Call)]) -> Vec<Plan> {
    let sides = [Side::After, Side::Before];
    let befallen = incident.hosts();
    let is_meant = |host: &String| befallen.len() < 2 || befallen.contains(&&**host);
    let places = calls
        .iter()
        .filter(|(host, _)| is_meant(host))
        .flat_map(|call| sides.map(move |side| (call, side)));
    let at_one = |((host, call), side): (&(String, Call), Side)| {
        let mut waiting = waiting_for(alone, 0, host, *call, side);
        if befallen.len() == 1 {
            for struck in waiting.schedule[0].hosts_mut() {
                host.clone_into(struck);
            }
        }
        waiting
    };
    places.map(at_one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::{Operation, PublishFault};
    use crate::seed::Seed;

    fn plan(operations: u64, calls: &[Option<u32>]) -> Plan {
        let fault = |nth: &Option<u32>| match nth {
            Some(nth) => Fault::strike(500, "relay", *nth, PublishFault::AckLost),
            None => Fault::at(500, Incident::BrokerOutage { for_ms: 10 }),
        };
        Plan {
            seed: Seed(0),
            chance: 0,
            instances: BTreeMap::new(),
            workload: (0..operations)
                .map(|index| Operation {
                    at_ms: 100 * index,
                    operation: index.into(),
                })
                .collect(),
            schedule: calls.iter().map(fault).collect(),
        }
    }

    #[test]
    fn fewer_faults_count_most_and_calls_count_least() {
        let ascending = [
            plan(9, &[Some(9)]),
            plan(1, &[None, Some(1)]),
            plan(1, &[Some(1), Some(1)]),
            plan(2, &[None, None]),
        ];
        assert!(ascending.iter().map(size).is_sorted());
        assert_eq!(size(&plan(2, &[None])), size(&plan(2, &[None])));
    }

    #[test]
    fn what_holds_something_up_can_hold_it_up_for_longer() {
        let link = |latency_ms| Incident::Latency {
            a: "broker".to_owned(),
            b: "relay".to_owned(),
            latency_ms,
            for_ms: 500,
        };
        let mut weak = plan(1, &[Some(1)]);
        assert_eq!(with_stronger_faults(&weak), None);
        for (latency_ms, stronger_ms) in [(90, 720), (1_000, 3_000), (5_000, 5_000)] {
            weak.schedule[0] = Fault::at(0, link(latency_ms));
            let strong = with_stronger_faults(&weak).unwrap();
            assert_eq!(strong.schedule, [Fault::at(0, link(stronger_ms))]);
        }
        let lost = |down_ms| Incident::MachineLoss {
            host: "relay".to_owned(),
            down_ms,
        };
        let full = |for_ms| Incident::DiskFull {
            database: "ledger".to_owned(),
            for_ms,
        };
        weak.schedule = vec![Fault::at(0, lost(900)), Fault::at(0, full(900))];
        let strong = with_stronger_faults(&weak).unwrap();
        let stronger = [Fault::at(0, lost(5_000)), Fault::at(0, full(3_000))];
        assert_eq!(strong.schedule, stronger);
    }

    #[test]
    fn what_was_to_befall_an_instance_that_is_gone_befalls_the_first() {
        let mut three = plan(1, &[None, Some(2)]);
        three.instances = BTreeMap::from([("relay".to_owned(), 3)]);
        let crash = Incident::Crash {
            host: "relay-3".to_owned(),
            down_ms: 1,
        };
        three.schedule[0] = Fault::at(0, crash);
        three.schedule[1] = Fault::strike(0, "relay-2", 1, PublishFault::AckLost);
        let two = with_instances(&three, "relay", 2);
        let hosts = |plan: &mut Plan| -> Vec<String> {
            let hosts = plan.schedule.iter_mut().flat_map(Fault::hosts_mut);
            hosts.map(|host| host.clone()).collect()
        };
        assert_eq!(hosts(&mut two.clone()), ["relay", "relay-2"]);
        assert!(size(&two) < size(&three) && two.instances_of("relay") == 2);
    }

    #[test]
    fn one_of_several_faults_is_tried_at_each_call() {
        let crash = |host: &str| {
            let host = host.to_owned();
            Fault::at(900, Incident::Crash { host, down_ms: 1 })
        };
        let mut three = plan(1, &[Some(2)]);
        three.schedule.extend([crash("relay"), crash("billing")]);
        let calls = [("billing".to_owned(), Call::Settle)];
        let told: Vec<String> = with_one_fault(&three, &calls)
            .iter()
            .flat_map(|plan| &plan.schedule)
            .map(|fault| format!("{} {}", fault.what(), fault.moment().unwrap()))
            .collect();
        assert_eq!(told.len(), 9);
        assert_eq!(told[0], "lost ack at publish #1 of relay");
        let crash = "crash billing, down for 1 ms after settle #1 of billing";
        assert_eq!(told[3], crash);
    }

    #[test]
    fn operations_that_may_meet_come_first() {
        let mut crowded = plan(4, &[]);
        crowded.workload[3].at_ms = 101;
        let pairs = closest(&crowded, &[0, 1, 2, 3]);
        assert_eq!(pairs[0], [1, 3]);
        assert_eq!(pairs.len(), PAIRS_MAX);
    }

    #[test]
    fn what_waited_for_a_call_comes_at_its_time() {
        let mut aimed = plan(1, &[None, Some(1)]);
        aimed.schedule[0] =
            waiting_for(&aimed, 0, "relay", Call::Settle, Side::After).schedule[0].clone();
        let timed = at_times(&aimed, |_| Duration::from_millis(700));
        let moments: Vec<_> = timed
            .schedule
            .iter()
            .map(|own| (own.at_ms, own.moment()))
            .collect();
        assert_eq!(moments, [(500, aimed.schedule[1].moment()), (700, None)]);
    }

    #[test]
    fn a_restart_of_many_is_tried_with_each_of_them() {
        let hosts = [
            ("relay", "relay"),
            ("relay-2", "relay"),
            ("billing", "billing"),
        ];
        let hosts = hosts.map(|(host, service)| (host.to_owned(), service.to_owned()));
        let of_all = |of| {
            let mut plan = plan(1, &[]);
            plan.schedule = vec![Fault::at(5, Incident::Restart { of, down_ms: 1 })];
            plan
        };
        for (of, hosts_left) in [
            (Restarted::Everything, 3),
            (Restarted::Service("relay".to_owned()), 2),
            (Restarted::Host("relay".to_owned()), 0),
        ] {
            let whole = of_all(of);
            let narrower = with_narrower_restart(&whole, 0, &hosts);
            assert_eq!(narrower.len(), hosts_left);
            assert!(narrower.iter().all(|plan| size(plan) < size(&whole)));
        }
    }

    #[test]
    fn few_operations_are_fewer_than_there_are() {
        assert!(few(&[]).is_empty() && few(&[0]).is_empty());
        assert_eq!(few(&[1, 0]), [[1], [0]]);
        for set in few(&[4, 2, 0, 1, 3])
            .into_iter()
            .chain(fewest(&[3, 2, 1, 0]))
        {
            assert!((1..=3).contains(&set.len()), "{set:?}");
        }
    }

    #[test]
    fn kept_operations_keep_their_times_and_their_order() {
        let whole = plan(4, &[]);
        let kept = with_operations(&whole, &[3, 1]);
        assert_eq!(
            kept.workload,
            [whole.workload[1].clone(), whole.workload[3].clone()]
        );
    }

    #[test]
    fn every_fault_counts_its_calls_independently() {
        let plans = with_early_calls(&plan(1, &[Some(4), None, Some(4)]));
        assert_eq!(plans.len(), 9);
        assert!(plans.iter().map(size).is_sorted());
        for plan in plans {
            let at: Vec<u64> = plan.schedule.iter().map(|own| own.at_ms).collect();
            assert_eq!(at, [0, 500, 0]);
        }
    }
}
