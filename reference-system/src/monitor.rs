//! The monitor: looks at what every consumer has parked, again and again, and has people told when it is too much.
//!
//! A few parked events a day are normal, hundreds an hour are not; an alert for each of them would soon be ignored. So it
//! is one alert for each consumer group, which fires once and is over once. Several monitors may run.

mod depth;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::alert::AlertError;
use crate::database::Database;
use crate::ports::Pager;
use crate::shutdown::Shutdown;

pub use depth::{Depth, DepthThreshold, PARKED_EVENTS};

/// A process that watches consumers.
pub struct Monitor {
    /// Consumers, each with its database.
    pub consumers: Vec<(&'static str, Database)>,
    /// Who is told.
    pub pager: Arc<dyn Pager>,
    /// How much may be parked.
    pub depth: DepthThreshold,
    /// How often it looks.
    pub every: Duration,
    /// When it has to stop.
    pub shutdown: Shutdown,
}

impl Monitor {
    /// The usual one: it looks every ten seconds, and nobody stops it.
    pub fn new(consumers: Vec<(&'static str, Database)>, pager: Arc<dyn Pager>) -> Self {
        Self {
            consumers,
            pager,
            depth: DepthThreshold::default(),
            every: Duration::from_secs(10),
            shutdown: Shutdown::never(),
        }
    }

    /// Watches until it has to stop.
    pub async fn run(self) {
        while !self.shutdown.has_come() {
            for (consumer, database) in &self.consumers {
                if let Err(error) = self.look(consumer, database).await {
                    tracing::warn!(%error, consumer, "looking again later");
                }
            }
            let wait = sleep(self.every);
            self.shutdown.unless_it_comes(wait).await;
        }
    }

    async fn look(&self, consumer: &str, database: &Database) -> Result<(), AlertError> {
        let depth = Depth::measure(database, consumer, self.depth.window).await?;
        let judgement = self.depth.judge(depth);
        let alert = depth::alert(consumer);
        alert.judge(database, self.pager.as_ref(), judgement).await
    }
}
