//! The log: topics cut into partitions, append-only and durable, and the ways in which brokers
//! recognise a message that was published before.
//!
//! A key decides its partition by the first eight bytes of its BLAKE3 hash, so that the same key
//! lands in the same place in every run and on every machine. The real brokers use other hash
//! functions; no promise of theirs depends on which one.
//!
//! The log knows neither groups nor capacity, and it never takes anything back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::interface::{Rejection, Stamp, Written};
use super::profile::Deduplication;
use crate::message::{Message, Position};

/// A partition, by its place among all partitions of all topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionIndex(usize);

/// All topics.
pub(crate) struct Log {
    topics: BTreeMap<Arc<str>, Topic>,
    partitions: Vec<Partition>,
    deduplication: Deduplication,
    producers: u64,
}

struct Topic {
    first: usize,
    count: u32,
    recent: Recent,
}

/// One partition of one topic.
pub(super) struct Partition {
    /// The topic.
    pub(super) topic: Arc<str>,
    /// The partition's number within the topic.
    pub(super) number: u32,
    /// The messages, by offset.
    pub(super) messages: Vec<Arc<Message>>,
    /// When each of them was appended.
    appended: Vec<Duration>,
    /// By producer, the sequence numbers that were appended and their offsets, both ascending.
    sequences: BTreeMap<u64, Vec<(u64, u64)>>,
}

/// The message ids of one stream that are still remembered.
#[derive(Default)]
struct Recent {
    positions: BTreeMap<Arc<str>, (PartitionIndex, u64)>,
    oldest_first: VecDeque<(Duration, Arc<str>)>,
}

impl Recent {
    fn forget(&mut self, now: Duration, window: Duration) {
        while let Some((at, _)) = self.oldest_first.front()
            && *at + window <= now
            && let Some((_, id)) = self.oldest_first.pop_front()
        {
            self.positions.remove(&id);
        }
    }
}

impl Log {
    pub(super) fn new(deduplication: Deduplication, topics: &BTreeMap<String, u32>) -> Self {
        let mut log = Log {
            topics: BTreeMap::new(),
            partitions: Vec::new(),
            deduplication,
            producers: 0,
        };
        for (topic, partitions) in topics {
            log.create(topic, *partitions);
        }
        log
    }

    /// Adds a topic; one without partitions gets one.
    fn create(&mut self, topic: &str, partitions: u32) {
        let name: Arc<str> = topic.into();
        let count = partitions.max(1);
        let first = self.partitions.len();
        self.partitions.extend((0..count).map(|number| Partition {
            topic: name.clone(),
            number,
            messages: Vec::new(),
            appended: Vec::new(),
            sequences: BTreeMap::new(),
        }));
        let recent = Recent::default();
        self.topics.insert(
            name,
            Topic {
                first,
                count,
                recent,
            },
        );
    }

    /// Opens a producer session.
    pub(super) fn open_producer(&mut self) -> u64 {
        self.producers += 1;
        self.producers
    }

    /// The partitions of a topic, or `None` if there is no such topic.
    pub(super) fn partitions_of(
        &self,
        topic: &str,
    ) -> Option<impl Iterator<Item = PartitionIndex> + use<>> {
        let topic = self.topics.get(topic)?;
        let end = topic.first + topic.count as usize;
        Some((topic.first..end).map(PartitionIndex))
    }

    /// All partitions, by topic and number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter()
    }

    pub(super) fn partition(&self, index: PartitionIndex) -> &Partition {
        &self.partitions[index.0]
    }

    /// The offset that the partition's next message will get.
    pub(super) fn end(&self, index: PartitionIndex) -> u64 {
        self.partition(index).messages.len() as u64
    }

    /// When the message at an offset was appended.
    pub(super) fn appended(&self, index: PartitionIndex, offset: u64) -> Option<Duration> {
        let appended = &self.partition(index).appended;
        appended.get(usize::try_from(offset).ok()?).copied()
    }

    /// Finds the partition of a position.
    pub(super) fn find(&self, position: &Position) -> Option<PartitionIndex> {
        let topic = self.topics.get(&position.topic)?;
        let within = position.partition < topic.count;
        within.then(|| PartitionIndex(topic.first + position.partition as usize))
    }

    pub(super) fn position(&self, index: PartitionIndex, offset: u64) -> Position {
        let partition = self.partition(index);
        Position {
            topic: partition.topic.clone(),
            partition: partition.number,
            offset,
        }
    }

    /// Says whether a message would be recognised, appended or refused; changes nothing but what
    /// the duplicate window has outlived.
    pub(super) fn examine(
        &mut self,
        stamp: Option<Stamp>,
        message: &Message,
        now: Duration,
    ) -> Result<Examined, Rejection> {
        let name = message.topic.as_str();
        let Some(topic) = self.topics.get_mut(name) else {
            return Err(Rejection::UnknownTopic(name.to_owned()));
        };
        let index = PartitionIndex(topic.first + spread(&message.key, topic.count));
        let known = match &self.deduplication {
            Deduplication::Nothing => None,
            Deduplication::ProducerSequence => self.partitions[index.0].recall(stamp)?,
            Deduplication::MessageId { window, header } => {
                topic.recent.forget(now, *window);
                let id = message.headers.get(header);
                let found = id.and_then(|id| topic.recent.positions.get(&**id));
                if let Some(&(index, offset)) = found {
                    return Ok(Examined::Known(Written::Recognised(
                        self.position(index, offset),
                    )));
                }
                None
            }
        };
        Ok(match known {
            Some(offset) => Examined::Known(Written::Recognised(self.position(index, offset))),
            None => Examined::New(index),
        })
    }

    /// Appends what [`Log::examine`] has just found to be new.
    pub(super) fn append(
        &mut self,
        index: PartitionIndex,
        stamp: Option<Stamp>,
        message: Arc<Message>,
        now: Duration,
    ) -> Written {
        let offset = self.end(index);
        let partition = &mut self.partitions[index.0];
        match &self.deduplication {
            Deduplication::Nothing => {}
            Deduplication::ProducerSequence => {
                if let Some(stamp) = stamp {
                    let sequences = partition.sequences.entry(stamp.producer).or_default();
                    sequences.push((stamp.sequence, offset));
                }
            }
            Deduplication::MessageId { header, .. } => {
                let topic = self.topics.get_mut(&partition.topic);
                if let (Some(topic), Some(id)) = (topic, message.headers.get(header)) {
                    let id: Arc<str> = id.as_str().into();
                    topic.recent.oldest_first.push_back((now, id.clone()));
                    topic.recent.positions.insert(id, (index, offset));
                }
            }
        }
        partition.messages.push(message);
        partition.appended.push(now);
        Written::Appended(self.position(index, offset))
    }
}

/// What the log makes of a message before it is appended.
pub(super) enum Examined {
    /// It has to be appended to this partition.
    New(PartitionIndex),
    /// It stands in the log already.
    Known(Written),
}

impl Partition {
    /// The offset at which a producer's message stands already. A number below the last one that
    /// stands nowhere is refused: it is a late request of a connection that its producer has given
    /// up, and appending it would break the producer's order ("KIP-360: Improve reliability of
    /// idempotent producer": the producer raises its epoch, the old epoch is refused).
    fn recall(&self, stamp: Option<Stamp>) -> Result<Option<u64>, Rejection> {
        let Some(stamp) = stamp else { return Ok(None) };
        let Some(sequences) = self.sequences.get(&stamp.producer) else {
            return Ok(None);
        };
        match sequences.binary_search_by_key(&stamp.sequence, |(sequence, _)| *sequence) {
            Ok(found) => Ok(Some(sequences[found].1)),
            Err(place) if place == sequences.len() => Ok(None),
            Err(_) => Err(Rejection::OutOfOrder),
        }
    }
}

fn spread(key: &str, partitions: u32) -> usize {
    let hash = blake3::hash(key.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(first) % u64::from(partitions)) as usize
}
