//! The `reference-system` command: what it is asked for, and what its exit code says.
//!
//! Every error is one line on stderr; nothing here panics for what a user can cause.

mod dlq;
mod serve;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reference_system::event::catalogue::catalogue;

/// The environment variable with the operators' token.
const TOKEN: &str = "OPERATIONS_TOKEN";

/// Orders, payments, inventory, shipping and notifications, coupled by events.
#[derive(Parser)]
#[command(
    name = "reference-system",
    version,
    about,
    arg_required_else_help = false
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole shop: gateway, services, relay, operations and schema registry
    Serve(Box<serve::Arguments>),
    /// Look at what a running shop has parked, and settle it
    #[command(subcommand)]
    Dlq(Box<dlq::Command>),
    /// Print every type of event with its versions, schemas, topic and producer, as JSON
    Contracts,
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) if error.use_stderr() => return complain(&one_line(&error), 2),
        Err(help) => {
            // Whoever does not read the help has not asked for it either.
            let _ = write!(std::io::stdout(), "{help}");
            return ExitCode::SUCCESS;
        }
    };
    let done = match command {
        Command::Serve(arguments) => serve::serve(*arguments).map_err(|error| error.to_string()),
        Command::Dlq(command) => dlq::dlq(*command).map_err(|error| error.to_string()),
        Command::Contracts => print_contracts().map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, 1),
    }
}

/// Prints the catalogue of events.
fn print_contracts() -> std::io::Result<()> {
    let catalogue = serde_json::to_string_pretty(catalogue())?;
    writeln!(std::io::stdout(), "{catalogue}")
}

/// Says what is wrong, on one line.
fn complain(problem: &str, code: u8) -> ExitCode {
    let words: Vec<&str> = problem.split_whitespace().collect();
    let _ = writeln!(std::io::stderr(), "reference-system: {}", words.join(" "));
    ExitCode::from(code)
}

/// The first paragraph of clap's complaint and its tip.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraphs = text.split("\n\n").map(str::trim);
    let wanted = paragraphs
        .enumerate()
        .filter(|(number, paragraph)| *number == 0 || paragraph.starts_with("tip:"));
    let wanted: Vec<&str> = wanted
        .map(|(_, paragraph)| paragraph.trim_start_matches("error: "))
        .collect();
    wanted.join("; ")
}
