//! The monitor on a host of its own, where a deployment has one.

use std::sync::Arc;
use std::time::Duration;

use reference_system::monitor::{BacklogThreshold, DepthThreshold, LagThreshold, Monitor};
use reference_system::ports::pager::HttpPager;
use reference_system::{Database, Shutdown};
use stormglass::Machine;

use super::third_parties::PAGER;
use super::{Deployment, StartError, handlers};

/// The monitor's host.
pub const MONITOR: &str = "monitor";

/// How the consumers are watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// How much may be parked.
    pub depth: DepthThreshold,
    /// How long an event may wait to be published, if that is watched.
    pub unpublished: Option<Duration>,
    /// How long a message may wait for a group.
    pub waiting: Duration,
    /// How often the monitor looks.
    pub every: Duration,
}

/// Watches until the machine has to stop.
pub(super) async fn run(machine: Machine, deployment: Deployment) -> Result<(), StartError> {
    let Some(watch) = deployment.watch else {
        return Ok(());
    };
    let mut consumers = Vec::new();
    for (name, _) in groups() {
        consumers.push((name, Database::connect(machine.url(name)).await?));
    }
    let pager = Arc::new(HttpPager::new(&format!("http://{PAGER}/")));
    let (_, standings) = deployment.connect().await?;
    let lag = groups().map(|(group, topics)| LagThreshold {
        group,
        topics: topics.to_vec(),
        waiting: watch.waiting,
    });
    let backlog = watch.unpublished;
    let monitor = Monitor {
        depth: watch.depth,
        backlog: backlog.map(|waiting| BacklogThreshold { waiting }),
        lag: lag.into(),
        every: watch.every,
        shutdown: Shutdown::when(machine.terminated()),
        ..Monitor::new(consumers, pager, standings)
    };
    deployment.processes.monitor(monitor).await;
    Ok(())
}

/// Every consumer group with the topics that it reads.
fn groups() -> [(&'static str, &'static [&'static str]); 5] {
    handlers().map(|handler| (handler.consumer(), handler.topics()))
}
