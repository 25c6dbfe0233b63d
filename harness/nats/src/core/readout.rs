//! Reads out what a server holds.

use super::consumer::Consumer;
use super::{Core, Stream};
use crate::readout::{ConsumerState, Readout, StoredMessage, StreamState, Unsettled};

impl Core {
    /// What the server holds.
    pub fn readout(&self) -> Readout {
        Readout {
            streams: self.streams.values().map(stream_state).collect(),
            consumers: self
                .streams
                .values()
                .flat_map(|stream| stream.consumers.values())
                .map(consumer_state)
                .collect(),
        }
    }

    /// Whether durable consumers have delivered, and clients have settled, all that streams hold for them,
    /// and no publish or settlement that a fate has put off is still to come. Messages that were given up are
    /// at rest.
    pub fn is_settled(&self) -> bool {
        let mut consumers = self
            .streams
            .values()
            .flat_map(|stream| stream.consumers.values());
        !self.timers.has_put_off()
            && consumers.all(|consumer| !consumer.config.is_durable() || consumer.is_done())
    }
}

fn stream_state(stream: &Stream) -> StreamState {
    StreamState {
        name: stream.name.to_string(),
        subjects: stream.config.subjects.clone(),
        last_sequence: stream.log.last(),
        messages: stream
            .log
            .iter()
            .map(|(sequence, stored)| StoredMessage {
                sequence,
                subject: stored.subject.clone(),
                headers: stored.headers.clone(),
                payload: stored.payload.clone(),
                time: stored.time.wall,
            })
            .collect(),
    }
}

fn consumer_state(consumer: &Consumer) -> ConsumerState {
    let ledger = &consumer.ledger;
    ConsumerState {
        stream: consumer.key.stream.to_string(),
        name: consumer.key.consumer.to_string(),
        durable: consumer.config.is_durable(),
        filters: consumer.filters.clone(),
        deliveries: ledger.delivered().consumer,
        delivered_sequence: ledger.delivered().stream,
        floor_sequence: ledger.floor().stream,
        unsettled: ledger
            .leases()
            .keys()
            .map(|sequence| Unsettled {
                sequence: *sequence,
                attempts: ledger.attempts(*sequence),
            })
            .collect(),
        undelivered: consumer.unseen,
        given_up: ledger.given_up(),
        terminated: consumer.terminated.iter().copied().collect(),
    }
}
