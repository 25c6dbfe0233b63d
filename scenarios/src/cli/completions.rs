//! `stormglass completions`: what a shell needs to complete the command.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::say;
use super::{Cli, CliError, Outcome};

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script that a shell is to load.
pub(super) fn completions(arguments: &Arguments) -> Result<Outcome, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "stormglass",
        &mut script,
    );
    say(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Holds)
}
