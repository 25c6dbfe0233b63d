//! The client: what the system under test is handed in place of its real broker's client.
//!
//! Reading order: [`Broker`] publishes and subscribes, `subscription` receives, `delivery`
//! settles, `connection` carries the frames. Each call passes the gate of its host, which counts
//! it and applies the faults that aim at it. The client never resends a publish by itself, and
//! dropping any part of it sends nothing.

mod connection;
mod delivery;
mod subscription;
#[cfg(test)]
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OnceCell, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use connection::Connection;
pub use delivery::Delivery;
pub use subscription::Subscription;

use super::protocol::{Request, Response};
use crate::broker::{Capabilities, Deduplication, HOST, MemberId, Stamp, Standing, Written};
use crate::event::What;
use crate::message::{Message, POISON, Position};
use crate::plan::PublishFault;
use crate::world::{Gate, Injection, World, lock, now};

/// How long a request may take before its connection is given up, in virtual time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a publish was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message was certainly not written: the broker refused it for now or could not be reached.
    #[error("publish: rejected: {0}")]
    Rejected(String),
    /// The message was certainly not written, and will not be however often it is sent, unless somebody changes the broker:
    /// its topic does not exist, or it is larger than the broker takes.
    #[error("publish: unpublishable: {0}")]
    Unpublishable(String),
    /// The message may or may not have been written: it was sent, and no answer came.
    #[error("publish: outcome unknown: {0}")]
    Unknown(String),
}

/// Why a subscription, a delivery or a settlement failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The broker could not be reached, refused, or did not answer.
    #[error("reach the broker: {0}")]
    Unavailable(String),
    /// The consumer no longer owns what it settles, or is no longer a member of its group.
    #[error("act for the group: {0}")]
    Fenced(String),
}

/// A host's client of the simulated broker. Clones share one connection and one producer session.
///
/// The connection is opened when it is needed, and opened again by the next call after it broke or
/// a request took longer than a second of virtual time.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    gate: Gate,
    /// The name of the broker's host.
    host: Arc<str>,
    /// What the broker does.
    capabilities: Capabilities,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// The session of the idempotent producer, where the profile has one.
    producer: OnceCell<u64>,
    /// The number of the last message of the session.
    sequence: Mutex<u64>,
    /// Memberships that subscriptions have given up and the broker has not been told of.
    given_up: Mutex<BTreeMap<Arc<str>, Vec<MemberId>>>,
}

/// A request that failed.
enum Failure {
    /// Nothing was sent.
    NotSent(String),
    /// It was sent, and no answer came.
    Unanswered(String),
}

impl Broker {
    /// A client for the host that runs this, of the broker that the system has if it declares topics
    /// ([`System::topic`](crate::System::topic)).
    ///
    /// # Panics
    ///
    /// Outside of a run.
    pub fn connect() -> Self {
        let world = stormglass_machine::attached::<World>();
        let gate = world.zip(stormglass_machine::host());
        let gate = gate.and_then(|(world, host)| world.gate_of(&host));
        let gate = gate.expect("there is a broker to connect to on a host of a run only");
        Broker::new(gate, HOST)
    }

    /// A client of the broker on `host`, for the incarnation that the gate belongs to.
    pub(crate) fn new(gate: Gate, host: &str) -> Self {
        let capabilities = gate.world().recorder.profile().capabilities();
        let inner = Inner {
            gate,
            host: host.into(),
            capabilities,
            connection: tokio::sync::Mutex::default(),
            producer: OnceCell::new(),
            sequence: Mutex::default(),
            given_up: Mutex::default(),
        };
        Broker {
            inner: Arc::new(inner),
        }
    }

    /// Publishes a message and waits until the broker says that it stands in the log.
    ///
    /// # Errors
    ///
    /// [`PublishError::Rejected`] or [`PublishError::Unpublishable`] if it was certainly not written,
    /// [`PublishError::Unknown`] if it may have been. Publishing it again after that may write it twice, unless the broker's
    /// profile recognises it.
    pub async fn publish(&self, mut message: Message) -> Result<Position, PublishError> {
        let gate = &self.inner.gate;
        let injection = gate.enter().await;
        let began = Instant::now();
        let faults = PublishFaults::of(&injection);
        if faults.poison.is_some() {
            message.payload = POISON.to_vec();
        }
        if let (Some((fault, until)), Some(event_id)) = (faults.too_large, message.event_id()) {
            lock(&gate.world().armed).make_too_large(event_id, fault, until);
        }
        let message = Arc::new(message);
        let mut outcome = self.write(message.clone()).await;
        self.note_poison(&faults, &outcome);
        if let (Some(fault), Ok(written)) = (faults.lose_ack, &outcome) {
            let text = format!("acknowledgement of {} lost", written.position());
            gate.bit(fault, text);
            sleep_until(began + REQUEST_TIMEOUT).await;
            outcome = Err(no_answer().into());
        }
        gate.leave(&injection).await;
        let outcome = outcome.map(|written| written.position().clone());
        self.record(&message, &outcome);
        outcome.map_err(|(error, _)| error)
    }

    async fn write(&self, message: Arc<Message>) -> Result<Written, (PublishError, Origin)> {
        let connection = self.connection().await?;
        let deduplication = &self.inner.capabilities.deduplication;
        let producer = if *deduplication == Deduplication::ProducerSequence {
            Some(self.producer().await?)
        } else {
            None
        };
        // No await from here on, so that messages are sent in the order of their numbers.
        let stamp = producer.map(|producer| self.next_stamp(producer));
        let sent = connection.call(Request::Publish { stamp, message });
        match self.answer(&connection, sent).await? {
            Response::Published(written) => Ok(written),
            Response::Refused { reason } => Err((PublishError::Rejected(reason), Origin::Broker)),
            Response::Unpublishable { reason } => {
                Err((PublishError::Unpublishable(reason), Origin::Broker))
            }
            other => Err(unexpected(&other).into()),
        }
    }

    async fn producer(&self) -> Result<u64, Failure> {
        let open = || async {
            match self.request(Request::OpenProducer).await {
                Ok(Response::ProducerOpened { producer }) => Ok(producer),
                Ok(other) => Err(Failure::NotSent(format!("{other:?}"))),
                Err(Failure::NotSent(why) | Failure::Unanswered(why)) => Err(Failure::NotSent(why)),
            }
        };
        self.inner.producer.get_or_try_init(open).await.copied()
    }

    fn next_stamp(&self, producer: u64) -> Stamp {
        let mut sequence = lock(&self.inner.sequence);
        *sequence += 1;
        Stamp {
            producer,
            sequence: *sequence,
        }
    }

    fn note_poison(
        &self,
        faults: &PublishFaults,
        outcome: &Result<Written, (PublishError, Origin)>,
    ) {
        let may_be_written = matches!(
            outcome,
            Ok(Written::Appended(_)) | Err((PublishError::Unknown(_), _))
        );
        if let Some(fault) = faults.poison.filter(|_| may_be_written) {
            self.inner
                .gate
                .bit(fault, "payload made undecodable".to_owned());
        }
    }

    fn record(&self, message: &Message, outcome: &Result<Position, (PublishError, Origin)>) {
        let topic = message.topic.clone();
        let event_id = message.event_id().map(str::to_owned);
        let what = match outcome {
            Ok(position) => What::PublishAcknowledged {
                position: position.clone(),
                event_id,
            },
            Err((PublishError::Unknown(_), _)) => What::PublishUnknown { topic, event_id },
            Err((PublishError::Rejected(reason), Origin::Port)) => What::PublishRejected {
                topic,
                event_id,
                reason: reason.clone(),
            },
            // The broker has recorded its refusal itself.
            Err((PublishError::Rejected(_), Origin::Broker)) => return,
            // Only the broker says so.
            Err((PublishError::Unpublishable(_), _)) => return,
        };
        self.inner.gate.record(what);
    }

    /// Joins a consumer group, which starts at the beginning of its topics.
    ///
    /// A former subscription of this client to the group that was dropped or has failed is given
    /// up at the same time.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unavailable`] if the broker does not answer, or if a topic does not exist.
    pub async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Subscription, BrokerError> {
        self.inner.gate.open().await;
        let group: Arc<str> = group.into();
        let leaving = lock(&self.inner.given_up)
            .remove(&group)
            .unwrap_or_default();
        let request = Request::Join {
            group: group.clone(),
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            leaving: leaving.clone(),
        };
        let why = match self.request(request).await {
            Ok(Response::Joined { member, generation }) => {
                self.inner.gate.open().await;
                return Ok(Subscription::new(self.clone(), group, member, generation));
            }
            Ok(Response::Refused { reason }) => reason,
            Ok(other) => format!("{other:?}"),
            Err(Failure::NotSent(why) | Failure::Unanswered(why)) => why,
        };
        for member in leaving {
            self.give_up(&group, member);
        }
        Err(BrokerError::Unavailable(why))
    }

    /// How far a group has come in `topics`, which everybody may ask: each partition, by topic and number.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unavailable`] if the broker does not answer.
    pub async fn standing(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Vec<Standing>, BrokerError> {
        self.inner.gate.open().await;
        let request = Request::Stand {
            group: group.into(),
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
        };
        match self.request(request).await? {
            Response::Standing(standing) => Ok(standing),
            other => Err(BrokerError::Unavailable(format!("{other:?}"))),
        }
    }

    /// Notes a membership that is to end with the next subscription to the group.
    fn give_up(&self, group: &Arc<str>, member: MemberId) {
        let mut given_up = lock(&self.inner.given_up);
        given_up.entry(group.clone()).or_default().push(member);
    }

    async fn request(&self, request: Request) -> Result<Response, Failure> {
        let connection = self.connection().await?;
        let sent = connection.call(request);
        self.answer(&connection, sent).await
    }

    /// The open connection, or a new one.
    async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        let mut current = self.inner.connection.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        let opening = Connection::open(&self.inner.gate, &self.inner.host);
        let connection = match timeout(REQUEST_TIMEOUT, opening).await {
            Ok(Ok(connection)) => Arc::new(connection),
            Ok(Err(error)) => return Err(not_reachable(&error.to_string())),
            Err(_) => return Err(not_reachable("timed out")),
        };
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Waits for an answer. Without one in time the connection is given up, because it may be
    /// silent for good.
    async fn answer(
        &self,
        connection: &Connection,
        sent: Option<oneshot::Receiver<Response>>,
    ) -> Result<Response, Failure> {
        let Some(answer) = sent else {
            return Err(not_reachable("connection closed"));
        };
        match timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(Failure::Unanswered("connection broken".to_owned())),
            Err(_) => {
                connection.close();
                Err(no_answer())
            }
        }
    }
}

/// Where a rejection comes from, and so whether the broker has recorded it.
enum Origin {
    Port,
    Broker,
}

impl From<Failure> for (PublishError, Origin) {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::NotSent(why) => PublishError::Rejected(why),
            Failure::Unanswered(why) => PublishError::Unknown(why),
        };
        (error, Origin::Port)
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(why) | Failure::Unanswered(why) => BrokerError::Unavailable(why),
        }
    }
}

fn not_reachable(why: &str) -> Failure {
    Failure::NotSent(format!("broker not reachable: {why}"))
}

fn no_answer() -> Failure {
    Failure::Unanswered(format!("no answer within {REQUEST_TIMEOUT:?}"))
}

fn unexpected(response: &Response) -> Failure {
    Failure::Unanswered(format!("unexpected answer {response:?}"))
}

/// The faults that strike one publish, by their index in the plan.
#[derive(Default)]
struct PublishFaults {
    poison: Option<usize>,
    lose_ack: Option<usize>,
    /// And until when.
    too_large: Option<(usize, Duration)>,
}

impl PublishFaults {
    fn of(injection: &Injection<PublishFault>) -> Self {
        let mut faults = PublishFaults::default();
        for (fault, strike) in injection.strikes() {
            match strike {
                PublishFault::Poison => faults.poison = Some(fault),
                PublishFault::AckLost => faults.lose_ack = Some(fault),
                PublishFault::TooLarge { for_ms } => {
                    let until = now() + Duration::from_millis(*for_ms);
                    faults.too_large = Some((fault, until));
                }
            }
        }
        faults
    }
}
