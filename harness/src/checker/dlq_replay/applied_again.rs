//! Applied again: a replayed event had its effect twice at the group that had parked it.

use super::cases::Cases;
use crate::checker::breach::Breach;
use crate::checker::effect_once;

pub(super) fn breaches<'h>(cases: &Cases<'_, 'h>) -> Vec<Breach<'h>> {
    let replayed = cases.replayed();
    replayed
        .flat_map(|case| {
            let twice = effect_once::repeated(case.trail);
            let own = twice.into_iter().filter(|breach| {
                breach.group == Some(case.group) && breach.index > case.replays[0].index
            });
            own.map(|breach| breach.by_rule("applied-again"))
        })
        .collect()
}
