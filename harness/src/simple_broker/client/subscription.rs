//! Receiving: a membership in a consumer group, and the deliveries that come with it.
//!
//! Messages are fetched in small batches and handed out one by one. What a rebalance or a seek has
//! made void is dropped unseen, because the broker hands it out again. No call loses a message if
//! its future is dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::{Broker, BrokerError, Delivery, REQUEST_TIMEOUT};
use crate::broker::{Handout, MemberId};
use crate::event::What;
use crate::message::{Message, POISON, Position};
use crate::plan::ReceiveFault;
use crate::simple_broker::protocol::{Request, Response};
use crate::world::{Injection, lock};

/// How many messages are fetched at once.
const BATCH: u32 = 16;

/// How long the broker keeps a fetch that finds nothing.
const FETCH_WAIT: Duration = Duration::from_secs(1);

/// A consumer's membership in a group.
///
/// Where the broker ends the membership of who is silent, as Kafka does, a task in the background sends heartbeats; a host that stands still
/// sends none and is expelled. Dropping the subscription sends nothing: the membership ends when
/// its session times out, or with this client's next subscription to the group.
pub struct Subscription {
    broker: Broker,
    membership: Arc<Membership>,
    /// Fetched and not handed out yet, in the order in which it came.
    buffer: VecDeque<Handout>,
    /// Held back by a fault of the plan.
    held: Vec<Held>,
    fetching: Option<Fetching>,
    heartbeat: Option<AbortHandle>,
    /// The membership has been given up on this side.
    ended: bool,
}

/// What a subscription and its deliveries know of their membership.
pub(super) struct Membership {
    pub(super) group: Arc<str>,
    pub(super) member: MemberId,
    state: Mutex<State>,
}

struct State {
    /// The last generation that was heard of.
    generation: u64,
    /// Why the membership is over, once it is.
    over: Option<BrokerError>,
    /// The number of the last seek, by partition.
    seeks: BTreeMap<(Arc<str>, u32), u64>,
}

struct Held {
    handout: Handout,
    until: Instant,
    fault: usize,
    injection: Injection<ReceiveFault>,
}

struct Fetching {
    connection: Arc<Connection>,
    answer: oneshot::Receiver<Response>,
    deadline: Instant,
}

impl Membership {
    /// Takes note of the group's generation; what was handed out in an earlier one is void.
    pub(super) fn heard_of(&self, generation: u64) {
        let mut state = lock(&self.state);
        state.generation = state.generation.max(generation);
    }

    /// Takes note of a seek; what was handed out in that partition before it is void.
    pub(super) fn sought(&self, position: &Position, seek: u64) {
        let partition = (position.topic.clone(), position.partition);
        lock(&self.state).seeks.insert(partition, seek);
    }

    /// Takes note that the broker no longer knows the member.
    pub(super) fn expelled(&self) {
        let error = BrokerError::Fenced(format!("no longer a member of {}", self.group));
        lock(&self.state).over.get_or_insert(error);
    }

    fn is_void(&self, handout: &Handout) -> bool {
        let state = lock(&self.state);
        let partition = (handout.position.topic.clone(), handout.position.partition);
        let sought = state.seeks.get(&partition);
        handout.generation < state.generation || sought.is_some_and(|seek| handout.seek < *seek)
    }
}

impl Subscription {
    pub(super) fn new(broker: Broker, group: Arc<str>, member: MemberId, generation: u64) -> Self {
        let membership = Arc::new(Membership {
            group,
            member,
            state: Mutex::new(State {
                generation,
                over: None,
                seeks: BTreeMap::new(),
            }),
        });
        let session = broker.inner.capabilities.session_timeout;
        let heartbeat = session.map(|session| {
            let beat = beat(broker.clone(), membership.clone(), session / 3);
            tokio::spawn(beat).abort_handle()
        });
        Subscription {
            broker,
            membership,
            buffer: VecDeque::new(),
            held: Vec::new(),
            fetching: None,
            heartbeat,
            ended: false,
        }
    }

    /// Waits for the next delivery, for ever if need be. A rebalance that leaves the consumer in
    /// its group goes unnoticed here.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unavailable`] if the connection broke, [`BrokerError::Fenced`] if the
    /// consumer is no longer a member of its group. The subscription is over after an error; the
    /// application has to subscribe again.
    pub async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            self.check()?;
            self.drop_void();
            if let Some(place) = self.released() {
                let gate = &self.broker.inner.gate;
                gate.leave(&self.held[place].injection).await;
                let held = self.held.remove(place);
                return Ok(self.hand_over(held.handout));
            }
            let Some(place) = self.free() else {
                self.wait().await?;
                continue;
            };
            let gate = &self.broker.inner.gate;
            let injection = gate.enter().await;
            let faults = ReceiveFaults::of(&injection);
            if let (Some((fault, events)), Some(first)) = (faults.poison, self.buffer.get(place)) {
                let group = &self.membership.group;
                lock(&gate.world().armed).poison(group, first, fault, events);
            }
            if let Some((fault, hold)) = faults.reorder {
                self.hold_back(place, fault, hold, injection);
                continue;
            }
            gate.leave(&injection).await;
            if let Some(handout) = self.buffer.remove(place) {
                return Ok(self.hand_over(handout));
            }
        }
    }

    /// Fails once the membership is over.
    fn check(&mut self) -> Result<(), BrokerError> {
        let over = lock(&self.membership.state).over.clone();
        over.map_or(Ok(()), |error| Err(self.end(error)))
    }

    /// Ends the membership on this side.
    fn end(&mut self, error: BrokerError) -> BrokerError {
        lock(&self.membership.state)
            .over
            .get_or_insert(error.clone());
        self.stop();
        error
    }

    fn stop(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(heartbeat) = self.heartbeat.take() {
            heartbeat.abort();
        }
        self.fetching = None;
        self.buffer.clear();
        self.held.clear();
        let Membership { group, member, .. } = &*self.membership;
        self.broker.give_up(group, *member);
    }

    fn drop_void(&mut self) {
        let membership = &self.membership;
        self.buffer.retain(|handout| !membership.is_void(handout));
        self.held.retain(|held| !membership.is_void(&held.handout));
    }

    /// The delivery that was held back for long enough, if any.
    fn released(&self) -> Option<usize> {
        let now = Instant::now();
        self.held.iter().position(|held| held.until <= now)
    }

    /// The first delivery that nothing holds back. Neither broker overtakes within a partition on the
    /// way to one subscriber; there only a redelivery breaks the order.
    fn free(&self) -> Option<usize> {
        let blocked = |handout: &Handout| {
            let same = |held: &Held| {
                held.handout.position.partition == handout.position.partition
                    && held.handout.position.topic == handout.position.topic
            };
            self.held.iter().any(same)
        };
        self.buffer.iter().position(|handout| !blocked(handout))
    }

    fn hold_back(
        &mut self,
        place: usize,
        fault: usize,
        hold: Duration,
        injection: Injection<ReceiveFault>,
    ) {
        if let Some(handout) = self.buffer.remove(place) {
            self.held.push(Held {
                handout,
                until: Instant::now() + hold,
                fault,
                injection,
            });
        }
    }

    /// What the group sees of a message.
    fn seen(&self, mut handout: Handout) -> Handout {
        let (gate, group) = (&self.broker.inner.gate, &self.membership.group);
        let poisoned = lock(&gate.world().armed).poisoned(group, &handout);
        if let Some(poisoned) = poisoned {
            let position = &handout.position;
            if poisoned.is_new {
                let (group, position) = (group.clone(), position.clone());
                gate.record(What::MadePoison { group, position });
            }
            let text = format!("payload of {position} undecodable for {group}");
            gate.bit(poisoned.fault, text);
            handout.message = Arc::new(Message {
                payload: POISON.to_vec(),
                ..Message::clone(&handout.message)
            });
        }
        handout
    }

    fn hand_over(&self, handout: Handout) -> Delivery {
        let handout = self.seen(handout);
        for held in &self.held {
            let text = format!(
                "{} held back while {} went on",
                held.handout.position, handout.position
            );
            self.broker.inner.gate.bit(held.fault, text);
        }
        Delivery::new(self.broker.clone(), self.membership.clone(), handout)
    }

    /// Waits until a batch has come or something that was held back is free.
    async fn wait(&mut self) -> Result<(), BrokerError> {
        self.broker.inner.gate.open().await;
        if self.fetching.is_none() {
            match self.fetch().await {
                Ok(fetching) => self.fetching = Some(fetching),
                Err(error) => return Err(self.end(error)),
            }
        }
        let Some(fetching) = &mut self.fetching else {
            return Ok(());
        };
        let release = self.held.iter().map(|held| held.until).min();
        let wakeup = release.map_or(fetching.deadline, |until| until.min(fetching.deadline));
        let answer = tokio::select! {
            biased;
            answer = &mut fetching.answer => answer.ok(),
            () = sleep_until(wakeup) => {
                if wakeup < fetching.deadline {
                    return Ok(());
                }
                fetching.connection.close();
                None
            }
        };
        self.fetching = None;
        self.take(answer)
    }

    async fn fetch(&self) -> Result<Fetching, BrokerError> {
        let connection = self.broker.connection().await?;
        let request = Request::Fetch {
            group: self.membership.group.clone(),
            member: self.membership.member,
            generation: lock(&self.membership.state).generation,
            max: BATCH,
            wait: FETCH_WAIT,
        };
        let closed = || BrokerError::Unavailable("connection closed".to_owned());
        Ok(Fetching {
            answer: connection.call(request).ok_or_else(closed)?,
            connection,
            deadline: Instant::now() + FETCH_WAIT + REQUEST_TIMEOUT,
        })
    }

    fn take(&mut self, answer: Option<Response>) -> Result<(), BrokerError> {
        match answer {
            Some(Response::Fetched(handouts)) => {
                self.buffer.extend(handouts);
                Ok(())
            }
            Some(Response::Rebalanced { generation }) => {
                self.membership.heard_of(generation);
                Ok(())
            }
            Some(Response::NotAMember) => {
                self.membership.expelled();
                self.check()
            }
            Some(other) => Err(self.end(BrokerError::Unavailable(format!("{other:?}")))),
            None => {
                let why = "connection broken".to_owned();
                Err(self.end(BrokerError::Unavailable(why)))
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells the broker at an interval that the consumer is alive, and learns what has become of its
/// membership.
async fn beat(broker: Broker, membership: Arc<Membership>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        broker.inner.gate.open().await;
        let request = Request::Heartbeat {
            group: membership.group.clone(),
            member: membership.member,
        };
        match broker.request(request).await {
            Ok(Response::Alive { generation }) => membership.heard_of(generation),
            Ok(Response::NotAMember) => {
                membership.expelled();
                return;
            }
            // A broker that cannot be reached is noticed by the next fetch.
            _ => {}
        }
    }
}

/// The faults that strike one delivery, by their index in the plan.
#[derive(Default)]
struct ReceiveFaults {
    /// What holds it back, and for how long.
    reorder: Option<(usize, Duration)>,
    /// What makes it poison, and how many of its key.
    poison: Option<(usize, u32)>,
}

impl ReceiveFaults {
    fn of(injection: &Injection<ReceiveFault>) -> Self {
        let mut faults = ReceiveFaults::default();
        for (fault, strike) in injection.strikes() {
            match strike {
                ReceiveFault::Reorder { hold_ms } => {
                    let hold = Duration::from_millis(*hold_ms);
                    faults.reorder.get_or_insert((fault, hold));
                }
                ReceiveFault::Poison { events } => faults.poison = Some((fault, *events)),
            }
        }
        faults
    }
}
