//! Planted defects: each breaks its property under the faults that expose it, holds without them if
//! there are any, shrinks to a handful, and replays from a file.

use std::path::{Path, PathBuf};

use scenarios::Deployment;
use stormglass::artefact::{Artefact, Replay};
use stormglass::checker::Verdict;
use stormglass::shrink::{Limits, breaks, shrink};
use stormglass::simulation::{Recording, Run, run};
use stormglass::{Seed, System};
use stormglass_tests::defects::{DEFECTS, Defect, overlapping};

/// Within how many seeds a defect has to be found.
const SEEDS: u64 = 200;
/// How many of the failing seeds are shrunk.
const SHRUNK_SEEDS: usize = 2;
/// The greatest number of faults, and of operations, that a shrunk plan may have.
const LEFT_MAX: usize = 3;
/// How many seeds are run without faults even where the defect is found sooner.
const CALM_SEEDS_MIN: u64 = 15;

/// Where the shrunk failure of a defect is kept, below this package.
pub(super) const KEPT: &str = "tests/regressions/defects";

/// The file that keeps a defect's shrunk failure. `STORMGLASS_KEEP=1` makes these tests write it anew.
fn kept(defect: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.join(KEPT).join(format!("{defect}.json"))
}

/// What a run broke.
fn broken(system: &System, run: &Run) -> Vec<String> {
    let verdicts = system.judge(&run.history);
    let broken = |(property, verdict): (String, Verdict)| match verdict {
        Verdict::Broken(witness) => Some(format!("{property}: {witness}")),
        Verdict::Holds | Verdict::Vacuous(_) => None,
    };
    verdicts.into_iter().filter_map(broken).collect()
}

/// The runs of the first seeds that break what the defect breaks.
fn first_failures(defect: &Defect, system: &System) -> Vec<Run> {
    let runs = (0..SEEDS).map(|seed| run(system, &system.plan(Seed(seed)).unwrap(), Recording::On));
    let failures: Vec<Run> = runs
        .map(Result::unwrap)
        .filter(|run| breaks(system, run, defect.breaks))
        .take(SHRUNK_SEEDS)
        .collect();
    assert_eq!(
        failures.len(),
        SHRUNK_SEEDS,
        "{SEEDS} seeds broke {} too seldom with defect {}",
        defect.breaks,
        defect.id
    );
    failures
}

fn holds_without_faults(system: &System, seeds: u64) {
    for seed in (0..seeds).map(Seed) {
        let plan = system.plan(seed).unwrap().without_faults();
        let run = run(system, &plan, Recording::On).unwrap();
        let broken = broken(system, &run);
        assert!(
            broken.is_empty(),
            "seed {seed} without faults broke {broken:?}"
        );
    }
}

/// Writes the failure to a file, reads it back, and runs it again.
fn replays_to_the_same_digest(defect: &Defect, system: &System, run: &Run) {
    let verdicts = system.judge(&run.history);
    let verdict = verdicts
        .iter()
        .find(|(property, _)| property == defect.breaks);
    let witness = verdict.and_then(|(_, verdict)| verdict.witness()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failure.json");
    let artefact = Artefact::of(system, run, defect.breaks, witness);
    artefact.write(&path).unwrap();
    let read = Artefact::read(&path).unwrap();
    assert_eq!(read, artefact);
    if std::env::var_os("STORMGLASS_KEEP").is_some() {
        artefact.write(&kept(defect.id)).unwrap();
    }
    match read.replay(system).unwrap() {
        Replay::Same(again) => assert_eq!(again.digest(), run.digest()),
        Replay::Diverged(divergence) => panic!("{divergence}"),
    }
}

/// Shrinks a failure to a handful of faults and operations, and replays what is left.
fn shrinks_and_replays(defect: &Defect, system: &System, found: &Run) {
    let seed = found.plan.seed;
    let shrunk = shrink(system, &found.plan, defect.breaks, &Limits::of_runs(600))
        .unwrap()
        .expect("the same plan breaks the same property");
    let plan = &shrunk.run.plan;
    println!(
        "{}: seed {seed}, {} runs, minimal {}, {:?}\n{plan}",
        defect.id,
        shrunk.runs,
        shrunk.one_minimal,
        broken(system, &shrunk.run)
    );
    assert!(plan.schedule.len() <= LEFT_MAX, "seed {seed}: {plan}");
    assert!(plan.workload.len() <= LEFT_MAX, "seed {seed}: {plan}");
    replays_to_the_same_digest(defect, system, &shrunk.run);
}

fn is_detected(id: &str) {
    let defect = Defect::find(id).unwrap();
    let system = defect.system();
    let failures = first_failures(defect, &system);
    for found in &failures {
        shrinks_and_replays(defect, &system, found);
    }
    if !defect.exposed_by.is_empty() {
        let first = failures[0].plan.seed.0;
        holds_without_faults(&system, (first + 1).max(CALM_SEEDS_MIN));
    }
}

/// One test for each defect, so that each can fail and be run on its own.
macro_rules! detected {
    ($($name:ident: $id:literal,)*) => {
        $(#[test]
        fn $name() {
            is_detected($id);
        })*

        #[test]
        fn every_defect_has_a_test() {
            let tested = [$($id),*];
            assert!(DEFECTS.iter().all(|defect| tested.contains(&defect.id)));
            assert_eq!(tested.len(), DEFECTS.len());
        }
    };
}

detected! {
    a_consumer_without_dedup_breaks_effect_once: "no-dedup",
    random_partition_keys_break_entity_order: "random-partition-key",
    writing_whatever_comes_breaks_entity_order: "no-version-guard",
    publishing_after_the_commit_loses_events: "publish-after-commit",
    publishing_before_the_commit_makes_ghosts: "publish-before-commit",
    marking_before_the_acknowledgement_loses_events: "mark-before-ack",
    reading_behind_a_cursor_loses_events: "cursor-over-sequence",
    taking_a_gap_for_a_rollback_loses_events: "gap-timeout",
    swallowing_a_publish_error_loses_events: "swallow-publish-error",
    dropping_after_retries_breaks_dlq_routing: "drop-after-retries",
    swallowing_a_parking_error_breaks_dlq_routing: "dlq-publish-error-swallowed",
    a_memory_of_what_was_handled_breaks_effect_once: "dedup-in-memory",
    recording_before_the_effect_loses_events: "dedup-before-effect",
    recording_after_the_effect_breaks_effect_once: "check-then-act",
    acknowledging_before_the_commit_loses_events: "ack-before-commit",
    counting_transient_errors_breaks_dlq_routing: "retry-burn",
    a_new_correlation_id_breaks_causality: "correlation-regenerated",
    a_new_trace_for_each_try_breaks_one_trace: "traceparent-regenerated",
    naming_the_first_try_as_the_cause_breaks_causality: "cause-of-the-retry",
    charging_before_the_lookup_breaks_money_and_stock: "external-call-before-dedup",
    giving_up_a_compensation_breaks_money_and_stock: "no-compensation",
    compensating_twice_breaks_money_and_stock: "compensation-twice",
    ignoring_a_failure_within_a_batch_loses_events: "flush-ignores-failure",
    clearing_the_outbox_on_start_loses_events: "clear-outbox-on-start",
    never_freeing_a_claim_loses_events: "crashed-claim-never-freed",
    skipping_what_cannot_be_decoded_breaks_dlq_routing: "decode-error-at-debug",
    committing_the_highest_offset_loses_events: "commit-max-offset",
    a_consumer_that_outlives_its_membership_breaks_effect_once: "zombie-consumer",
    selling_by_sight_breaks_money_and_stock: "oversell",
    sharing_an_outbox_row_by_row_breaks_entity_order: "two-relays-skip-locked",
    letting_a_bad_row_queue_again_breaks_entity_order: "poison-row-skipped",
    publishing_a_page_at_once_breaks_entity_order: "parallel-publish",
    trying_one_row_for_ever_breaks_progress: "poison-row-blocks-relay",
    a_circuit_that_stays_open_breaks_breaker: "breaker-never-half-opens",
    blaming_what_was_in_flight_breaks_dlq_routing: "prefetch-blame",
    a_new_key_for_each_mail_breaks_mail_and_charge: "new-mail-key",
    mailing_before_the_commit_breaks_mail_and_charge: "mail-before-commit",
    answering_before_the_commit_breaks_answered_stays: "answer-before-commit",
    binding_the_key_apart_breaks_answered_stays: "key-apart",
    taking_silence_for_a_decline_breaks_money_and_stock: "timeout-taken-for-decline",
    taking_silence_for_a_payment_breaks_mail_and_charge: "timeout-taken-for-payment",
    keeping_a_charge_that_comes_too_late_breaks_money_and_stock: "timeout-without-refund",
    a_deadline_that_dies_with_its_process_breaks_convergence: "timeout-in-memory",
    a_replay_that_the_broker_knows_breaks_dlq_replay: "replay-same-broker-id",
    a_replay_under_a_new_id_makes_ghosts: "replay-new-id",
    an_alert_that_dies_with_its_process_breaks_dlq_alert_truth: "alert-in-memory",
    a_lag_that_is_updated_by_commits_breaks_lag_truth: "lag-from-commits-only",
    skipping_a_version_that_is_not_known_breaks_schema: "unknown-version-at-debug",
    filling_in_what_is_missing_breaks_schema: "default-for-missing-field",
    comparing_with_the_last_version_only_breaks_schema: "transitive-checks-latest-only",
}

#[test]
fn the_right_relay_publishes_what_one_with_a_cursor_loses() {
    let right = overlapping(Deployment::new("overlapping transactions"));
    for defect in ["cursor-over-sequence", "gap-timeout"] {
        let plan = Artefact::read(&kept(defect)).unwrap().plan;
        let run = run(&right, &plan, Recording::On).unwrap();
        assert_eq!(broken(&right, &run), [""; 0], "{defect}");
    }
}
