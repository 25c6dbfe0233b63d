//! A broker inside the process: a partitioned log with consumer groups, for a monolith in development and for tests.
//!
//! It deliberately does not persist anything: what was published is gone with the process, so a deployment whose
//! events matter takes a durable broker behind the same port. It never drops or trims a message either.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{
    Broker, BrokerError, Delivery, Message, PublishError, Standing, Standings, Subscription,
    partition_of,
};

/// Where a message lives: topic and partition.
type Place = (String, u8);

/// A broker shared by all tasks of one process; clones share the same log.
#[derive(Clone, Default)]
pub struct InProcessBroker {
    shared: Arc<Shared>,
}

/// What all clones share.
#[derive(Default)]
struct Shared {
    /// The log and the groups' progress.
    state: Mutex<State>,
    /// Told whenever something may have become deliverable.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The messages of each partition, in order.
    log: BTreeMap<Place, Vec<Message>>,
    /// When each of them was published.
    published: BTreeMap<Place, Vec<Instant>>,
    /// Each group's progress in each partition.
    progress: BTreeMap<(String, Place), Progress>,
}

/// A group's progress in one partition.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Offset of the next message to deliver.
    offset: usize,
    /// Whether that message is being handled now; its partition waits for it.
    in_flight: bool,
    /// When a held-back partition may be delivered from again.
    held_until: Option<Instant>,
}

/// What a group can do at this moment.
enum Step {
    Deliver(Place, Message),
    WaitUntil(Option<Instant>),
}

impl InProcessBroker {
    /// An empty broker.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every message that was published to `topic`, by partition and in order within each.
    #[must_use]
    pub fn published(&self, topic: &str) -> Vec<Message> {
        let state = self.shared.lock();
        let of_topic = state.log.iter().filter(|((name, _), _)| name == topic);
        of_topic.flat_map(|(_, log)| log.clone()).collect()
    }
}

impl Shared {
    /// No code panics while it holds the lock, so a poisoned lock still guards a consistent state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, group: &str, place: &Place, settle: impl FnOnce(&mut Progress)) {
        let mut state = self.lock();
        let progress = state.progress.entry((group.to_owned(), place.clone()));
        let progress = progress.or_default();
        progress.in_flight = false;
        settle(progress);
        drop(state);
        self.changed.notify_waiters();
    }
}

impl State {
    fn standing(&self, group: &str, place: &Place) -> Standing {
        let progress = self.progress.get(&(group.to_owned(), place.clone()));
        let Progress {
            offset, in_flight, ..
        } = progress.copied().unwrap_or_default();
        let published = self.published.get(place).map_or(&[][..], Vec::as_slice);
        Standing {
            topic: place.0.clone(),
            partition: place.1.into(),
            settled: offset as u64,
            unread: published.len().saturating_sub(offset) as u64,
            waiting: published.get(offset).map(Instant::elapsed),
            is_in_hand: in_flight,
        }
    }

    fn step(&mut self, group: &str, topics: &[String], now: Instant) -> Step {
        let mut wake: Option<Instant> = None;
        for (place, log) in &self.log {
            if !topics.contains(&place.0) {
                continue;
            }
            let progress = self.progress.entry((group.to_owned(), place.clone()));
            let progress = progress.or_default();
            let Some(message) = log.get(progress.offset) else {
                continue;
            };
            if progress.in_flight {
                continue;
            }
            if let Some(until) = progress.held_until.filter(|until| *until > now) {
                wake = Some(wake.map_or(until, |earliest| earliest.min(until)));
                continue;
            }
            progress.in_flight = true;
            return Step::Deliver(place.clone(), message.clone());
        }
        Step::WaitUntil(wake)
    }
}

#[async_trait]
impl Broker for InProcessBroker {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let partition = partition_of(&message.key);
        let place = (message.topic.clone(), partition);
        let mut state = self.shared.lock();
        let published = state.published.entry(place.clone()).or_default();
        published.push(Instant::now());
        state.log.entry(place).or_default().push(message);
        drop(state);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(InProcessSubscription {
            shared: Arc::clone(&self.shared),
            group: group.to_owned(),
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        }))
    }
}

#[async_trait]
impl Standings for InProcessBroker {
    async fn standing(&self, group: &str, topics: &[&str]) -> Result<Vec<Standing>, BrokerError> {
        let state = self.shared.lock();
        let places = state
            .log
            .keys()
            .filter(|(topic, _)| topics.contains(&topic.as_str()));
        Ok(places.map(|place| state.standing(group, place)).collect())
    }
}

/// A member of a group of the in-process broker.
struct InProcessSubscription {
    shared: Arc<Shared>,
    group: String,
    topics: Vec<String>,
}

#[async_trait]
impl Subscription for InProcessSubscription {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Listening before looking: a publish between the two would otherwise be missed.
            changed.as_mut().enable();
            let now = Instant::now();
            let step = self.shared.lock().step(&self.group, &self.topics, now);
            match step {
                Step::Deliver(place, message) => {
                    return Ok(Box::new(InProcessDelivery {
                        shared: Arc::clone(&self.shared),
                        group: self.group.clone(),
                        place,
                        message,
                        settled: false,
                    }));
                }
                Step::WaitUntil(None) => changed.await,
                Step::WaitUntil(Some(until)) => {
                    // A timeout is the partition's hold running out, which the next round finds.
                    let _ = tokio::time::timeout_at(until, changed).await;
                }
            }
        }
    }
}

/// A delivery of the in-process broker; dropping it unsettled delivers the message again.
struct InProcessDelivery {
    shared: Arc<Shared>,
    group: String,
    place: Place,
    message: Message,
    settled: bool,
}

#[async_trait]
impl Delivery for InProcessDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    async fn ack(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.settled = true;
        self.shared.settle(&self.group, &self.place, |progress| {
            progress.offset += 1;
            progress.held_until = None;
        });
        Ok(())
    }

    async fn retry(mut self: Box<Self>, after: Duration) -> Result<(), BrokerError> {
        self.settled = true;
        let until = Instant::now() + after;
        self.shared.settle(&self.group, &self.place, |progress| {
            progress.held_until = Some(until);
        });
        Ok(())
    }
}

impl Drop for InProcessDelivery {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.settle(&self.group, &self.place, |_| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, body: &str) -> Message {
        Message {
            topic: "orders".to_owned(),
            key: key.to_owned(),
            headers: BTreeMap::new(),
            payload: body.as_bytes().to_vec(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_order_of_a_key_and_holds_a_retried_one_back() {
        let broker = InProcessBroker::new();
        for body in ["1", "2"] {
            broker.publish(message("a", body)).await.unwrap();
        }
        let mut member = broker.subscribe("group", &["orders"]).await.unwrap();
        let started = Instant::now();
        let first = member.next().await.unwrap();
        assert_eq!(first.message().payload, b"1");
        first.retry(Duration::from_secs(3)).await.unwrap();
        let again = member.next().await.unwrap();
        assert_eq!(again.message().payload, b"1");
        assert!(started.elapsed() >= Duration::from_secs(3));
        again.ack().await.unwrap();
        assert_eq!(member.next().await.unwrap().message().payload, b"2");
    }

    #[tokio::test(start_paused = true)]
    async fn delivers_again_what_was_dropped_unsettled_and_waits_while_in_flight() {
        let broker = InProcessBroker::new();
        broker.publish(message("a", "1")).await.unwrap();
        let mut member = broker.subscribe("group", &["orders"]).await.unwrap();
        let mut second = broker.subscribe("group", &["orders"]).await.unwrap();
        let delivery = member.next().await.unwrap();
        let while_in_flight = tokio::time::timeout(Duration::from_secs(1), second.next()).await;
        assert!(while_in_flight.is_err());
        drop(delivery);
        assert_eq!(second.next().await.unwrap().message().payload, b"1");
    }

    #[tokio::test(start_paused = true)]
    async fn tells_how_far_a_group_has_come() {
        let broker = InProcessBroker::new();
        for body in ["1", "2"] {
            broker.publish(message("a", body)).await.unwrap();
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        let standing = async || {
            let standing = broker
                .standing("group", &["orders"])
                .await
                .unwrap()
                .remove(0);
            let waiting = standing.waiting.map(|waiting| waiting.as_secs());
            (
                standing.settled,
                standing.unread,
                waiting,
                standing.is_in_hand,
            )
        };
        assert_eq!(standing().await, (0, 2, Some(10), false));
        let mut member = broker.subscribe("group", &["orders"]).await.unwrap();
        let delivery = member.next().await.unwrap();
        assert_eq!(standing().await, (0, 2, Some(10), true));
        delivery.ack().await.unwrap();
        assert_eq!(standing().await, (1, 1, Some(5), false));
        member.next().await.unwrap().ack().await.unwrap();
        assert_eq!(standing().await, (2, 0, None, false));
        assert!(
            broker
                .standing("group", &["other"])
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_group_gets_every_message() {
        let broker = InProcessBroker::new();
        broker.publish(message("a", "1")).await.unwrap();
        for group in ["one", "two"] {
            let mut member = broker.subscribe(group, &["orders"]).await.unwrap();
            member.next().await.unwrap().ack().await.unwrap();
        }
    }
}
