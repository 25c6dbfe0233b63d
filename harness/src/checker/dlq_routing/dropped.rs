//! Dropped: poison that was acknowledged is parked, or ended otherwise, before.

use super::case::Case;
use crate::checker::breach::Breach;
use crate::message::Position;

/// The poison was acknowledged and is nowhere.
pub(super) fn breach<'h>(case: &Case<'_, 'h>) -> Option<Breach<'h>> {
    let trail = case.trail;
    if trail.applied_by(case.group).is_some() || trail.discarded_by(case.group).is_some() {
        return None;
    }
    let positions = case.positions().into_iter();
    let breaches = positions.filter_map(|position| dropped(case, position));
    breaches.min_by_key(|breach| breach.index)
}

fn dropped<'h>(case: &Case<'_, 'h>, position: &Position) -> Option<Breach<'h>> {
    let acknowledgement = case
        .trails
        .acknowledgements
        .settling(case.group, position)?;
    let (acknowledged, host) = (acknowledgement.index, acknowledgement.host);
    let handlings = case.handlings.iter();
    let delivered = handlings
        .filter(|handling| handling.position == position && handling.index < acknowledged)
        .map(|handling| handling.index)
        .max()?;
    // A retry topic: the consumer handed the event on before it let go of this copy.
    let handed_on = case
        .trail
        .published
        .iter()
        .any(|copy| copy.host == host && (delivered..acknowledged).contains(&copy.index));
    if handed_on || case.parked_at.is_some_and(|at| at < acknowledged) {
        return None;
    }
    let committed = case.trails.commits.between(host, delivered, acknowledged);
    let hint = match committed {
        Some(_) => format!(
            "; if a table holds it for a relay, let a Probe::announced show its rows with {} as \
             their topic",
            case.dead_letters
        ),
        None => String::new(),
    };
    let (group, name) = (case.group, case.trail.name());
    let summary = format!("{group} acknowledged poison {name} without parking it{hint}");
    let breach = case.breach("dropped", acknowledged, summary);
    Some(breach.inevitable_from(acknowledged))
}
