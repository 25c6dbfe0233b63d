//! `stormglass digests`: the other process of an audit. Not meant for people.
//!
//! It prints one line for each seed, `SEED DIGEST`, or the history of one of them.

use clap::{Args, ValueEnum};
use stormglass::artefact::lines;
use stormglass::{Seed, audit};

use super::output::say;
use super::{CliError, Outcome, broker, engine, selection};

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The scenario
    scenario: String,
    /// The first seed
    #[arg(long)]
    first_seed: Seed,
    /// How many seeds
    #[arg(long)]
    seeds: u64,
    /// In which order they are run
    #[arg(long, value_enum)]
    order: Order,
    /// Prints the history of this seed instead, in the order up to which it is run
    #[arg(long)]
    history_of: Option<Seed>,
}

/// In which order seeds are run. What one run leaves behind in its process shows when the next one is
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// From the first on.
    Ascending,
    /// From the last back.
    Descending,
}

/// Runs the seeds and prints what they came to.
pub(super) fn digests(arguments: &Arguments) -> Result<Outcome, CliError> {
    let broker = broker()?;
    let system = selection::scenario(&arguments.scenario, broker)?.system_on(broker);
    engine()?;
    for number in 0..arguments.seeds {
        let step = match arguments.order {
            Order::Ascending => number,
            Order::Descending => arguments.seeds - 1 - number,
        };
        let seed = Seed(arguments.first_seed.0.wrapping_add(step));
        let run = audit::recorded(&system, seed)?;
        match arguments.history_of {
            None => say(&format!("{seed} {}", run.digest()))?,
            Some(wanted) if wanted == seed => {
                return say(&lines(&run.history).join("\n")).map(|()| Outcome::Holds);
            }
            Some(_) => {}
        }
    }
    Ok(Outcome::Holds)
}
