//! The two processes of an audit: this program again, with a command that prints digests.

use std::process::{Command, Stdio};

use stormglass::Seed;

use super::super::CliError;

/// Seeds that one process runs.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) scenario: &'static str,
    pub(super) first: Seed,
    pub(super) seeds: u64,
}

const ORDERS: [&str; 2] = ["ascending", "descending"];

/// The first seed of a chunk, by number, whose digests differ between two processes.
///
/// # Errors
///
/// If a process fails.
pub(super) fn compare(chunk: &Chunk) -> Result<Option<Seed>, CliError> {
    let [ascending, descending] = ORDERS.map(|order| ask(chunk, order, None));
    let mut descending = descending?;
    descending.reverse();
    let ascending = ascending?;
    if ascending.len() != descending.len() {
        return Err(CliError::Harness(format!(
            "audit: one process answered for {} seeds and the other for {}",
            ascending.len(),
            descending.len()
        )));
    }
    let different = ascending.iter().zip(&descending).position(|(a, b)| a != b);
    Ok(different.map(|step| Seed(chunk.first.0.wrapping_add(step as u64))))
}

/// The histories of one seed in both processes.
///
/// # Errors
///
/// If a process fails.
pub(super) fn histories(chunk: &Chunk, seed: Seed) -> Result<(Vec<String>, Vec<String>), CliError> {
    let [ascending, descending] = ORDERS.map(|order| ask(chunk, order, Some(seed)));
    Ok((ascending?, descending?))
}

/// What a process prints, line by line.
fn ask(chunk: &Chunk, order: &str, history_of: Option<Seed>) -> Result<Vec<String>, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::Harness(format!(
            "audit of {} from seed {}: {why}",
            chunk.scenario, chunk.first
        ))
    };
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut command = Command::new(program);
    command
        .args(["digests", chunk.scenario, "--order", order])
        .args(["--first-seed", &chunk.first.to_string()])
        .args(["--seeds", &chunk.seeds.to_string()])
        .stdin(Stdio::null());
    if let Some(seed) = history_of {
        command.args(["--history-of", &seed.to_string()]);
    }
    let output = command.output().map_err(|error| failed(&error))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint.lines().next().unwrap_or("no word why");
        return Err(failed(&complaint.trim_start_matches("stormglass: ")));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect())
}
