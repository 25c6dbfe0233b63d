//! The incidents of the article, each measured with the design that failed and the one that holds, on the same load and under
//! the same faults.
//!
//! Reading order: `claims` what the article says, `finding` what was measured of it, `sale` the load, `figures` how a
//! history is counted, `report` the findings as Markdown; then a file for each incident. To add one: a file with a type that implements
//! [`Incident`], and a line in [`INCIDENTS`]. Everything that is measured is virtual time or a count out of a history, so
//! that the same seeds give the same report; but for `lookup_cost`, which says so.

mod added_consumer;
mod at_debug;
mod charged_twice;
mod checkout;
mod claims;
mod dlq_flood;
mod eventing_everything;
mod fat_events;
pub(crate) mod figures;
mod finding;
mod lagging_consumer;
mod lookup_cost;
mod report;
pub(crate) mod sale;
mod scaling_apart;
mod schema_change;
mod shipped_before_paid;
mod small_team;
mod traced_back;
mod trusted_broker;

use std::panic::resume_unwind;

use stormglass::Seed;
use stormglass::database::StoreError;
use stormglass::simulation::RunError;

pub use claims::{CLAIMS, Claim};
pub use finding::{Finding, Measured};
pub use report::{Measurement, markdown};

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A run came to no result.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A service panicked, so that its run says nothing.
    #[error("nothing is measured where a service panics: {0}")]
    Panicked(String),
    /// A real database failed.
    #[error("a database in which look-ups are timed failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The real PostgreSQL server failed.
    #[error(transparent)]
    Server(#[from] StoreError),
    /// This machine gave no room for a database, or no thread.
    #[error("look-ups cannot be timed: {0}")]
    Machine(#[from] std::io::Error),
}

/// One incident of the article.
pub trait Incident: Sync {
    /// Its name, as the command line knows it.
    fn name(&self) -> &'static str;

    /// What the right design promises, in one sentence.
    fn promise(&self) -> &'static str;

    /// What it measures: claims of the article by their ids.
    fn claims(&self) -> &'static [&'static str];

    /// Runs the designs with these seeds, and says what of each claim was found, in the order of [`Incident::claims`].
    ///
    /// # Errors
    ///
    /// See [`MeasureError`]: there is no result.
    fn measure(&self, seeds: &[Seed]) -> Result<Vec<Finding>, MeasureError>;
}

/// All of them, in the order of the article.
pub const INCIDENTS: &[&dyn Incident] = &[
    &checkout::Checkout,
    &charged_twice::ChargedTwice,
    &lookup_cost::LookupCost,
    &shipped_before_paid::ShippedBeforePaid,
    &traced_back::TracedBack,
    &schema_change::SchemaChange,
    &lagging_consumer::LaggingConsumer,
    &dlq_flood::DlqFlood,
    &trusted_broker::TrustedBroker,
    &scaling_apart::ScalingApart,
    &added_consumer::AddedConsumer,
    &fat_events::FatEvents,
    &eventing_everything::EventingEverything,
    &small_team::SmallTeam,
];

/// The incident of this name.
pub fn find(name: &str) -> Option<&'static dyn Incident> {
    INCIDENTS.iter().copied().find(|own| own.name() == name)
}

/// Measures incidents, with as many seeds each, all of them at once: no run has to do with any other.
///
/// # Errors
///
/// See [`MeasureError`].
pub fn measure(
    incidents: &[&'static dyn Incident],
    seeds: u64,
) -> Result<Vec<Measurement>, MeasureError> {
    let own: &[Seed] = &(0..seeds).map(Seed).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let measured = incidents.iter().map(|incident| {
            let measure = move || incident.measure(own);
            (incident, scope.spawn(measure))
        });
        let measured: Vec<_> = measured.collect();
        let measured = measured.into_iter().map(|(incident, measured)| {
            Ok(Measurement {
                incident: incident.name(),
                promise: incident.promise(),
                seeds,
                findings: measured
                    .join()
                    .unwrap_or_else(|panic| resume_unwind(panic))?,
            })
        });
        measured.collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CLAIMS, INCIDENTS};

    #[test]
    fn every_claim_is_measured_by_one_incident() {
        let mut measured = BTreeSet::new();
        for id in INCIDENTS.iter().flat_map(|own| own.claims()) {
            assert!(measured.insert(*id), "`{id}` is measured twice");
        }
        for claim in CLAIMS {
            assert!(measured.remove(claim.id), "nobody measures {}", claim.id);
        }
        assert!(measured.is_empty(), "nobody claims {measured:?}");
    }

    #[test]
    fn every_claim_has_a_row_in_the_report_that_is_kept() {
        let kept = include_str!("../../reports/article.md");
        for claim in CLAIMS {
            let row = format!("| {} |", claim.text);
            let rows: Vec<&str> = kept.lines().filter(|line| line.starts_with(&row)).collect();
            assert_eq!(rows.len(), 1, "{}", claim.id);
            assert!(!rows[0].contains("not asked for"), "{}", claim.id);
        }
    }
}
