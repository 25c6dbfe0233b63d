//! How far a group has come, asked of its consumers on the server.

use std::time::Duration;

use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::{BrokerError, NatsBroker, PARTITIONS, envelope, unavailable};
use crate::clock::now_ms;
use crate::ports::broker::{Standing, Standings};

#[async_trait]
impl Standings for NatsBroker {
    async fn standing(&self, group: &str, topics: &[&str]) -> Result<Vec<Standing>, BrokerError> {
        self.stream().await?;
        let stream = self.context.get_stream_no_info(envelope::STREAM).await;
        let stream = stream.map_err(unavailable)?;
        let mut standings = Vec::new();
        for topic in topics {
            for partition in 0..PARTITIONS {
                standings.push(of_partition(&stream, group, topic, partition).await?);
            }
        }
        Ok(standings)
    }
}

async fn of_partition(
    stream: &Stream<()>,
    group: &str,
    topic: &str,
    partition: u8,
) -> Result<Standing, BrokerError> {
    let subject = envelope::subject(topic, partition);
    let (settled, unread, is_in_hand) = match consumer(stream, group, topic, partition).await? {
        Some(info) => {
            let in_hand = info.num_ack_pending as u64;
            let unread = info.num_pending + in_hand;
            (info.ack_floor.stream_sequence, unread, in_hand > 0)
        }
        None => (0, messages_of(stream, &subject).await?, false),
    };
    let waiting = match unread {
        0 => None,
        _ => waiting(stream, &subject, settled + 1).await?,
    };
    Ok(Standing {
        topic: topic.to_owned(),
        partition: partition.into(),
        settled,
        unread,
        waiting,
        is_in_hand,
    })
}

/// What the server knows of the group's consumer; nothing if it never had one.
async fn consumer(
    stream: &Stream<()>,
    group: &str,
    topic: &str,
    partition: u8,
) -> Result<Option<Info>, BrokerError> {
    let name = envelope::consumer(group, topic, partition);
    match stream.consumer_info(&name).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

/// How many messages a subject has.
async fn messages_of(stream: &Stream<()>, subject: &str) -> Result<u64, BrokerError> {
    let subjects = stream.info_with_subjects(subject).await;
    let counts: Vec<(String, usize)> = subjects
        .map_err(unavailable)?
        .try_collect()
        .await
        .map_err(unavailable)?;
    Ok(counts.iter().map(|(_, count)| *count as u64).sum())
}

/// How long the first message of a subject from a sequence on has been there.
async fn waiting(
    stream: &Stream<()>,
    subject: &str,
    from: u64,
) -> Result<Option<Duration>, BrokerError> {
    // It may have been settled meanwhile, or trimmed.
    let Ok(first) = stream.get_first_raw_message_by_subject(subject, from).await else {
        return Ok(None);
    };
    let stored_ms = first.time.unix_timestamp_nanos() / 1_000_000;
    let age_ms = i128::from(now_ms()) - stored_ms;
    Ok(Some(Duration::from_millis(
        u64::try_from(age_ms).unwrap_or(0),
    )))
}
