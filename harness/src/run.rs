//! A run as a value: what it is told beside its plan, what it leaves, and why it came to no result.
//!
//! Nothing here runs anything; that is `simulation`.

mod error;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use error::refuse;
pub use error::{Misuse, RunError};
pub use settings::{Recording, Settings};

use crate::history::{Digest, History};
use crate::plan::{Call, Plan};

/// What one run left behind.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was to happen.
    pub plan: Plan,
    /// What happened.
    pub history: History,
    /// The faults, by index in the plan, that had an effect.
    pub bitten: Vec<usize>,
    /// How often each host made each kind of call, in vain or not; what a service polls for is in it.
    pub calls: BTreeMap<(Arc<str>, Call), u64>,
    /// How much virtual time passed.
    pub elapsed: Duration,
}

impl Run {
    /// The digest of the run's history.
    pub fn digest(&self) -> Digest {
        self.history.digest()
    }
}
