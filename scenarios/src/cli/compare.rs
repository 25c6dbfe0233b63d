//! `stormglass compare`: publish patterns on the same seeds under the same faults.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use stormglass::Seed;
use stormglass::check::jobs;
use stormglass_reports::Comparison;

use super::interrupt;
use super::output::{prepare, say, write};
use super::progress::Progress;
use super::selection::{seeds, workers};
use super::{CliError, Outcome};
use crate::compare::{ADVERSITIES, Adversity, Comparing, wall_times};

/// Seeds of each cell unless it is said how many.
const SEEDS: u64 = 40;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// How many seeds each cell has; 40 unless given
    #[arg(long, value_name = "N", value_parser = seeds, allow_negative_numbers = true)]
    seeds: Option<u64>,
    /// The first seed; the others follow one by one
    #[arg(long, value_name = "S", default_value_t = Seed(0), allow_negative_numbers = true)]
    first_seed: Seed,
    /// Sets of faults by name, with commas between them; all of them unless given
    #[arg(long, value_name = "SET", value_delimiter = ',')]
    faults: Vec<String>,
    /// How many runs at once; as many as there are cores unless given
    #[arg(long, value_name = "J", value_parser = workers, allow_negative_numbers = true)]
    jobs: Option<usize>,
    /// How the comparison is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// A folder for comparison.md, .html and .json, the drawings, and what an order takes on this machine's clock
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Answers and tables
    Human,
    /// One JSON document
    Json,
    /// A Markdown document
    Markdown,
    /// One HTML file
    Html,
}

/// Compares, prints, and writes the folder if asked to.
pub(super) fn compare(arguments: &Arguments) -> Result<Outcome, CliError> {
    let adversities = chosen(&arguments.faults)?;
    if let Some(folder) = &arguments.out {
        prepare(folder)?;
    }
    let seeds = arguments.seeds.unwrap_or(SEEDS);
    if arguments.first_seed.0.checked_add(seeds).is_none() {
        let first = arguments.first_seed;
        return Err(CliError::Usage(format!(
            "--first-seed {first} with {seeds} seeds goes beyond the greatest seed"
        )));
    }
    let bar = Progress::of(seeds, "comparison");
    bar.say("every pattern under all faults on the same seed");
    let comparing = Comparing {
        adversities,
        first: arguments.first_seed,
        seeds,
        jobs: arguments.jobs.unwrap_or_else(jobs),
        interrupted: interrupt::on_request(),
        progress: &|| bar.step(),
    };
    let comparison = comparing.compare();
    bar.end();
    let comparison = comparison?;
    if comparison.seeds == 0 {
        return Err(CliError::Harness(
            "interrupted before any seed was done".to_owned(),
        ));
    }
    say(&match arguments.format {
        Format::Human => comparison.text(),
        Format::Json => comparison.json(),
        Format::Markdown => comparison.markdown(),
        Format::Html => comparison.page(),
    })?;
    if let Some(folder) = &arguments.out {
        write_into(folder, &comparison)?;
    }
    Ok(Outcome::Holds)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Adversity>, CliError> {
    let is_known = |name: &&String| ADVERSITIES.iter().any(|own| own.name == **name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<&str> = ADVERSITIES.iter().map(|own| own.name).collect();
        let known = known.join(", ");
        return Err(CliError::Usage(format!(
            "unknown faults `{unknown}`: there are {known}"
        )));
    }
    let wanted = |own: &&Adversity| names.is_empty() || names.iter().any(|name| name == own.name);
    Ok(ADVERSITIES.iter().filter(wanted).collect())
}

fn write_into(folder: &Path, comparison: &Comparison) -> Result<(), CliError> {
    write(&folder.join("comparison.json"), &comparison.json())?;
    write(&folder.join("comparison.md"), &comparison.markdown())?;
    write(&folder.join("comparison.html"), &comparison.page())?;
    for (name, drawing) in comparison.drawings() {
        write(&folder.join(name), &drawing)?;
    }
    write(&folder.join("wall-time.md"), &wall_time()?)
}

/// What an order takes on this machine's clock, as Markdown. It is a file of its own, because it does not repeat.
fn wall_time() -> Result<String, CliError> {
    let mut text = "# What an order takes on the clock of the machine that ran it\n\n\
                    The median of five runs without faults, one at a time, each with all that the simulation costs; ratios mean more than times.\n\n\
                    | pattern | SQLite, ms an order | PostgreSQL, ms an order |\n|---|---:|---:|\n"
        .to_owned();
    for own in wall_times()? {
        let told = |time: std::time::Duration| format!("{:.2}", time.as_secs_f64() * 1_000.0);
        let postgres = own.postgres.map_or("no server".to_owned(), told);
        text += &format!("| {} | {} | {postgres} |\n", own.pattern, told(own.sqlite));
    }
    Ok(text)
}
