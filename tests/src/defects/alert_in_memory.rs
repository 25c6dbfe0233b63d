//! `alert-in-memory`: the monitor remembers in its process that it has told people, and tells them again in its next life.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::alert::Judgement;
use reference_system::clock::now_ms;
use reference_system::consumer::Handler;
use reference_system::identifiers::new_id;
use reference_system::monitor::{Depth, Monitor, PARKED_EVENTS};
use reference_system::ports::pager::{Notice, Status};
use scenarios::catalogue::BROKEN_RELEASE;
use scenarios::deploy::Processes;
use tokio::time::sleep;

/// A monitor that begins its life without an alert.
#[derive(Clone, Copy, Debug)]
pub(super) struct AlertInMemory;

#[async_trait(?Send)]
impl Processes for AlertInMemory {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        BROKEN_RELEASE.consume(environment, handler).await
    }

    async fn monitor(&self, monitor: Monitor) {
        let mut firing = BTreeMap::new();
        while !monitor.shutdown.has_come() {
            for (consumer, database) in &monitor.consumers {
                let depth = Depth::measure(database, consumer, monitor.depth.window).await;
                let Ok(depth) = depth else { continue };
                let is_on = firing.get(consumer).copied().unwrap_or(false);
                let (status, summary) = match monitor.depth.judge(depth) {
                    Judgement::Wrong(summary) if !is_on => (Status::Firing, summary),
                    Judgement::Right(summary) if is_on => (Status::Resolved, summary),
                    _ => continue,
                };
                let notice = Notice {
                    alert: PARKED_EVENTS,
                    labels: [("group", (*consumer).to_owned())].into(),
                    status,
                    summary,
                    since_ms: now_ms(),
                };
                let told = monitor.pager.page(&new_id().to_string(), &notice).await;
                if told.is_ok() {
                    firing.insert(*consumer, status == Status::Firing);
                }
            }
            let wait = sleep(monitor.every);
            monitor.shutdown.unless_it_comes(wait).await;
        }
    }
}
