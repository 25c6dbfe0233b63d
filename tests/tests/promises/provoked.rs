//! What the plans of a scenario bring about: the situations that its promise is about have to occur.

use std::collections::{BTreeMap, BTreeSet};

use scenarios::Scenario;
use stormglass::history::What;
use stormglass::simulation::{Recording, Run, run};
use stormglass::{POISON, Seed};

const SEEDS: u64 = 100;

/// The runs of the first seeds of a scenario.
fn runs(scenario: &str) -> impl Iterator<Item = Run> {
    let system = Scenario::find(scenario).unwrap().system();
    let generator = system.generator().unwrap();
    let plans = (0..SEEDS).map(move |seed| generator.plan(Seed(seed)));
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
    for run in runs("poison") {
        let parked = parked(&run);
        any += u32::from(!parked.is_empty());
        twice += u32::from(parked.values().any(|own| own.poison.len() > 1));
        let is_followed = |own: &Parked| !own.poison.is_empty() && !own.behind.is_empty();
        followed += u32::from(parked.values().any(is_followed));
        crashed += u32::from(crashes_with_poison_in_hand(&run));
    }
    let counts = format!(
        "of {SEEDS} seeds: {any} park, {twice} two poison ones of one entity, {followed} healthy ones \
         behind poison, {crashed} crash with poison in hand"
    );
    assert!(
        any >= 80 && twice >= 15 && followed >= 30 && crashed >= 5,
        "{counts}"
    );
}
