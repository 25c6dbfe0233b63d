//! What the plans of a scenario bring about: the situations that its promise is about have to occur.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scenarios::Scenario;
use stormglass::history::What;
use stormglass::simulation::{Recording, Run, run};
use stormglass::{POISON, Seed};

/// The runs of the first seeds of a scenario.
fn runs(scenario: &str, seeds: u64) -> impl Iterator<Item = Run> {
    let system = Scenario::find(scenario).unwrap().system();
    let generator = system.generator().unwrap();
    let plans = (0..seeds).map(move |seed| generator.plan(Seed(seed)));
    plans.map(move |plan| run(&system, &plan, Recording::On).unwrap())
}

/// How many poison events and how many healthy ones were parked of each entity by each group.
#[derive(Default)]
struct Parked {
    poison: BTreeSet<String>,
    behind: BTreeSet<String>,
}

fn parked(run: &Run) -> BTreeMap<(String, String), Parked> {
    let mut parked: BTreeMap<_, Parked> = BTreeMap::new();
    for event in &run.history.events {
        if let What::Published { position, message } = &event.what
            && position.topic.ends_with(".dlq")
        {
            let of_entity = (position.topic.to_string(), message.key.clone());
            let of_entity = parked.entry(of_entity).or_default();
            let ids = match message.payload == POISON {
                true => &mut of_entity.poison,
                false => &mut of_entity.behind,
            };
            ids.extend(message.event_id().map(str::to_owned));
        }
    }
    parked
}

/// Whether a host crashed while it had poison in hand.
fn crashes_with_poison_in_hand(run: &Run) -> bool {
    let mut poison = BTreeSet::new();
    let mut in_hand = BTreeSet::new();
    for event in &run.history.events {
        let host = &event.host;
        match &event.what {
            What::Published { position, message } if message.payload == POISON => {
                poison.insert(position);
            }
            What::MadePoison { position, .. } => {
                poison.insert(position);
            }
            What::Delivered { position, .. } => {
                in_hand.insert((host, position));
            }
            What::Settled { position, .. } => {
                in_hand.remove(&(host, position));
            }
            What::HostCrashed => {
                let mut held = in_hand.iter();
                if held.any(|(own, position)| *own == host && poison.contains(position)) {
                    return true;
                }
            }
            What::HostStarted { .. } => in_hand.retain(|(own, _)| *own != host),
            _ => {}
        }
    }
    false
}

#[test]
fn poison_meets_one_entity_twice_and_is_followed_by_what_is_healthy() {
    let (mut any, mut twice, mut followed, mut crashed) = (0, 0, 0, 0);
    let seeds = 100;
    for run in runs("poison", seeds) {
        let parked = parked(&run);
        any += u32::from(!parked.is_empty());
        twice += u32::from(parked.values().any(|own| own.poison.len() > 1));
        let is_followed = |own: &Parked| !own.poison.is_empty() && !own.behind.is_empty();
        followed += u32::from(parked.values().any(is_followed));
        crashed += u32::from(crashes_with_poison_in_hand(&run));
    }
    let counts = format!(
        "of {seeds} seeds: {any} park, {twice} two poison ones of one entity, {followed} healthy ones \
         behind poison, {crashed} crash with poison in hand"
    );
    assert!(
        any >= 80 && twice >= 15 && followed >= 30 && crashed >= 5,
        "{counts}"
    );
}

/// How long the services of the scenario `retention` know what they have handled.
const REMEMBERED: Duration = Duration::from_secs(8);

#[test]
fn what_was_forgotten_comes_again() {
    let (mut purged, mut late, mut too_old, mut spread) = (0, 0, 0, 0);
    let seeds = 40;
    for run in runs("retention", seeds) {
        let events = &run.history.events;
        let is_purge = |what: &What| match what {
            What::Logged { message, .. } => message.starts_with("purged"),
            _ => false,
        };
        purged += u32::from(events.iter().any(|event| is_purge(&event.what)));
        let mut published: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        let mut delivered: BTreeMap<_, Vec<Duration>> = BTreeMap::new();
        let mut keys: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        let mut parks_old = false;
        for event in events {
            match &event.what {
                What::Published { position, message } if !position.topic.ends_with(".dlq") => {
                    let id = message.event_id().unwrap_or_default().to_owned();
                    published.entry(id).or_default().push(event.at);
                    keys.entry(message.key.clone()).or_default().push(event.at);
                }
                What::Published { message, .. } => {
                    parks_old |= message
                        .headers
                        .values()
                        .any(|value| value.contains("older than"));
                }
                What::Delivered {
                    group, position, ..
                } => {
                    let place = (group.clone(), position.clone());
                    delivered.entry(place).or_default().push(event.at);
                }
                _ => {}
            }
        }
        let is_late = |times: &Vec<Duration>| times[times.len() - 1] - times[0] > REMEMBERED;
        late += u32::from(delivered.values().any(is_late) || published.values().any(is_late));
        spread += u32::from(keys.values().any(is_late));
        too_old += u32::from(parks_old);
    }
    let counts = format!(
        "of {seeds} seeds: {purged} purge, {late} bring an event again after it was forgotten, {too_old} park \
         one for its age, {spread} have two events of one entity so far apart"
    );
    assert!(
        purged >= 35 && late >= 3 && too_old >= 15 && spread >= 3,
        "{counts}"
    );
}
