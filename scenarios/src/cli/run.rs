//! `stormglass run`: one seed, and its timeline, or the way of one order.

use clap::Args;
use stormglass::simulation::{self, Recording};
use stormglass::{Seed, narrate};
use stormglass_reports::RowKind;

use super::output::say;
use super::{CliError, Outcome, broker, engine, selection};

/// Rows that are shown only if asked for.
pub(super) const DETAILS: &[RowKind] = &[RowKind::Log, RowKind::Database];

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The scenario
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// The seed
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    seed: Seed,
    /// Also show log lines and what was committed
    #[arg(long)]
    details: bool,
    /// Show one order's way instead, event by event, and where it broke
    #[arg(long, value_name = "ID", conflicts_with = "details")]
    trace_order: Option<String>,
}

/// Runs the seed's plan and shows what happened.
pub(super) fn run(arguments: &Arguments) -> Result<Outcome, CliError> {
    let broker = broker()?;
    let system = selection::scenario(&arguments.scenario, broker)?.system_on(broker);
    engine()?;
    let plan = system.plan(arguments.seed)?;
    let run = simulation::run(&system, &plan, Recording::On)?;
    let verdicts = system.judge(&run.history);
    if let Some(order) = &arguments.trace_order {
        let journey = narrate::journey(&system, &run, &verdicts, order);
        let journey = journey.map_err(|error| CliError::Usage(error.to_string()))?;
        say(&journey.render())?;
        return Ok(Outcome::of(&verdicts));
    }
    let timeline = narrate::timeline(&system, &run, &verdicts);
    let hidden = if arguments.details { &[] } else { DETAILS };
    say(&format!("{plan}\n{}", timeline.render_without(hidden)))?;
    Ok(Outcome::of(&verdicts))
}
