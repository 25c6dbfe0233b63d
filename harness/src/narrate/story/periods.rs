//! Periods: when something was wrong by plan, and where.

use std::collections::BTreeMap;

use stormglass_reports::story::Period;

use super::lanes::Lanes;
use crate::history::What;
use crate::simulation::Run;

/// From the first bite of each fault until it was over, and the times at which hosts were down or stood still.
pub(super) fn periods(run: &Run, lanes: &Lanes) -> Vec<Period> {
    let mut open: BTreeMap<usize, Period> = BTreeMap::new();
    let mut down: BTreeMap<&str, u64> = BTreeMap::new();
    let mut periods = Vec::new();
    for event in &run.history.events {
        let (at_ns, host) = (super::nanoseconds(event), &*event.host);
        let of_host = |label: String, from_ns, until_ns| Period {
            label,
            from_ns,
            until_ns,
            lane: Some(lanes.host(host)),
        };
        match &event.what {
            What::FaultBit { fault, .. } => {
                let label = run.plan.schedule.get(*fault).map(|own| own.what());
                open.entry(*fault).or_insert_with(|| Period {
                    label: label.unwrap_or_default(),
                    from_ns: at_ns,
                    until_ns: at_ns,
                    lane: None,
                });
            }
            What::FaultLifted { fault } => {
                if let Some(period) = open.get_mut(fault) {
                    period.until_ns = at_ns;
                }
            }
            What::HostCrashed | What::HostStopped { .. } => {
                down.insert(host, at_ns);
            }
            What::HostStarted { .. } => {
                let since = down.remove(host);
                periods.extend(since.map(|since| of_host(format!("{host} is down"), since, at_ns)));
            }
            What::HostPaused { until } => {
                let until = until.as_nanos() as u64;
                periods.push(of_host(format!("{host} stands still"), at_ns, until));
            }
            _ => {}
        }
    }
    let end_ns = run.elapsed.as_nanos() as u64;
    periods.extend(down.into_iter().map(|(host, since)| Period {
        label: format!("{host} is down"),
        from_ns: since,
        until_ns: end_ns,
        lane: Some(lanes.host(host)),
    }));
    // Not every fault is said to be lifted; how long it lasts, its plan says.
    periods.extend(open.into_iter().map(|(fault, period)| {
        let fault = run.plan.schedule.get(fault);
        let lasts_ns = fault.map_or(0, |own| own.duration_ms()) * 1_000_000;
        let until_ns = period.from_ns.saturating_add(lasts_ns).min(end_ns);
        Period {
            until_ns: period.until_ns.max(until_ns),
            ..period
        }
    }));
    periods.sort_by_key(|period| (period.from_ns, period.until_ns));
    periods
}
