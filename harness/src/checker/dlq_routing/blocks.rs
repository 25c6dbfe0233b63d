//! Blocks: a parked event holds up the later ones of its entity until its group has applied or
//! discarded it. What is held up has to be parked as well, or it would overtake. So does an event that its group has decided
//! to park, as long as the broker does not take it for the dead letters.

use std::collections::{BTreeMap, BTreeSet};

use super::case::parked_at;
use crate::checker::trail::{Trail, Trails};
use crate::history::What;

/// The parked events of every entity and key at every group.
pub(super) struct Blocks<'h> {
    by_name: BTreeMap<(&'h str, &'h str), Vec<Block>>,
    /// When each group first tried to park an event, by its id, and the broker did not take it.
    tried: BTreeMap<(&'h str, &'h str), u64>,
}

struct Block {
    trail: usize,
    /// Since when its group does not go back and apply it: it is parked, or was tried to be.
    decided: u64,
    ended: u64,
}

impl<'h> Blocks<'h> {
    pub(super) fn of(trails: &Trails<'h>) -> Self {
        let tried = tried(trails);
        let mut by_name: BTreeMap<_, Vec<Block>> = BTreeMap::new();
        for (trail, group) in trails.parkings() {
            let number = trails.number_of(trail.event_id);
            let (Some(number), Some(parked)) = (number, parked_at(trails, trail, group)) else {
                continue;
            };
            // An effect before the park is another copy's: who cannot read this one cannot know.
            let ends = trail.applied.iter().chain(&trail.discarded);
            let ended = ends
                .filter(|end| end.consumer == group && end.index > parked)
                .map(|end| end.index)
                .min();
            let decided = tried.get(&(group, trail.event_id));
            for name in names(trail) {
                by_name.entry((group, name)).or_default().push(Block {
                    trail: number,
                    decided: decided.map_or(parked, |&tried| tried.min(parked)),
                    ended: ended.unwrap_or(u64::MAX),
                });
            }
        }
        Blocks { by_name, tried }
    }

    /// Whether another event of the same entity was to be parked before and had not ended since: then this
    /// one has to follow. What counts is how things stood while the group had this one in hand, or when it first
    /// tried to park it: whoever does not know what became of that cannot go back and apply it.
    pub(super) fn hold_up(&self, number: usize, trail: &Trail<'h>, group: &str, at: u64) -> bool {
        let handed = trail.handled_by(group).map(|handling| handling.index);
        let since = handed.take_while(|&index| index < at).last().unwrap_or(at);
        let tried = self.tried.get(&(group, trail.event_id));
        let since = tried.map_or(since, |&tried| since.min(tried));
        names(trail).into_iter().any(|name| {
            let blocks = self.by_name.get(&(group, name)).into_iter().flatten();
            let mut others = blocks.filter(|block| block.trail != number);
            others.any(|block| block.decided < at && since < block.ended)
        })
    }
}

/// The first publication to a group's dead letters of each event that the broker refused, or of which nobody knows what
/// became of it.
fn tried<'h>(trails: &Trails<'h>) -> BTreeMap<(&'h str, &'h str), u64> {
    let groups = trails.groups();
    let parks = groups.filter_map(|(name, group)| Some((group.dead_letters.as_deref()?, name)));
    let by_topic: BTreeMap<&str, &str> = parks.collect();
    let mut tried = BTreeMap::new();
    for event in &trails.history.events {
        if let What::PublishRejected {
            topic,
            event_id: Some(id),
            ..
        }
        | What::PublishUnknown {
            topic,
            event_id: Some(id),
        } = &event.what
            && let Some(group) = by_topic.get(topic.as_str())
        {
            tried.entry((*group, id.as_str())).or_insert(event.index);
        }
    }
    tried
}

/// What an event's order hangs on: its entity and the keys of its copies.
fn names<'h>(trail: &Trail<'h>) -> BTreeSet<&'h str> {
    let keys = trail.published.iter().map(|copy| &*copy.message.key);
    let mut names: BTreeSet<&str> = keys.collect();
    names.insert(trail.entity());
    names.remove("");
    names
}
