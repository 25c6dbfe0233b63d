//! Settings of a run that are not part of its plan.

use std::time::Duration;

/// How a system is simulated. Two runs of one plan are equal only with equal settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The step of virtual time in which hosts take turns. Shorter is finer and slower.
    pub tick: Duration,
    /// The least time that a segment takes from host to host.
    pub latency_min: Duration,
    /// The most, without a fault.
    pub latency_max: Duration,
    /// How long a database statement and a commit take, each.
    pub database_latency: Duration,
    /// For how long nothing may happen before a healed system counts as quiet.
    pub quiet: Duration,
    /// How long after healing a system may take to become quiet.
    pub liveness_bound: Duration,
    /// How long the workload waits for an answer to one operation.
    pub operation_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            tick: Duration::from_millis(5),
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(10),
            database_latency: Duration::from_millis(1),
            quiet: Duration::from_millis(1_500),
            liveness_bound: Duration::from_secs(60),
            operation_timeout: Duration::from_secs(10),
        }
    }
}

/// Whether a run leaves a history; without one it costs less and proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// History, digest and probes.
    On,
    /// None of them: for measuring what they cost.
    Off,
}

/// The work of a run that no harness could save: what a benchmark compares the rest with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Writes to sockets.
    pub writes: u64,
    /// Bytes written to sockets.
    pub bytes: u64,
    /// Connections opened on the network.
    pub connections: u64,
    /// Statements that services sent to their databases.
    pub statements: u64,
    /// Commits of services.
    pub commits: u64,
}
