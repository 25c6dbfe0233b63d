//! Streams: what is stored, how long, and how it is read back.
//! <https://docs.nats.io/nats-concepts/jetstream/streams>

mod advisories;
mod api;
mod deduplication;
mod deleting;
mod direct;
mod expectations;
mod life;
mod limits;
mod publishing;
mod purging;
mod reading;
mod retention;

use async_nats::jetstream::stream::Stream;

/// How many messages `stream` holds, and between which sequence numbers.
pub(crate) async fn state(stream: &Stream) -> String {
    let state = stream.get_info().await.unwrap().state;
    format!(
        "{} in {}..{}",
        state.messages, state.first_sequence, state.last_sequence
    )
}

/// The payloads of `stream`, in order, each with its sequence number.
pub(crate) async fn contents(stream: &Stream) -> Vec<String> {
    let state = stream.get_info().await.unwrap().state;
    let mut contents = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        if let Ok(message) = stream.get_raw_message(sequence).await {
            contents.push(format!(
                "{sequence} {}",
                crate::transcript::text(&message.payload)
            ));
        }
    }
    contents
}
