//! PostgreSQL's share of the standard sweep: a few scenarios on a private server, because SQLite has one
//! writer at a time and so hides races that PostgreSQL shows.
//!
//! The scenarios run in another process of this program, whose environment names the server.

use std::process::{Command, Stdio};

use stormglass::database::DATABASE_VARIABLE;
use stormglass_reports::{ScenarioReport, json};

use super::super::CliError;
use super::super::output::complain;
use super::cluster::Cluster;

/// Scenarios whose faults and loads make transactions meet.
const SCENARIOS: [&str; 3] = ["calm", "database-faults", "everything"];

/// Seeds of each of them. A run costs several times as much as on SQLite.
const SEEDS: u64 = 10;

/// What the scenarios gave; nothing, and a line that says so, where no server can be had.
///
/// # Errors
///
/// If the other process fails.
pub(super) fn sweep(first_seed: &str, jobs: usize) -> Result<Vec<ScenarioReport>, CliError> {
    match Cluster::start() {
        Ok(cluster) => on(&cluster, first_seed, jobs),
        Err(why) => {
            complain(&format!("stormglass: PostgreSQL was left out: {why}"));
            Ok(Vec::new())
        }
    }
}

fn on(cluster: &Cluster, first_seed: &str, jobs: usize) -> Result<Vec<ScenarioReport>, CliError> {
    let failed = |why: String| CliError::Harness(format!("sweep on PostgreSQL: {why}"));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let output = Command::new(program)
        .arg("sweep")
        .args(SCENARIOS)
        .args(["--seeds", &SEEDS.to_string(), "--format", "json"])
        .args(["--first-seed", first_seed, "--jobs", &jobs.to_string()])
        .env(DATABASE_VARIABLE, cluster.address())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    // It has said on stderr what went wrong.
    if output
        .status
        .code()
        .is_none_or(|code| code == 2 || code == 3)
    {
        return Err(failed("the other process failed".to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let report = json::read(&text).map_err(|error| failed(error.to_string()))?;
    let mut scenarios = report.scenarios;
    for scenario in &mut scenarios {
        scenario.name.push_str(" (PostgreSQL)");
        for failure in &mut scenario.failures {
            failure.replay_command = format!("tests/postgres.sh {}", failure.replay_command);
        }
    }
    Ok(scenarios)
}
