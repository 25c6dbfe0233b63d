//! Attempts: poison is tried as often as was promised, neither more often nor less.

use std::collections::BTreeMap;

use super::case::Case;
use crate::attempts::Attempts;
use crate::checker::breach::Breach;

/// The poison came once more after as many failed attempts as were promised. Each copy is counted for
/// itself, and where a life is what counts, each life.
pub(super) fn too_many<'h>(case: &Case<'_, 'h>) -> Option<Breach<'h>> {
    let mut failed: BTreeMap<_, u32> = BTreeMap::new();
    let unparked = case.handlings.iter().take_while(|handling| {
        case.parked_at
            .is_none_or(|parked_at| handling.index < parked_at)
    });
    for handling in unparked {
        let starts = case.trails.starts.up_to(handling.host, handling.index);
        let life = match case.attempts {
            Attempts::Exactly(_) => ("", 0),
            Attempts::AtMostPerLife(_) => (handling.host, starts),
        };
        let failed = failed.entry((handling.position, life)).or_default();
        if *failed >= case.attempts.limit() {
            let (group, name) = (case.group, case.trail.name());
            let began_again = case.attempts == Attempts::Exactly(*failed) && starts > 1;
            let hint = match began_again {
                true => "; promise Attempts::AtMostPerLife if a restart may begin the count again",
                false => "",
            };
            let summary = format!(
                "{group} tried poison {name} again after {failed} failed attempts instead of parking \
                 it{hint}"
            );
            return Some(case.breach("too-many-attempts", handling.index, summary));
        }
        *failed += u32::from(case.failed(handling));
    }
    None
}

/// The poison was parked before it had been tried as often as was promised. Copies count together
/// here, because a consumer may count attempts by event; or it goes by the broker's number of deliveries, which
/// includes those that never reached it.
pub(super) fn too_few<'h>(case: &Case<'_, 'h>) -> Option<Breach<'h>> {
    let Attempts::Exactly(least) = case.attempts else {
        return None;
    };
    let parked_at = case.parked_at?;
    let handlings = case.handlings.iter();
    let earlier = handlings.filter(|handling| handling.index < parked_at);
    let (tried, delivered) = earlier.fold((0, 0), |(tried, delivered), handling| {
        (tried + 1, handling.attempt.max(delivered))
    });
    (least > tried.max(delivered) && !case.is_blocked).then(|| {
        let (group, name) = (case.group, case.trail.name());
        let summary = format!("{group} parked poison {name} after {tried} of {least} attempts");
        case.breach("too-few-attempts", parked_at, summary)
    })
}
