//! What producers are promised.

use std::sync::Arc;
use std::time::Duration;

use super::trial::{Trial, expect, of};
use crate::broker::{Capabilities, Core, Deduplication, HOST, Profile, Seen, Stamp, Written};
use crate::message::{EVENT_ID, Message};
use crate::plan::Incident;
use crate::simple_broker::PublishError;

const SECOND: Duration = Duration::from_secs(1);
/// How long an id is remembered at most, if nothing is declared: what comes later is new for everybody.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// While its capacity is used up the broker refuses what is new; before and after that it takes it.
pub(super) fn capacity(profile: &Profile, _: &Capabilities) -> Result<(), String> {
    let trial = Trial::new(profile, 1, SECOND * 5)
        .fault(SECOND, Incident::capacity_used_up(1_000))
        .host("producer", |hand| async move {
            for id in ["before", "meanwhile", "after"] {
                hand.note(match hand.publish("a", id).await {
                    Ok(()) => "acknowledged",
                    Err(PublishError::Rejected(_)) => "rejected",
                    Err(PublishError::Unpublishable(_)) => "unpublishable",
                    Err(PublishError::Unknown(_)) => "unknown",
                });
                tokio::time::sleep(Duration::from_millis(1_250)).await;
            }
        })
        .host("consumer", |hand| async move {
            hand.work(Duration::ZERO).await;
        });
    let (notes, _) = trial.run()?;
    let told = ["acknowledged", "rejected", "acknowledged"];
    expect("publishing", of(&notes, "producer"), told.to_vec())?;
    let kept = vec!["before", "after"];
    expect("delivered", of(&notes, "consumer"), kept)
}

/// How much later, and with which stamp and id, a message is published again; and whether that is recognised.
type Repeat<'a> = (&'static str, Duration, Option<Stamp>, &'a str, bool);

/// By what is declared the broker recognises a repeated publish, and by nothing else.
pub(super) fn deduplication(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let (header, window) = match &declared.deduplication {
        Deduplication::MessageId { header, window } => (Some(header.as_str()), Some(*window)),
        Deduplication::Nothing | Deduplication::ProducerSequence => (None, None),
    };
    // A broker that is said to look at no header is shown all that usually carry an id.
    let headers = match header {
        Some(header) => vec![header],
        None => vec![EVENT_ID, "Nats-Msg-Id", "ce-id"],
    };
    let by_sequence = declared.deduplication == Deduplication::ProducerSequence;
    let soon = window.unwrap_or(SECOND).saturating_sub(SECOND / 10);
    let repeats = |stamp: Option<Stamp>| -> [Repeat<'_>; 4] {
        [
            ("with nothing of the first", SECOND, None, "other", false),
            ("by the same producer", SECOND, stamp, "other", by_sequence),
            ("with its id", soon, None, "first", window.is_some()),
            (
                "with its id, when it is forgotten",
                window.unwrap_or(LONG),
                None,
                "first",
                false,
            ),
        ]
    };
    for nth in 0..4 {
        let topics = [("events".to_owned(), 1)].into();
        let mut core = Core::new(profile, &topics, [], HOST.into());
        let producer = core.open_producer();
        let stamp = Some(Stamp {
            producer,
            sequence: 1,
        });
        let mut publish = |stamp, id: &str, at| {
            let message = Message::new("events", "a", id);
            let message = headers
                .iter()
                .fold(message, |message, header| message.header(header, id));
            let (host, message) = (Arc::from("producer"), Arc::new(message));
            let written = core.publish(&host, stamp, message, at, &mut Seen::new());
            written.map_err(|rejection| rejection.to_string())
        };
        publish(stamp, "first", Duration::ZERO)?;
        let (how, later, stamp, id, recognised) = repeats(stamp)[nth];
        let written = publish(stamp, id, later)?;
        let is_recognised = matches!(written, Written::Recognised(_));
        let what = format!("recognised when published again {how}, after {later:?}");
        expect(&what, is_recognised, recognised)?;
    }
    Ok(())
}
