//! The routing rules: which poison event has to be parked when, and what a parked one looks like.

use std::collections::{BTreeMap, BTreeSet};

use super::handling::{End, Handling, Handlings, Settled};
use super::trouble::Troubles;
use crate::checker::breach::Breach;
use crate::checker::trail::{Parked, Published, Trail, Trails};
use crate::message::{Message, POISON};

/// What the name of a header contains that tells why a message was parked. Spring Kafka speaks of
/// exceptions, RabbitMQ of a reason, Kafka Connect of errors, and others of a failure.
const ERROR_WORDS: [&str; 4] = ["error", "exception", "reason", "failure"];

/// Everything that the rules look at.
pub(super) struct Routing<'t, 'h> {
    trails: &'t Trails<'h>,
    troubles: Troubles<'h>,
    handlings: Handlings<'h>,
    /// By trail, whether the event is poison.
    poison: Vec<bool>,
    /// By group and entity (or key), the events that were parked.
    blocked: BTreeMap<(&'h str, &'h str), Vec<Block>>,
    attempts_max: usize,
}

impl<'t, 'h> Routing<'t, 'h> {
    pub(super) fn new(trails: &'t Trails<'h>, is_poison: impl Fn(&Message) -> bool) -> Self {
        let poisoned =
            |trail: &Trail<'h>| trail.published.iter().any(|copy| is_poison(copy.message));
        let poison: Vec<bool> = trails.trails.iter().map(poisoned).collect();
        let troubles = Troubles::of(trails.history);
        let handlings = Handlings::follow(trails, &troubles, |trail| poison[trail]);
        Routing {
            trails,
            troubles,
            handlings,
            poison,
            blocked: blocked(trails),
            attempts_max: trails.history.description.attempts_max as usize,
        }
    }

    /// Whether a poison event reached a group that has to park it.
    pub(super) fn met_poison(&self) -> bool {
        !self.handlings.by_event.is_empty()
    }

    /// Every rule that was broken, wherever it was.
    pub(super) fn breaches(&self) -> Vec<Breach<'h>> {
        let mut breaches = Vec::new();
        for (&(trail, group), handlings) in &self.handlings.by_event {
            breaches.extend(self.too_many_attempts(trail, group, handlings));
            breaches.extend(self.too_few_attempts(trail, group, handlings));
            breaches.extend(self.parked_again(trail, group, handlings));
        }
        let dropped = self.handlings.settled.iter();
        breaches.extend(dropped.filter_map(|settled| self.dropped(settled)));
        for (number, trail) in self.trails.trails.iter().enumerate() {
            if !trail.parked.is_empty() {
                breaches.extend(self.parked_wrongly(number, trail));
            }
        }
        breaches.extend(self.parked_without_id());
        breaches
    }

    /// The poison came once more after as many failed attempts as were agreed on.
    fn too_many_attempts(
        &self,
        trail: usize,
        group: &'h str,
        handlings: &[Handling<'h>],
    ) -> Option<Breach<'h>> {
        let own = &self.trails.trails[trail];
        let parked_at = parked_at(self.trails, own, group);
        let mut failed: BTreeMap<_, usize> = BTreeMap::new();
        for handling in handlings {
            if parked_at.is_some_and(|parked_at| handling.delivered > parked_at) {
                return None;
            }
            let failed = failed.entry(handling.position).or_default();
            if *failed >= self.attempts_max {
                let summary = format!(
                    "{group} tried poison {} again after {failed} failed attempts instead of parking it",
                    own.name()
                );
                return Some(Breach::of(
                    own.event_id,
                    Some(group),
                    handling.delivered,
                    summary,
                ));
            }
            *failed += usize::from(handling.end == End::Failed);
        }
        None
    }

    /// The poison was parked before it had been tried as often as was agreed on. Copies count
    /// together here, because a consumer may count attempts by event.
    fn too_few_attempts(
        &self,
        trail: usize,
        group: &'h str,
        handlings: &[Handling<'h>],
    ) -> Option<Breach<'h>> {
        let own = &self.trails.trails[trail];
        let parked_at = parked_at(self.trails, own, group)?;
        let tried = handlings
            .iter()
            .filter(|handling| handling.delivered < parked_at)
            .count();
        let (least, early) = (self.attempts_max, tried < self.attempts_max);
        (early && !self.is_blocked(trail, group, parked_at)).then(|| {
            let summary = format!(
                "{group} parked poison {} after {tried} of {least} attempts",
                own.name()
            );
            Breach::of(own.event_id, Some(group), parked_at, summary)
        })
    }

    /// The poison was parked more than once, and nothing came between that explains it.
    fn parked_again(
        &self,
        trail: usize,
        group: &'h str,
        handlings: &[Handling<'h>],
    ) -> Option<Breach<'h>> {
        let own = &self.trails.trails[trail];
        let mut earlier: Option<&Handling<'h>> = None;
        for handling in handlings
            .iter()
            .filter(|handling| !handling.parks.is_empty())
        {
            let twice_at_once = handling.parks.windows(2).find(|pair| {
                let [(first, _), (second, host)] = pair else {
                    return false;
                };
                !self.troubles.between(host, *first, *second)
            });
            let again = match (twice_at_once, earlier) {
                (Some(pair), _) => Some(pair[1].0),
                (None, Some(earlier)) if earlier.end == End::Failed => Some(handling.parks[0].0),
                _ => None,
            };
            if let Some(index) = again {
                let summary = format!(
                    "{group} parked poison {} again without an interruption",
                    own.name()
                );
                return Some(Breach::of(own.event_id, Some(group), index, summary));
            }
            earlier = Some(handling);
        }
        None
    }

    /// The poison was acknowledged and is nowhere.
    fn dropped(&self, settled: &Settled<'h>) -> Option<Breach<'h>> {
        let own = &self.trails.trails[settled.trail];
        let group = settled.group;
        let parked = parked_at(self.trails, own, group).is_some_and(|at| at < settled.index);
        let ended = own.applied_by(group).is_some() || own.discarded_by(group).is_some();
        // A retry topic: the consumer handed the event on before it let go of this copy.
        let handed_on = own.published.iter().any(|copy| {
            copy.host == settled.host && (settled.delivered..settled.index).contains(&copy.index)
        });
        (!parked && !ended && !handed_on).then(|| {
            let summary = format!(
                "{group} acknowledged poison {} without parking it",
                own.name()
            );
            let breach = Breach::of(own.event_id, Some(group), settled.index, summary);
            breach.inevitable_from(settled.index)
        })
    }

    /// What is wrong with an event being parked, or with the parked message.
    fn parked_wrongly(&self, number: usize, trail: &Trail<'h>) -> Vec<Breach<'h>> {
        let mut breaches = Vec::new();
        let groups: BTreeSet<&str> = trail.parked.iter().map(|parked| parked.group).collect();
        for group in groups {
            let mut tell = |index, summary| {
                breaches.push(Breach::of(trail.event_id, Some(group), index, summary));
            };
            if let Some((parked, applied)) = trail.parked_and_applied(group) {
                tell(
                    parked.max(applied),
                    format!("{group} both parked and applied {}", trail.name()),
                );
            }
            let first = trail
                .parked_by(group)
                .next()
                .map_or(0, |parked| parked.published.index);
            let known = !trail.published.is_empty();
            if known && !self.poison[number] && !self.is_blocked(number, group, first) {
                tell(
                    first,
                    format!("{group} parked {}, which was not poison", trail.name()),
                );
            }
            for parked in trail.parked_by(group) {
                if let Some(flaw) = self.flaw(number, trail, parked) {
                    tell(
                        parked.published.index,
                        format!("{group} parked {} {flaw}", trail.name()),
                    );
                }
            }
        }
        breaches
    }

    /// In what a parked message differs from every copy that it can have been made of.
    fn flaw(&self, number: usize, trail: &Trail<'h>, parked: &Parked<'h>) -> Option<String> {
        let message = parked.published.message;
        let mut nearest = None;
        for copy in trail
            .published
            .iter()
            .filter(|copy| copy.index < parked.published.index)
        {
            let flaw = difference(copy, message, self.poison[number])?;
            if nearest.is_none() || Some(copy.position) == parked.original {
                nearest = Some(flaw);
            }
        }
        Some(nearest.unwrap_or_else(|| "under an event id that nobody published before".to_owned()))
    }

    /// Messages in dead letter topics that lost their id.
    fn parked_without_id(&self) -> Vec<Breach<'h>> {
        if self.trails.parked_without_id.is_empty() {
            return Vec::new();
        }
        let nameless: BTreeSet<&str> = self.trails.nameless_keys();
        let parked = self.trails.parked_without_id.iter();
        parked
            .filter(|parked| !nameless.contains(&*parked.message.key))
            .map(|parked| {
                let (host, topic) = (parked.host, &parked.position.topic);
                let summary = format!("{host} parked a message in {topic} without its event id");
                Breach::at(parked.index, summary)
            })
            .collect()
    }

    /// Whether another event of the same entity was parked before and had not ended since: then this
    /// one has to follow. What counts is how things stood while the group had this one in hand.
    fn is_blocked(&self, trail: usize, group: &str, at: u64) -> bool {
        let own = &self.trails.trails[trail];
        let handed = own.delivered_to(group).map(|delivered| delivered.index);
        let since = handed.take_while(|&index| index < at).last().unwrap_or(at);
        names(own).into_iter().any(|name| {
            let blocks = self.blocked.get(&(group, name)).into_iter().flatten();
            let mut others = blocks.filter(|block| block.trail != trail);
            others.any(|block| block.parked < at && since < block.ended)
        })
    }
}

/// A parked event, which holds up its successors until the group has applied or discarded it.
struct Block {
    trail: usize,
    parked: u64,
    ended: u64,
}

/// When a group parked an event first; a parking that goes through an outbox counts from its
/// commit, because nothing can lose it any more.
fn parked_at<'h>(trails: &Trails<'h>, trail: &Trail<'h>, group: &str) -> Option<u64> {
    let published = trail.parked_by(group).map(|parked| parked.published.index);
    let dead_letters = trails
        .history
        .description
        .groups
        .get(group)?
        .dead_letters
        .as_deref()?;
    let announced = trail
        .announced
        .iter()
        .filter(|seen| seen.announcement.topic == dead_letters);
    published.chain(announced.map(|seen| seen.index)).min()
}

/// The parked events of every entity and key at every group.
fn blocked<'h>(trails: &Trails<'h>) -> BTreeMap<(&'h str, &'h str), Vec<Block>> {
    let mut blocked: BTreeMap<_, Vec<Block>> = BTreeMap::new();
    for (number, trail) in trails.trails.iter().enumerate() {
        let groups: BTreeSet<&str> = trail.parked.iter().map(|parked| parked.group).collect();
        for group in groups {
            let Some(parked) = parked_at(trails, trail, group) else {
                continue;
            };
            // An effect before the park is another copy's: who cannot read this one cannot know.
            let ends = trail.applied.iter().chain(&trail.discarded);
            let ended = ends
                .filter(|end| end.consumer == group && end.index > parked)
                .map(|end| end.index)
                .min();
            for name in names(trail) {
                blocked.entry((group, name)).or_default().push(Block {
                    trail: number,
                    parked,
                    ended: ended.unwrap_or(u64::MAX),
                });
            }
        }
    }
    blocked
}

/// What an event's order hangs on: its entity and the keys of its copies.
fn names<'h>(trail: &Trail<'h>) -> BTreeSet<&'h str> {
    let keys = trail.published.iter().map(|copy| &*copy.message.key);
    let mut names: BTreeSet<&str> = keys.collect();
    names.insert(trail.entity());
    names.remove("");
    names
}

/// In what a parked message differs from the copy that it was made of.
///
/// A payload that the harness poisoned on the way into the dead letter topic is no difference.
fn difference(copy: &Published<'_>, parked: &Message, poison: bool) -> Option<String> {
    let original = copy.message;
    let mut headers = original.headers.iter();
    if original.key != parked.key {
        return Some(format!(
            "under the key {} instead of {}",
            parked.key, original.key
        ));
    }
    if original.payload != parked.payload && parked.payload != POISON {
        return Some("with another payload".to_owned());
    }
    if let Some((name, _)) = headers.find(|(name, value)| parked.headers.get(*name) != Some(*value))
    {
        return Some(format!("without its original header {name}"));
    }
    let names_error = |name: &String| {
        let plain = name.to_ascii_lowercase();
        let says_so = ERROR_WORDS.iter().any(|word| plain.contains(word));
        says_so && !original.headers.contains_key(name)
    };
    if poison && !parked.headers.keys().any(names_error) {
        return Some("without a header that tells the error".to_owned());
    }
    None
}
