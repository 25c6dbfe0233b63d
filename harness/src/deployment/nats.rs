//! The host of a NATS server: what is published, delivered and settled enters the history, and faults meet it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use stormglass_machine as os;
use stormglass_nats::{
    self as nats, Answer, Client, ConsumerState, Delivery, DeliveryFate, Event, Fate, Publication,
    PublishOutcome, Request, Settle, SettleOutcome as Settled, Settlement as Wish, Witness,
};
use tokio::net::TcpListener;

use super::server::{Server, caller};
use crate::broker::Handout;
use crate::history::{SettleOutcome, Settlement, What, covers};
use crate::message::{Message, POISON, Position};
use crate::plan::{PublishFault, ReceiveFault, SettleFault};
use crate::system::Nats;
use crate::world::Injection;
use crate::world::{Gate, World, lock, now};

/// Where NATS listens.
const PORT: u16 = 4222;

/// The host of a NATS server.
pub(super) struct NatsHost {
    server: nats::Server,
    observed: Arc<Observed>,
}

impl NatsHost {
    pub(super) fn new(broker: &Nats, world: &Arc<World>) -> Self {
        let observed = Observed {
            world: world.clone(),
            broker: broker.clone(),
            log: Mutex::default(),
            calls: Mutex::default(),
        };
        let observed = Arc::new(observed);
        NatsHost {
            server: nats::Server::new(observed.clone()),
            observed,
        }
    }

    /// What each declared group has for its consumers or waits to be settled, by the positions of the messages: what no
    /// consumer of it covers waits for one that does. Of other consumers nothing is promised.
    fn unsettled(&self) -> BTreeMap<Arc<str>, Vec<Position>> {
        let log = lock(&self.observed.log);
        let mut unsettled: BTreeMap<Arc<str>, Vec<Position>> = BTreeMap::new();
        let mut consumers: BTreeMap<Arc<str>, Vec<ConsumerState>> = BTreeMap::new();
        for consumer in self.server.readout().consumers {
            let group = self.observed.broker.group(&consumer.name);
            consumers.entry(group).or_default().push(consumer);
        }
        let groups = self.observed.world.recorder.subscriptions();
        for (group, topics) in groups {
            let consumers = consumers.remove(&*group).unwrap_or_default();
            let mut own = log.unclaimed(&topics, &consumers);
            for consumer in &consumers {
                let delivered = consumer.unsettled.iter().map(|own| own.sequence);
                let delivered = delivered.chain(consumer.given_up.iter().copied());
                let positions =
                    delivered.filter_map(|sequence| log.find(&consumer.stream, sequence));
                own.extend(positions.cloned());
                if consumer.undelivered > 0 {
                    own.extend(log.beyond(consumer).cloned());
                }
            }
            unsettled.insert(group.into(), own);
        }
        unsettled
    }
}

impl Server for NatsHost {
    fn name(&self) -> &Arc<str> {
        &self.observed.broker.name
    }

    fn start(&self, machines: &os::Machine<'_>, gate: Gate) {
        let server = self.server.clone();
        machines.start_service(self.name(), &[], || async move {
            let served = match TcpListener::bind(("0.0.0.0", PORT)).await {
                Ok(listener) => server.serve(listener).await,
                Err(error) => Err(error),
            };
            gate.ended(served.err().map(|error| error.to_string()));
        });
    }

    fn backlog(&self) -> Option<String> {
        let unsettled = self.unsettled();
        let mut owed = unsettled.iter().filter(|(_, own)| !own.is_empty());
        let (group, own) = owed.next()?;
        Some(format!(
            "{group} has {} messages to settle, the first is {}",
            own.len(),
            own[0]
        ))
    }

    fn final_events(&self) -> Vec<What> {
        let mut events = Vec::new();
        for ((topic, partition), messages) in &lock(&self.observed.log).lanes {
            events.push(What::FinalLog {
                topic: topic.clone(),
                partition: *partition,
                messages: messages.clone(),
            });
        }
        for (group, positions) in self.unsettled() {
            let mut lanes: BTreeMap<Lane, Vec<u64>> = BTreeMap::new();
            for position in positions {
                let lane = (position.topic, position.partition);
                lanes.entry(lane).or_default().push(position.offset);
            }
            for ((topic, partition), mut unsettled) in lanes {
                unsettled.sort_unstable();
                events.push(What::FinalGroup {
                    group: group.clone(),
                    topic,
                    partition,
                    unsettled,
                });
            }
        }
        events
    }
}

/// A topic and one of its partitions, for which a subject stands.
type Lane = (Arc<str>, u32);

/// Whether a consumer delivers messages of a subject.
fn wants(consumer: &ConsumerState, subject: &str) -> bool {
    let mut filters = consumer.filters.iter();
    consumer.filters.is_empty() || filters.any(|own| covers(own, subject))
}

/// What was stored, by what its subject stands for: a history knows a message by how many of these came before it.
#[derive(Default)]
struct Log {
    lanes: BTreeMap<Lane, Vec<Arc<Message>>>,
    /// Each message's subject and position, by its stream and its sequence there.
    stored: BTreeMap<(String, u64), (String, Position)>,
}

impl Log {
    fn find(&self, stream: &str, sequence: u64) -> Option<&Position> {
        let stored = self.stored.get(&(stream.to_owned(), sequence));
        stored.map(|(_, position)| position)
    }

    /// What a consumer wants and was not delivered yet.
    fn beyond(&self, consumer: &ConsumerState) -> impl Iterator<Item = &Position> {
        let first = (consumer.stream.clone(), consumer.delivered_sequence + 1);
        let last = (consumer.stream.clone(), u64::MAX);
        let stored = self.stored.range(first..=last).map(|(_, stored)| stored);
        let wanted = stored.filter(|(subject, _)| wants(consumer, subject));
        wanted.map(|(_, position)| position)
    }

    /// What was stored in one of `topics` and is none of `consumers`' to deliver.
    fn unclaimed(&self, topics: &[String], consumers: &[ConsumerState]) -> Vec<Position> {
        let stored = self.stored.iter();
        let unclaimed = stored.filter(|((stream, _), (subject, position))| {
            let mut consumers = consumers.iter().filter(|own| own.stream == *stream);
            topics.iter().any(|own| covers(own, &position.topic))
                && !consumers.any(|own| wants(own, subject))
        });
        unclaimed
            .map(|(_, (_, position))| position.clone())
            .collect()
    }

    fn message(&self, position: &Position) -> Option<&Arc<Message>> {
        let lane = (position.topic.clone(), position.partition);
        let messages = self.lanes.get(&lane)?;
        messages.get(usize::try_from(position.offset).ok()?)
    }

    fn append(
        &mut self,
        publication: &Publication<'_>,
        sequence: u64,
        partition: u32,
        message: Arc<Message>,
    ) -> Position {
        let topic: Arc<str> = message.topic.as_str().into();
        let messages = self.lanes.entry((topic.clone(), partition)).or_default();
        let position = Position {
            topic,
            partition,
            offset: messages.len() as u64,
        };
        messages.push(message);
        let key = (publication.stream.to_owned(), sequence);
        let stored = (publication.subject.to_owned(), position.clone());
        self.stored.insert(key, stored);
        position
    }
}

/// What befalls the calls that a client has made and that are not done.
#[derive(Default)]
struct Calls {
    publish: Injection<PublishFault>,
    settle: Injection<SettleFault>,
    receive: Injection<ReceiveFault>,
}

struct Observed {
    world: Arc<World>,
    broker: Nats,
    log: Mutex<Log>,
    calls: Mutex<BTreeMap<SocketAddr, Calls>>,
}

impl Observed {
    fn gate(&self, client: &Client) -> Option<Gate> {
        caller(&self.world, client.address)
    }

    fn calls<T>(&self, client: &Client, look: impl FnOnce(&mut Calls) -> T) -> T {
        look(lock(&self.calls).entry(client.address).or_default())
    }

    /// A message as properties read it, and its partition. Its key is its subject, unless the test says otherwise: NATS
    /// knows no keys.
    fn message(&self, publication: &Publication<'_>) -> (Arc<Message>, u32) {
        let subject = publication.subject;
        let (topic, partition) = self.broker.place(subject);
        let mut message = Message::new(&topic, subject, publication.payload);
        for (name, value) in nats::headers(publication.headers) {
            message.headers.entry(name).or_insert(value);
        }
        (Arc::new(self.broker.labelled(message)), partition)
    }

    /// What a consumer is handed.
    fn handout(&self, delivery: &Delivery<'_>) -> Option<Handout> {
        let log = lock(&self.log);
        let position = log.find(delivery.stream, delivery.sequence)?.clone();
        let message = log.message(&position)?.clone();
        Some(Handout {
            position,
            attempt: u32::try_from(delivery.attempt).unwrap_or(u32::MAX),
            generation: 0,
            seek: 0,
            message,
        })
    }
}

impl Witness for Observed {
    fn before_publish(&self, client: &Client, publication: &Publication<'_>) -> Fate {
        let Some(gate) = self.gate(client) else {
            return Fate::default();
        };
        let injection = gate.strike::<PublishFault>();
        let mut fate = Fate::default();
        if let Some(fault) = self.world.conditions.refuses_publish(now()) {
            gate.bit(fault, "publish refused".to_owned());
            fate.request = Request::Refuse(nats::ApiError::insufficient_resources());
        }
        let (message, _) = self.message(publication);
        for (fault, strike) in injection.strikes() {
            match strike {
                PublishFault::AckLost => {
                    gate.bit(fault, strike.to_string());
                    fate.answer = Answer::Never;
                }
                PublishFault::Poison => {
                    gate.bit(fault, strike.to_string());
                    fate.request = Request::Corrupt(Bytes::from_static(POISON));
                }
                PublishFault::TooLarge { for_ms } => {
                    if let Some(event_id) = message.event_id() {
                        let until = now() + Duration::from_millis(*for_ms);
                        lock(&self.world.armed).make_too_large(event_id, fault, until);
                    }
                }
            }
        }
        let refused = lock(&self.world.armed).refused(message.event_id(), now());
        if let Some(refused) = refused {
            fate.request = Request::Refuse(nats::ApiError::message_too_large());
            if refused.is_new && !gate.is_dead() {
                let (fault, event_id) = (refused.fault, message.event_id().unwrap_or_default());
                gate.bit(fault, "publish refused as too large".to_owned());
                let event_id = event_id.to_owned();
                gate.record(What::MadeTooLarge { fault, event_id });
            }
        }
        if gate.is_dead() {
            fate.request = Request::Lose;
        }
        self.calls(client, |own| own.publish = injection);
        fate
    }

    fn published(&self, client: &Client, publication: &Publication<'_>, outcome: &PublishOutcome) {
        let injection = self.calls(client, |own| std::mem::take(&mut own.publish));
        let Some(gate) = self.gate(client) else {
            return;
        };
        let (message, partition) = self.message(publication);
        let event_id = message.event_id().map(str::to_owned);
        let topic = message.topic.clone();
        let is_heard = injection
            .strikes()
            .all(|(_, own)| *own != PublishFault::AckLost);
        let position = match outcome {
            PublishOutcome::Stored(sequence) => {
                let mut log = lock(&self.log);
                let position = log.append(publication, *sequence, partition, message.clone());
                drop(log);
                let what = What::Published {
                    position: position.clone(),
                    message,
                };
                // It is stored, whatever became of its producer.
                self.world.recorder.record(gate.host(), what);
                Some(position)
            }
            PublishOutcome::Duplicate(sequence) => {
                let position = lock(&self.log).find(publication.stream, *sequence).cloned();
                if let Some(position) = position.clone() {
                    let event_id = event_id.clone();
                    gate.record(What::PublishDeduplicated { position, event_id });
                }
                position
            }
            PublishOutcome::Refused(error) if is_heard => {
                gate.record(What::PublishRejected {
                    topic: topic.clone(),
                    event_id: event_id.clone(),
                    reason: error.description.clone(),
                });
                None
            }
            PublishOutcome::Unwanted(_) | PublishOutcome::Refused(_) => None,
        };
        gate.struck(&injection);
        match position {
            Some(position) if is_heard => {
                gate.record(What::PublishAcknowledged { position, event_id });
            }
            // Taken or refused, its producer hears nothing of it.
            _ if !is_heard => gate.record(What::PublishUnknown { topic, event_id }),
            _ => {}
        }
    }

    fn before_delivery(&self, client: &Client, delivery: &Delivery<'_>) -> DeliveryFate {
        let handout = self.handout(delivery);
        let (Some(gate), Some(handout)) = (self.gate(client), handout) else {
            return DeliveryFate::Deliver;
        };
        let group = self.broker.group(delivery.consumer);
        let injection = gate.strike::<ReceiveFault>();
        let mut fate = DeliveryFate::Deliver;
        for (fault, strike) in injection.strikes() {
            match strike {
                ReceiveFault::Reorder { hold_ms } => {
                    gate.bit(fault, strike.to_string());
                    fate = DeliveryFate::Delay(Duration::from_millis(*hold_ms));
                }
                ReceiveFault::Poison { events } => {
                    lock(&self.world.armed).poison(&group, &handout, fault, *events);
                }
            }
        }
        // What no longer reaches its consumer is not made poison: nobody would know of it.
        let poisoned = match gate.is_dead() {
            true => None,
            false => lock(&self.world.armed).poisoned(&group, &handout),
        };
        if let Some(poisoned) = poisoned {
            fate = DeliveryFate::Corrupt(Bytes::from_static(POISON));
            if poisoned.is_new {
                gate.bit(poisoned.fault, format!("poison for {group}"));
                let position = handout.position;
                gate.record(What::MadePoison { group, position });
            }
        }
        if gate.is_dead() {
            fate = DeliveryFate::Lose;
        }
        self.calls(client, |own| own.receive = injection);
        fate
    }

    fn delivered(&self, client: &Client, delivery: &Delivery<'_>) {
        let injection = self.calls(client, |own| std::mem::take(&mut own.receive));
        let handout = self.handout(delivery);
        if let (Some(gate), Some(handout)) = (self.gate(client), handout) {
            gate.record(What::Delivered {
                group: self.broker.group(delivery.consumer),
                position: handout.position,
                attempt: handout.attempt,
                generation: 0,
            });
            gate.struck(&injection);
        }
    }

    fn before_settlement(&self, client: &Client, settle: &Settle<'_>) -> Fate {
        let Some(gate) = self.gate(client) else {
            return Fate::default();
        };
        if *settle.settlement == Wish::Progress {
            return Fate::default();
        }
        let injection = gate.strike::<SettleFault>();
        let mut fate = Fate::default();
        for (fault, strike) in injection.strikes() {
            gate.bit(fault, strike.to_string());
            fate.request = match strike {
                SettleFault::Duplicate => Request::Lose,
                SettleFault::Delay { delay_ms } => Request::Delay(Duration::from_millis(*delay_ms)),
            };
        }
        if gate.is_dead() {
            fate.request = Request::Lose;
        }
        if fate.request == Request::Lose {
            gate.struck(&injection);
        } else {
            self.calls(client, |own| own.settle = injection);
        }
        fate
    }

    fn settled(&self, client: &Client, settle: &Settle<'_>, outcome: Settled) {
        let settlement = match settle.settlement {
            Wish::Ack | Wish::Next | Wish::Term(_) => Settlement::Ack,
            Wish::Nak(_) => Settlement::Retry,
            Wish::Progress => return,
        };
        let injection = self.calls(client, |own| std::mem::take(&mut own.settle));
        let position = lock(&self.log)
            .find(settle.stream, settle.sequence)
            .cloned();
        if let (Some(gate), Some(position)) = (self.gate(client), position) {
            // It took effect, whatever became of its sender.
            let what = What::Settled {
                group: self.broker.group(settle.consumer),
                position,
                settlement,
                outcome: match outcome {
                    Settled::Accepted => SettleOutcome::Accepted,
                    Settled::Stale => SettleOutcome::Stale,
                },
                generation: 0,
            };
            self.world.recorder.record(gate.host(), what);
            gate.struck(&injection);
        }
    }

    fn happened(&self, client: Option<&Client>, event: &Event<'_>) {
        match event {
            Event::LeaseExpired {
                stream,
                consumer,
                sequence,
                ..
            } => {
                let position = lock(&self.log).find(stream, *sequence).cloned();
                if let Some(position) = position {
                    let group = self.broker.group(consumer);
                    let host = client.and_then(|client| self.gate(client));
                    let host =
                        host.map_or_else(|| self.broker.name.clone(), |own| own.host().clone());
                    self.world
                        .recorder
                        .record(&host, What::LeaseExpired { group, position });
                }
            }
            Event::ConnectionClosed => {
                if let Some(client) = client {
                    lock(&self.calls).remove(&client.address);
                }
            }
            _ => {}
        }
    }
}
