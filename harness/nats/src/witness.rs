//! The witness: who is asked before a call has its effect, and told after it had.
//!
//! A harness injects faults through what it answers, and records through what it is told. A witness is called
//! while the server's state is locked: it answers at once, and does not call the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::api::ApiError;

/// The client on whose behalf something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its end of the connection.
    pub address: SocketAddr,
    /// The name that it gave its connection, or nothing.
    pub name: String,
}

/// A publish to a subject that a stream stores.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The block of headers as it stands on the wire, or nothing.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// How a publish ended in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It was stored under this sequence.
    Stored(u64),
    /// Its id was known: it is the message with this sequence, and was not stored again.
    Duplicate(u64),
    /// No consumer wanted it in a stream that keeps only what is wanted. It took this sequence and was not
    /// kept.
    Unwanted(u64),
    /// It was refused.
    Refused(ApiError),
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// It takes effect now.
    #[default]
    Proceed,
    /// It takes effect after this long. What comes after it does not wait.
    Delay(Duration),
    /// It never takes effect, and nobody is told.
    Lose,
    /// It arrives twice, as if its sender had sent it again.
    Twice,
    /// It is answered by this error. A settlement, which knows no errors, is lost instead.
    Refuse(ApiError),
}

/// What becomes of the answer to a request that took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It is sent now.
    #[default]
    Send,
    /// It is sent after this long.
    Delay(Duration),
    /// It is never sent.
    Never,
}

/// What becomes of a publish or a settlement, and of the answer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The request itself.
    pub request: Request,
    /// The answer, if one is expected at all.
    pub answer: Answer,
}

/// A stored message on its way to a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The message's sequence in the stream.
    pub sequence: u64,
    /// Which delivery to this consumer it is, from 1.
    pub attempt: u64,
    /// The subject.
    pub subject: &'a str,
    /// The block of headers as it stands on the wire, or nothing.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// What becomes of a delivery. In every case it counts as one, and its lease begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeliveryFate {
    /// It is sent now.
    #[default]
    Deliver,
    /// It is sent after this long. What comes after it overtakes it.
    Delay(Duration),
    /// It is never sent: the lease has to expire.
    Lose,
    /// It is sent now, and its lease expires at once, so that it is delivered again. Without acknowledgement
    /// there is no lease, and it is sent once.
    Twice,
    /// It is sent now with another payload.
    Corrupt(Bytes),
}

/// What a client says about a message that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done.
    Ack,
    /// It is wanted again, at once or later.
    Nak(Duration),
    /// It is not wanted again, for this reason.
    Term(String),
    /// It takes longer.
    Progress,
    /// It is done, and the next one is wanted.
    Next,
}

/// A settlement on its way to a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Settle<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The message's sequence in the stream.
    pub sequence: u64,
    /// Which delivery it speaks of, from 1.
    pub attempt: u64,
    /// What it says.
    pub settlement: &'a Settlement,
    /// Whether the client waits for a confirmation.
    pub confirmed: bool,
}

/// What a settlement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleOutcome {
    /// It was the message's turn to be settled.
    Accepted,
    /// The message was settled before, or is not known (any more). Nothing changed.
    Stale,
}

/// Something that happened and nobody was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A client connected. Its name is not known yet.
    ConnectionOpened,
    /// A connection ended, by whichever side.
    ConnectionClosed,
    /// A client asked the JetStream API something.
    ApiRequest {
        /// The subject of the request.
        subject: &'a str,
    },
    /// A stream was created.
    StreamCreated {
        /// The stream.
        stream: &'a str,
    },
    /// A stream was deleted, with all of its consumers.
    StreamDeleted {
        /// The stream.
        stream: &'a str,
    },
    /// A consumer was created.
    ConsumerCreated {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
    },
    /// A consumer was deleted, by a client or because it was idle for too long.
    ConsumerDeleted {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
    },
    /// A message was not settled in time and will be delivered again. The client is the one that had it.
    LeaseExpired {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// The message's sequence in the stream.
        sequence: u64,
        /// Which delivery it was, from 1.
        attempt: u64,
    },
    /// A message was delivered as often as it may be, and not settled. The client is the one that had it
    /// last.
    MaxDeliverReached {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
        /// The message's sequence in the stream.
        sequence: u64,
        /// How often it was delivered.
        attempts: u64,
    },
}

/// Who is asked before a call has its effect, and told after it had. Every method has a body that changes
/// nothing.
pub trait Witness: Send + Sync {
    /// A client publishes to a subject that a stream stores.
    fn before_publish(&self, client: &Client, publication: &Publication<'_>) -> Fate {
        let _ = (client, publication);
        Fate::default()
    }

    /// A publish had its effect. The answer has not left yet.
    fn published(&self, client: &Client, publication: &Publication<'_>, outcome: &PublishOutcome) {
        let _ = (client, publication, outcome);
    }

    /// A stored message is about to be delivered.
    fn before_delivery(&self, client: &Client, delivery: &Delivery<'_>) -> DeliveryFate {
        let _ = (client, delivery);
        DeliveryFate::default()
    }

    /// A stored message counts as delivered. With a fate that delays or loses it, its bytes have not left.
    fn delivered(&self, client: &Client, delivery: &Delivery<'_>) {
        let _ = (client, delivery);
    }

    /// A client settles a message.
    fn before_settlement(&self, client: &Client, settle: &Settle<'_>) -> Fate {
        let _ = (client, settle);
        Fate::default()
    }

    /// A settlement had its effect. The answer has not left yet.
    fn settled(&self, client: &Client, settle: &Settle<'_>, outcome: SettleOutcome) {
        let _ = (client, settle, outcome);
    }

    /// Something happened, on behalf of a client if there is one.
    fn happened(&self, client: Option<&Client>, event: &Event<'_>) {
        let _ = (client, event);
    }
}

/// A witness that lets everything happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWitness;

impl Witness for NoWitness {}

impl<W: Witness + ?Sized> Witness for Arc<W> {
    fn before_publish(&self, client: &Client, publication: &Publication<'_>) -> Fate {
        (**self).before_publish(client, publication)
    }

    fn published(&self, client: &Client, publication: &Publication<'_>, outcome: &PublishOutcome) {
        (**self).published(client, publication, outcome);
    }

    fn before_delivery(&self, client: &Client, delivery: &Delivery<'_>) -> DeliveryFate {
        (**self).before_delivery(client, delivery)
    }

    fn delivered(&self, client: &Client, delivery: &Delivery<'_>) {
        (**self).delivered(client, delivery);
    }

    fn before_settlement(&self, client: &Client, settle: &Settle<'_>) -> Fate {
        (**self).before_settlement(client, settle)
    }

    fn settled(&self, client: &Client, settle: &Settle<'_>, outcome: SettleOutcome) {
        (**self).settled(client, settle, outcome);
    }

    fn happened(&self, client: Option<&Client>, event: &Event<'_>) {
        (**self).happened(client, event);
    }
}
