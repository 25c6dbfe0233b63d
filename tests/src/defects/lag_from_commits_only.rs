//! `lag-from-commits-only`: a group's lag is updated when it settles something, so that one that settles nothing has none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use reference_system::Environment;
use reference_system::consumer::Handler;
use reference_system::monitor::Monitor;
use reference_system::ports::broker::{BrokerError, Standing, Standings};
use scenarios::catalogue::ABSENT_CONSUMER;
use scenarios::deploy::Processes;

/// A monitor that hears of a group when that commits.
#[derive(Clone, Copy, Debug)]
pub(super) struct LagFromCommitsOnly;

#[async_trait(?Send)]
impl Processes for LagFromCommitsOnly {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        ABSENT_CONSUMER.consume(environment, handler).await
    }

    async fn monitor(&self, mut monitor: Monitor) {
        monitor.standings = Arc::new(OfCommits {
            broker: monitor.standings.clone(),
            known: Mutex::default(),
        });
        monitor.run().await
    }
}

/// What is known of each group in each partition since its last commit there.
struct OfCommits {
    broker: Arc<dyn Standings>,
    known: Mutex<BTreeMap<(String, String, u32), Standing>>,
}

impl OfCommits {
    fn known(&self, group: &str, standing: Standing) -> Standing {
        let place = (group.to_owned(), standing.topic.clone(), standing.partition);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.entry(place).or_insert(Standing {
            settled: 0,
            unread: 0,
            waiting: None,
            ..standing.clone()
        });
        if last.settled != standing.settled {
            *last = standing;
        }
        last.clone()
    }
}

#[async_trait]
impl Standings for OfCommits {
    async fn standing(&self, group: &str, topics: &[&str]) -> Result<Vec<Standing>, BrokerError> {
        let standing = self.broker.standing(group, topics).await?;
        let known = standing.into_iter().map(|own| self.known(group, own));
        Ok(known.collect())
    }
}
