//! Notes that a server publishes of its own accord, for whoever subscribes to them or stores them.
//!
//! Forms:
//! <https://docs.nats.io/running-a-nats-service/nats_admin/monitoring/monitoring_jetstream#jetstream-advisories>.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Core;
use super::consumer::ConsumerKey;
use super::stream::Orphan;
use crate::moment::rfc3339;
use crate::protocol::Publish;

impl Core {
    /// A message was delivered as often as it may be, and not settled.
    pub(crate) fn advise_max_deliver(&mut self, key: &ConsumerKey, sequence: u64, attempts: u64) {
        self.advise(
            &format!("CONSUMER.MAX_DELIVERIES.{}.{}", key.stream, key.consumer),
            "max_deliver",
            json!({
                "stream": &*key.stream,
                "consumer": &*key.consumer,
                "stream_seq": sequence,
                "deliveries": attempts,
            }),
        );
    }

    /// A message is not wanted again.
    pub(crate) fn advise_terminated(
        &mut self,
        key: &ConsumerKey,
        sequence: u64,
        delivery: u64,
        attempts: u64,
        reason: &str,
    ) {
        let mut fields = json!({
            "stream": &*key.stream,
            "consumer": &*key.consumer,
            "consumer_seq": delivery,
            "stream_seq": sequence,
            "deliveries": attempts,
        });
        if !reason.is_empty() {
            fields["reason"] = reason.into();
        }
        let subject = format!("CONSUMER.MSG_TERMINATED.{}.{}", key.stream, key.consumer);
        self.advise(&subject, "terminated", fields);
    }

    /// Messages left their stream that a consumer had not settled.
    pub(crate) fn report_orphans(&mut self, stream: &Arc<str>, orphans: &[Orphan]) {
        for orphan in orphans {
            let key = ConsumerKey {
                stream: stream.clone(),
                consumer: orphan.consumer.clone(),
            };
            let reason = "Unacknowledged message was deleted";
            self.advise_terminated(
                &key,
                orphan.sequence,
                orphan.delivery,
                orphan.attempts,
                reason,
            );
            self.wake(key);
        }
    }

    /// A stream was created, deleted or updated.
    pub(crate) fn advise_stream(&mut self, stream: &str, action: &str) {
        let subject = format!("STREAM.{}.{stream}", past(action));
        self.advise(
            &subject,
            "stream_action",
            json!({ "stream": stream, "action": action }),
        );
    }

    /// A consumer was created or deleted.
    pub(crate) fn advise_consumer(&mut self, key: &ConsumerKey, action: &str) {
        let subject = format!("CONSUMER.{}.{}.{}", past(action), key.stream, key.consumer);
        let fields =
            json!({ "stream": &*key.stream, "consumer": &*key.consumer, "action": action });
        self.advise(&subject, "consumer_action", fields);
    }

    fn advise(&mut self, subject: &str, kind: &str, mut fields: Value) {
        let subject = format!("$JS.EVENT.ADVISORY.{subject}");
        // Most servers have nobody who listens, and a note costs more than a message.
        if !self.wire.router.has_interest(&subject) && self.stream_of(&subject).is_none() {
            return;
        }
        fields["type"] = format!("io.nats.jetstream.advisory.v1.{kind}").into();
        fields["id"] = self.new_name().into();
        fields["timestamp"] = rfc3339(self.now.wall).into();
        self.say(Publish {
            subject,
            payload: Bytes::from(fields.to_string()),
            ..Publish::default()
        });
    }
}

fn past(action: &str) -> &'static str {
    match action {
        "create" => "CREATED",
        "delete" => "DELETED",
        _ => "UPDATED",
    }
}
