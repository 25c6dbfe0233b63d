//! The `stormglass` command: everything it does is in [`scenarios::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    scenarios::cli::main()
}
