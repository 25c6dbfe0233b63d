//! `stormglass incidents`: the article's incidents, measured.

use std::path::PathBuf;

use clap::Args;

use super::output::{say, write};
use super::{CliError, Outcome, engine};
use crate::incidents::{self, INCIDENTS, Incident, Measurement};

/// Seeds of each incident unless it is said how many.
const SEEDS: u64 = 3;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// Incidents by name; all of them unless given
    #[arg(value_name = "NAME")]
    incidents: Vec<String>,
    /// How many seeds each design is run with
    #[arg(long, value_name = "N", default_value_t = SEEDS, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Print the figures as JSON
    #[arg(long, conflicts_with = "out")]
    json: bool,
    /// Write the report on all claims to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Measures, prints and, if asked to, writes the report.
pub(super) fn incidents(arguments: &Arguments) -> Result<Outcome, CliError> {
    engine()?;
    let chosen = chosen(&arguments.incidents)?;
    let measurements = incidents::measure(&chosen, arguments.seeds)?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&measurements);
        say(&json.map_err(|error| CliError::Harness(error.to_string()))?)?;
    } else {
        let told: Vec<String> = measurements.iter().map(told).collect();
        say(&told.join("\n"))?;
    }
    if let Some(file) = &arguments.out {
        write(file, &incidents::markdown(&measurements))?;
    }
    let findings = measurements.iter().flat_map(|own| &own.findings);
    Ok(match findings.into_iter().all(|own| own.holds) {
        true => Outcome::Holds,
        false => Outcome::Broken,
    })
}

fn chosen(names: &[String]) -> Result<Vec<&'static dyn Incident>, CliError> {
    if names.is_empty() {
        return Ok(INCIDENTS.to_vec());
    }
    let known: Vec<&str> = INCIDENTS.iter().map(|own| own.name()).collect();
    let unknown = |name: &str| {
        let known = known.join(", ");
        CliError::Usage(format!("unknown incident `{name}`: there are {known}"))
    };
    let named = names.iter();
    named
        .map(|name| incidents::find(name).ok_or_else(|| unknown(name)))
        .collect()
}

fn told(measurement: &Measurement) -> String {
    let mut told = format!("{}: {}\n", measurement.incident, measurement.promise);
    for finding in &measurement.findings {
        let holds = if finding.holds {
            "holds"
        } else {
            "does not hold"
        };
        told += &format!("  {} {holds}\n", finding.claim);
        for measured in &finding.measured {
            told += &format!("    {:<8} {}\n", measured.design, measured.figures);
        }
    }
    told
}
