//! Whole: a parked message is the one that was delivered, and tells why it is parked.

use std::collections::BTreeSet;

use super::Scene;
use crate::checker::breach::Breach;
use crate::checker::trail::{Parked, Published, Trail, Trails};
use crate::message::{Message, POISON};

/// What the name of a header contains that tells why a message was parked. Spring Kafka speaks of
/// exceptions, RabbitMQ of a reason, Kafka Connect of errors, and others of a failure.
const ERROR_WORDS: [&str; 4] = ["error", "exception", "reason", "failure"];

/// Whether a header of this name tells why a message was parked.
pub(in crate::checker) fn tells_why(header: &str) -> bool {
    let plain = header.to_ascii_lowercase();
    ERROR_WORDS.iter().any(|word| plain.contains(word))
}

/// Parked messages that lack something.
pub(super) fn breaches<'h>(scene: &Scene<'_, 'h>) -> Vec<Breach<'h>> {
    let trails = scene.trails.trails.iter().enumerate();
    let parked = trails.flat_map(|(number, trail)| {
        let parked = trail.parked.iter();
        parked.filter_map(move |parked| {
            let flaw = flaw(trail, parked, scene.is_poison(number, parked.group))?;
            let (group, index) = (parked.group, parked.published.index);
            let summary = format!("{group} parked {} {flaw}", trail.name());
            Some(Breach::of(trail.event_id, Some(group), index, summary).by_rule("not-whole"))
        })
    });
    parked.chain(without_id(scene.trails)).collect()
}

/// In what a parked message differs from every copy that it can have been made of.
fn flaw(trail: &Trail<'_>, parked: &Parked<'_>, poison: bool) -> Option<String> {
    let mut nearest = None;
    let earlier = trail.published.iter();
    for copy in earlier.filter(|copy| copy.index < parked.published.index) {
        // One copy that it can have been made of is enough.
        let flaw = difference(copy, parked.published.message, poison)?;
        if nearest.is_none() || Some(copy.position) == parked.original {
            nearest = Some(flaw);
        }
    }
    Some(nearest.unwrap_or_else(|| "under an event id that nobody published before".to_owned()))
}

/// Messages in dead letter topics that lost their id.
fn without_id<'h>(trails: &Trails<'h>) -> Vec<Breach<'h>> {
    if trails.parked_without_id.is_empty() {
        return Vec::new();
    }
    let nameless: BTreeSet<&str> = trails.nameless_keys();
    let parked = trails.parked_without_id.iter();
    parked
        .filter(|parked| !nameless.contains(&*parked.message.key))
        .map(|parked| {
            let (host, topic) = (parked.host, &parked.position.topic);
            let summary = format!("{host} parked a message in {topic} without its event id");
            Breach::at(parked.index, summary).by_rule("without-id")
        })
        .collect()
}

/// In what a parked message differs from the copy that it was made of.
///
/// A payload that the harness poisoned on the way into the dead letter topic is no difference.
fn difference(copy: &Published<'_>, parked: &Message, poison: bool) -> Option<String> {
    let original = copy.message;
    let mut headers = original.headers.iter();
    // Where nobody says what the key is, a NATS message has its subject for one, and each topic another.
    let is_keyless = parked.key == parked.topic;
    if original.key != parked.key && !is_keyless {
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
    let names_error = |name: &String| tells_why(name) && !original.headers.contains_key(name);
    if poison && !parked.headers.keys().any(names_error) {
        return Some("without a header that tells the error".to_owned());
    }
    None
}
