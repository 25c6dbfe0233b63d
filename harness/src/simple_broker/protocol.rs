//! What travels between a client and the broker: length-delimited frames, each one request or
//! response in postcard's encoding.
//!
//! A client numbers its requests; the broker answers with the same number, in any order. Number
//! zero asks for no answer. The protocol is this project's own, not that of a real broker.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

use crate::broker::{Claim, Handout, MemberId, Settled, Stamp, Standing, Wish, Written};
use crate::message::Message;

/// The number of a request that asks for no answer.
pub(super) const UNANSWERED: u64 = 0;

/// Room, in bytes, for what most frames are: one message with its headers.
const USUAL_SIZE: usize = 1024;

/// A numbered request or response.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Frame<T> {
    pub(super) number: u64,
    pub(super) body: T,
}

/// What a client asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// The first frame of a connection: whose it is.
    Hello {
        host: Arc<str>,
    },
    /// Opens a session for an idempotent producer.
    OpenProducer,
    Publish {
        stamp: Option<Stamp>,
        message: Arc<Message>,
    },
    Join {
        group: Arc<str>,
        topics: Vec<Arc<str>>,
        leaving: Vec<MemberId>,
    },
    Heartbeat {
        group: Arc<str>,
        member: MemberId,
    },
    /// Answered as soon as there is something, or with nothing after `wait`.
    Fetch {
        group: Arc<str>,
        member: MemberId,
        generation: u64,
        max: u32,
        wait: Duration,
    },
    Settle {
        claim: Claim,
        wish: Wish,
        /// The fault of the plan, by its index, because of which it has no effect.
        foiled_by: Option<usize>,
    },
    /// How far a group has come.
    Stand {
        group: Arc<str>,
        topics: Vec<Arc<str>>,
    },
}

/// What the broker answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    ProducerOpened {
        producer: u64,
    },
    Published(Written),
    Joined {
        member: MemberId,
        generation: u64,
    },
    Alive {
        generation: u64,
    },
    Fetched(Vec<Handout>),
    /// The group has a new generation, and the member belongs to it.
    Rebalanced {
        generation: u64,
    },
    Settled(Settled),
    Standing(Vec<Standing>),
    /// The request came from nobody who is a member.
    NotAMember,
    /// The broker will never take the message; it was not written.
    Unpublishable {
        reason: String,
    },
    /// The broker refuses the request; it had no effect.
    Refused {
        reason: String,
    },
}

/// The framing of both directions.
pub(super) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::new()
}

/// Encodes one frame.
pub(super) fn encode<T: Serialize>(number: u64, body: T) -> io::Result<Bytes> {
    let room = Vec::with_capacity(USUAL_SIZE);
    let bytes = postcard::to_extend(&Frame { number, body }, room);
    bytes.map(Bytes::from).map_err(io::Error::other)
}

/// Decodes one frame.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<Frame<T>> {
    postcard::from_bytes(bytes).map_err(io::Error::other)
}
