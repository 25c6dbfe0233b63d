//! The patience of who waits for a shrink.

use std::time::Duration;

use clap::Args;
use stormglass::shrink::{Limits, Progress};

/// How long a shrink may take.
#[derive(Args, Clone, Default)]
pub(super) struct Patience {
    /// How many seconds each shrink may take; 60 unless given
    #[arg(long, value_name = "N")]
    shrink_seconds: Option<u64>,
}

impl Patience {
    /// The limits of one shrink, which says at every run how far it is.
    pub(super) fn limits<'a>(&self, progress: &'a (dyn Fn(&Progress) + Sync)) -> Limits<'a> {
        let usual = Limits::default();
        let seconds = self.shrink_seconds.map(Duration::from_secs);
        Limits {
            time_max: seconds.unwrap_or(usual.time_max),
            progress,
            ..usual
        }
    }
}
