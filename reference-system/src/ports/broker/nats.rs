//! The broker over NATS JetStream: one stream for all topics, a subject for each partition of a topic.
//!
//! Each group has a durable consumer of every partition that it reads, which its members share. A consumer has one
//! unsettled message at a time, so that what follows in its partition waits for it, also while it is delivered again.
//! The stream is kept whole: whoever wants it trimmed sets limits on the server, which are left as they are.

mod envelope;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{PublishError as Refusal, PublishErrorKind};
use async_nats::jetstream::{self, AckKind, Context, ErrorCode, stream};
use async_nats::{Client, ConnectOptions, Subject};
use async_trait::async_trait;
use futures_util::future::{select_all, try_join_all};
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, OwnedRwLockReadGuard, RwLock};

pub use envelope::{group, place, unpack};

use super::{Broker, BrokerError, Delivery, Message, PARTITIONS, PublishError, Subscription};

/// How often the server says that it still has a request for a message; after two that are missing the member leaves.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// What the server says of a message that its stream's `max_msg_size` does not admit (`JSStreamMessageExceedsMaximumErr`).
const TOO_LARGE: ErrorCode = ErrorCode(10054);
/// How long a request for a message waits at the server.
const REQUEST: Duration = Duration::from_secs(30);

/// What the server is asked for, by whoever creates a stream or a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// How long a member may have a message in hand, its wait for its turn included, before another one gets it. It is of
    /// the group, and whoever subscribes last decides.
    pub ack_wait: Duration,
    /// How long the server looks for repeated publishes. It is of the stream, and whoever creates that decides.
    pub duplicate_window: Duration,
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            ack_wait: Duration::from_secs(30),
            duplicate_window: Duration::from_secs(120),
        }
    }
}

/// A connection to a NATS server with JetStream; clones share it.
#[derive(Clone, Debug)]
pub struct NatsBroker {
    context: Context,
    settings: NatsSettings,
    /// Set once the stream is there.
    stream: Arc<OnceCell<()>>,
    /// Held by every subscription until it has handed back what it had not delivered.
    members: Arc<RwLock<()>>,
}

impl NatsBroker {
    /// Connects to a server, such as `nats://127.0.0.1:4222`, and creates the stream where it is absent.
    ///
    /// # Errors
    /// When the server cannot be reached, or has no JetStream.
    pub async fn connect(url: &str, settings: NatsSettings) -> Result<Self, BrokerError> {
        let connected = Self::with(ConnectOptions::new(), url, settings).await?;
        connected.stream().await?;
        Ok(connected)
    }

    /// The same for a process that has work without the broker as well: it is connected to when it is there, and until then
    /// every call fails.
    ///
    /// # Errors
    /// When the address is malformed.
    pub async fn connect_later(url: &str, settings: NatsSettings) -> Result<Self, BrokerError> {
        let options = ConnectOptions::new().retry_on_initial_connect();
        Self::with(options, url, settings).await
    }

    async fn with(
        options: ConnectOptions,
        url: &str,
        settings: NatsSettings,
    ) -> Result<Self, BrokerError> {
        let client = options.name("shop").connect(url).await;
        Ok(Self {
            context: jetstream::new(client.map_err(unavailable)?),
            settings,
            stream: Arc::default(),
            members: Arc::default(),
        })
    }

    /// Makes sure of the stream, which is done once.
    async fn stream(&self) -> Result<(), BrokerError> {
        let create = async || {
            // Whoever comes second in a race creates what is there already, which changes nothing.
            let config = stream::Config {
                name: envelope::STREAM.to_owned(),
                subjects: vec![envelope::SUBJECTS.to_owned()],
                duplicate_window: self.settings.duplicate_window,
                ..stream::Config::default()
            };
            let created = self.context.get_or_create_stream(config).await;
            created.map(drop).map_err(unavailable)
        };
        self.stream.get_or_try_init(create).await.copied()
    }

    /// The messages of one partition for a group.
    async fn partition(
        &self,
        group: &str,
        topic: &str,
        partition: u8,
    ) -> Result<pull::Stream, BrokerError> {
        let config = pull::Config {
            durable_name: Some(envelope::consumer(group, topic, partition)),
            filter_subject: envelope::subject(topic, partition),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.settings.ack_wait,
            max_ack_pending: 1,
            ..pull::Config::default()
        };
        let stream = envelope::STREAM;
        let consumer = self.context.create_consumer_on_stream(config, stream);
        let consumer = consumer.await.map_err(unavailable)?;
        let requests = consumer.stream().max_messages_per_batch(1);
        let messages = requests.expires(REQUEST).heartbeat(HEARTBEAT).messages();
        messages.await.map_err(unavailable)
    }
}

#[async_trait]
impl Broker for NatsBroker {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let (subject, message) = envelope::seal(message).map_err(PublishError::Unpublishable)?;
        let ready = self.stream().await;
        ready.map_err(|error| PublishError::Rejected(error.to_string()))?;
        let sent = self.context.send_publish(subject, message).await;
        // Until here nothing has left this process.
        let sent = sent.map_err(|error| PublishError::Rejected(error.to_string()))?;
        sent.await.map(drop).map_err(unpublished)
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[&str],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.stream().await?;
        let member = Arc::clone(&self.members).read_owned().await;
        let partitions = topics.iter().flat_map(|topic| {
            let partitions = 0..PARTITIONS;
            partitions.map(move |partition| self.partition(group, topic, partition))
        });
        Ok(Box::new(NatsSubscription {
            client: self.context.client(),
            partitions: try_join_all(partitions).await?,
            member: Some(member),
        }))
    }

    async fn close(&self) {
        drop(self.members.write().await);
    }
}

/// A member of a group of the NATS broker. Dropped, it hands back what it has not delivered.
struct NatsSubscription {
    client: Client,
    /// The messages of each partition. Of each one at most has arrived before it is asked for.
    partitions: Vec<pull::Stream>,
    member: Option<OwnedRwLockReadGuard<()>>,
}

#[async_trait]
impl Subscription for NatsSubscription {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, BrokerError> {
        if self.partitions.is_empty() {
            std::future::pending::<()>().await;
        }
        // Whatever has arrived stays in its partition until one of these is ready, and then only that one has lost it.
        let waiting = self.partitions.iter_mut().map(StreamExt::next);
        let (arrived, place, _) = select_all(waiting).await;
        // The next look begins behind this partition, so that no busy one keeps the others waiting.
        self.partitions.rotate_left(place + 1);
        let ended = || BrokerError::Unavailable("the connection was closed".to_owned());
        let message = arrived.ok_or_else(ended)?.map_err(unavailable)?;
        let delivery = NatsDelivery::new(self.client.clone(), message)?;
        Ok(Box::new(delivery))
    }
}

impl Drop for NatsSubscription {
    fn drop(&mut self) {
        let arrived: Vec<jetstream::Message> = self
            .partitions
            .iter_mut()
            .filter_map(|messages| messages.next().now_or_never()??.ok())
            .collect();
        self.partitions.clear();
        let (client, member) = (self.client.clone(), self.member.take());
        // Without a runtime the server delivers them again at its own time.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            for message in arrived {
                let handed_back = match NatsDelivery::new(client.clone(), message) {
                    Ok(delivery) => delivery.settle(AckKind::Nak(None)).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = handed_back {
                    tracing::warn!(%error, "not handed back, will be delivered again later");
                }
            }
            drop(member);
        });
    }
}

/// A delivery of the NATS broker; one that is dropped unsettled is delivered again when its time is over.
struct NatsDelivery {
    client: Client,
    message: Message,
    /// Where the server wants to hear what became of it.
    settle: Subject,
}

impl NatsDelivery {
    fn new(client: Client, delivered: jetstream::Message) -> Result<Self, BrokerError> {
        let settle = delivered.reply.clone();
        let nowhere = || BrokerError::Unavailable("a delivery cannot be settled".to_owned());
        Ok(Self {
            client,
            message: envelope::open(&delivered),
            settle: settle.ok_or_else(nowhere)?,
        })
    }

    /// Settles the delivery, and waits for the server's word that it is settled.
    async fn settle(self, how: AckKind) -> Result<(), BrokerError> {
        let settled = self.client.request(self.settle, how.into()).await;
        settled.map(drop).map_err(unavailable)
    }
}

#[async_trait]
impl Delivery for NatsDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(AckKind::Ack).await
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BrokerError> {
        let after = Some(after).filter(|after| !after.is_zero());
        self.settle(AckKind::Nak(after)).await
    }
}

fn unavailable(error: impl std::fmt::Display) -> BrokerError {
    BrokerError::Unavailable(error.to_string())
}

/// What a missing acknowledgement says: the message was not written where nobody took it or the server refused it.
fn unpublished(error: Refusal) -> PublishError {
    let source = std::error::Error::source(&error);
    let refusal = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
    let is_refused = refusal.is_some();
    let is_too_large = refusal.is_some_and(|refusal| refusal.error_code() == TOO_LARGE);
    let text = error.to_string();
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => PublishError::Unpublishable(text),
        PublishErrorKind::Other if is_too_large => PublishError::Unpublishable(text),
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::MaxAckPending => PublishError::Rejected(text),
        PublishErrorKind::Other if is_refused => PublishError::Rejected(text),
        PublishErrorKind::Other | PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
            PublishError::Unknown(text)
        }
    }
}
