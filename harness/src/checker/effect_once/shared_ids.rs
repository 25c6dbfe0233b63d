//! Shared ids: two events under one id, of which a consumer that remembers ids suppresses the second.
//!
//! Only what stands in one topic is compared: an event may be announced to several topics in several
//! forms under one id. What a system leaves empty is no difference.

use crate::checker::breach::Breach;
use crate::checker::trail::{Published, Trail, Trails, differ};
use crate::history::short;

/// The first announcement and the first copy under the event's id that speak of another event.
pub(super) fn breaches<'h>(trails: &Trails<'h>, trail: &Trail<'h>) -> Vec<Breach<'h>> {
    let announced = trail.sharing_its_id.iter().find_map(|other| {
        let announcement = other.announcement;
        let ours = !trails.is_dead_letters(&announcement.topic);
        let (kind, entity) = (&announcement.event_type, &announcement.entity);
        ours.then(|| told(trail, other.index, kind, entity))
    });
    let published = trail.published.iter().enumerate().find_map(|(nth, copy)| {
        let mut earlier = trail.published[..nth].iter();
        let kind = copy.message.event_type().unwrap_or("");
        earlier
            .any(|first| is_other_message(first, copy))
            .then(|| told(trail, copy.index, kind, &copy.message.key))
    });
    announced.into_iter().chain(published).collect()
}

fn is_other_message(first: &Published<'_>, other: &Published<'_>) -> bool {
    let kinds = [first, other].map(|copy| copy.message.event_type().unwrap_or(""));
    first.position.topic == other.position.topic
        && (differ(&first.message.key, &other.message.key) || differ(kinds[0], kinds[1]))
}

fn told<'h>(trail: &Trail<'h>, index: u64, kind: &str, entity: &str) -> Breach<'h> {
    let kind = if kind.is_empty() { "event" } else { kind };
    let summary = format!(
        "{kind} {} of {} shares its id with {}, so that one suppresses the other",
        short(trail.event_id),
        short(entity),
        trail.name()
    );
    Breach::of(trail.event_id, None, index, summary).by_rule("shared-id")
}
