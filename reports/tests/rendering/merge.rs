//! Merging: the shards of a sweep give what the whole one gave, and nothing else is merged.

use stormglass_reports::merge::{MergeError, merge};
use stormglass_reports::{FailureReport, Shard, Signature, SweepReport};

use crate::samples;

fn shard(text: &str) -> Shard {
    text.parse().expect("a shard")
}

/// The sample as a sweep of seeds of which two broke one property, in two parts.
fn parts() -> [SweepReport; 2] {
    let part = |number: u64| {
        let mut part = samples::broken_sweep().repeatable();
        part.shard = Some(shard(&format!("{number}/2")));
        let seed = number;
        let relay = &mut part.scenarios[1];
        relay.signatures = vec![Signature::once("no-lost-event", "", seed, ["crash"])];
        relay.failures = vec![FailureReport {
            seed,
            ..samples::lost_order()
        }];
        part
    };
    [part(1), part(2)]
}

#[test]
fn counts_are_added_and_the_lowest_seed_is_told() {
    let [one, two] = parts();
    let whole = merge(&[two, one.clone()]).expect("they belong together");
    assert_eq!(whole.shard, None);
    assert_eq!(whole.seeds_total(), 2 * one.seeds_total());
    let relay = &whole.scenarios[1];
    assert_eq!(relay.failures, one.scenarios[1].failures);
    assert_eq!(relay.properties["no-lost-event"].broken, 2);
    assert_eq!(
        relay.signatures[0].to_string(),
        "no-lost-event: 2 seeds: 0x00000001, 0x00000002; bit: crash in each"
    );
}

#[test]
fn a_kept_failure_that_is_back_stays_first() {
    let [mut one, two] = parts();
    one.scenarios[1].back = Some(samples::long_failure());
    let whole = merge(&[one, two]).expect("they belong together");
    let told: Vec<&str> = whole.failures().map(|own| own.property.as_str()).collect();
    assert_eq!(told, ["effect-once", "no-lost-event"]);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let [one, two] = parts();
    let with = |change: &dyn Fn(&mut SweepReport)| {
        let mut other = two.clone();
        change(&mut other);
        merge(&[one.clone(), other]).expect_err("mixed").to_string()
    };
    let said = with(&|other| other.code_version = "9.9.9".to_owned());
    assert_eq!(
        said,
        "the shards do not belong together: the version is 0.1.0 in shard 1/2 and 9.9.9 in shard 2/2"
    );
    assert!(with(&|other| other.first_seed += 1).contains("the first seed"));
    assert!(with(&|other| other.shard = Some(shard("2/3"))).contains("the number of shards"));
    assert!(with(&|other| drop(other.scenarios.pop())).contains("the number of scenarios"));
    assert!(with(&|other| other.scenarios.reverse()).contains("a scenario"));
    let said = with(&|other| other.scenarios[1].seeds_asked = 60);
    assert!(said.contains("relay-crashes of 60 seeds"), "{said}");
    assert!(with(&|other| other.shard = Some(shard("1/2"))).contains("overlap: shard 1/2"));
    assert!(with(&|other| other.shard = None).contains("report 2 is no shard"));
    assert_eq!(merge(&[]), Err(MergeError::Nothing));
    assert_eq!(merge(&[one]), Err(MergeError::Gap { number: 2, of: 2 }));
}
