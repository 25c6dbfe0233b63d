//! Commands: what came up on a host and whoever drives the run has to carry out.

use std::sync::Mutex;
use std::time::Duration;

use stormglass_machine::Bell;

use super::lock;

/// Something that came up on a host and that whoever drives the run has to carry out.
pub(crate) enum Command {
    /// A call set off a fault, given by its index in the plan.
    SetOff { fault: usize },
    /// A host stands still because of a fault, from now on.
    Paused {
        host: String,
        fault: usize,
        until: Duration,
    },
    /// A host's software came to an end by itself.
    Exited { host: String },
    /// A host's software came to its end because it was told to stop.
    Stopped { host: String },
}

/// The commands that nobody has taken yet.
#[derive(Default)]
pub(crate) struct Commands {
    waiting: Mutex<Vec<Command>>,
    /// Told when there is a command.
    bell: Option<Bell>,
}

impl Commands {
    /// No commands yet; whoever waits for `bell` is told when there are.
    pub(crate) fn ringing(bell: Bell) -> Self {
        Commands {
            waiting: Mutex::default(),
            bell: Some(bell),
        }
    }

    /// Leaves a command for whoever drives the run.
    pub(crate) fn push(&self, command: Command) {
        lock(&self.waiting).push(command);
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// Takes what was left for whoever drives the run.
    pub(crate) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *lock(&self.waiting))
    }
}
