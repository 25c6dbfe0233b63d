//! Settings of a run that are not part of its plan.

use std::time::Duration;

/// How a system is simulated. Two runs of one plan are equal only with equal settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The least time that a segment takes from host to host.
    pub latency_min: Duration,
    /// The most, without a fault.
    pub latency_max: Duration,
    /// How long a database statement and a commit take, each.
    pub database_latency: Duration,
    /// For how long nothing may happen before a healed system counts as quiet.
    pub quiet: Duration,
    /// For how long rows may go on changing after the last thing that was owed, before a healed system
    /// counts as quiet all the same. Work that is named as background
    /// ([`System::background`](crate::System::background)) is not waited for at all.
    pub background_max: Duration,
    /// How long after healing a system may take to become quiet.
    pub liveness_bound: Duration,
    /// How long one step of a run may take, in *real* time. Steps take microseconds; one that takes this
    /// long is blocked, and the run ends with the host that blocks it.
    pub patience: Duration,
    /// How long the workload waits for an answer to one operation.
    pub operation_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(10),
            database_latency: Duration::from_millis(1),
            quiet: Duration::from_millis(1_500),
            background_max: Duration::from_secs(10),
            liveness_bound: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(10),
        }
    }
}

/// What a run leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// History, digest and probes.
    On,
    /// Nothing: it costs less and proves nothing. For measuring what recording costs.
    Off,
}
