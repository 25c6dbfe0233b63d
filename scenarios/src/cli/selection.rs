//! The selection: which scenarios and which seeds a command is about.
//!
//! What cannot be meant is refused here, before anything runs.

use clap::Args;
use stormglass::Seed;
use stormglass::check::jobs;

use super::CliError;
use crate::catalogue::{CATALOGUE, Scenario};
use crate::deploy::ShopBroker;

/// More runs at once than this help nobody, and each takes a thread for every connection.
const JOBS_MAX: usize = 1_024;

/// Scenarios and seeds.
#[derive(Args, Clone)]
pub(super) struct Selection {
    /// Scenarios by name; all of them unless given
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// How many seeds of each scenario
    #[arg(long, value_name = "N", value_parser = seeds, allow_negative_numbers = true)]
    pub(super) seeds: Option<u64>,
    /// The first seed; the others follow one by one
    #[arg(long, value_name = "S", default_value_t = Seed(0), allow_negative_numbers = true)]
    pub(super) first_seed: Seed,
    /// How many runs at once; as many as there are cores unless given
    #[arg(long, value_name = "J", value_parser = workers, allow_negative_numbers = true)]
    jobs: Option<usize>,
}

impl Default for Selection {
    fn default() -> Self {
        Selection {
            scenarios: Vec::new(),
            seeds: None,
            first_seed: Seed(0),
            jobs: None,
        }
    }
}

impl Selection {
    /// The scenarios, each once, in the order of the catalogue.
    ///
    /// # Errors
    ///
    /// If a name is unknown, or the scenario cannot be run on this broker.
    pub(super) fn scenarios(&self, broker: ShopBroker) -> Result<Vec<&'static Scenario>, CliError> {
        for name in &self.scenarios {
            scenario(name, broker)?;
        }
        let wanted = |scenario: &&Scenario| match self.scenarios.is_empty() {
            true => scenario.runs_on(broker),
            false => self.scenarios.iter().any(|name| name == scenario.name),
        };
        Ok(CATALOGUE.iter().filter(wanted).collect())
    }

    /// How many seeds of each scenario, unless that is more than there are from the first one on.
    ///
    /// # Errors
    ///
    /// If the last seed would be greater than the greatest there is.
    pub(super) fn seeds_or(&self, usual: u64) -> Result<u64, CliError> {
        let (first, seeds) = (self.first_seed, self.seeds.unwrap_or(usual));
        match first.0.checked_add(seeds - 1) {
            Some(_) => Ok(seeds),
            None => Err(CliError::Usage(format!(
                "--first-seed {first} with {seeds} seeds goes beyond the greatest seed, {}",
                Seed(u64::MAX)
            ))),
        }
    }

    /// Whether it is all scenarios with the usual number of seeds.
    pub(super) fn is_standard(&self) -> bool {
        self.scenarios.is_empty() && self.seeds.is_none()
    }

    /// How many runs at once.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(jobs)
    }
}

/// The scenario of this name.
///
/// # Errors
///
/// If there is none, where the error names the nearest, or if it cannot be run on this broker.
pub(super) fn scenario(name: &str, broker: ShopBroker) -> Result<&'static Scenario, CliError> {
    let scenario = Scenario::find(name);
    let scenario = scenario
        .ok_or_else(|| CliError::Usage(format!("unknown scenario `{name}`: {}", advice(name))))?;
    match scenario.runs_on(broker) {
        true => Ok(scenario),
        false => Err(CliError::Usage(format!(
            "`{name}` is about the ways of Kafka, and the shop is over NATS: `{name}-jetstream` is the same there"
        ))),
    }
}

/// Where to look for the name that was meant.
pub(super) fn advice(name: &str) -> String {
    let near = nearest(name).map(|near| format!("did you mean `{near}`? "));
    format!(
        "{}`stormglass list` names them all",
        near.unwrap_or_default()
    )
}

/// The scenario whose name differs least, if it is near at all.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let names = CATALOGUE.iter().map(|scenario| scenario.name);
    let near = names.map(|known| (distance(&name, known), known)).min()?;
    (near.0 <= near.1.len() / 2).then_some(near.1)
}

/// How many letters have to be inserted, deleted or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

pub(super) fn seeds(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("at least one seed is needed".to_owned()),
        Ok(seeds) => Ok(seeds),
        Err(_) => Err("expected a number of seeds".to_owned()),
    }
}

pub(super) fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one run at a time is needed".to_owned()),
        Ok(workers @ 1..=JOBS_MAX) => Ok(workers),
        _ => Err(format!("expected a number of runs, at most {JOBS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(distance("", "calm"), 4);
        assert_eq!(distance("clam", "calm"), 2);
        assert_eq!(nearest("everthing"), Some("everything"));
        assert_eq!(nearest("CALM"), Some("calm"));
        assert_eq!(nearest("broker_outage"), Some("broker-outage"));
        assert_eq!(nearest("xyzzyplugh"), None);
    }
}
