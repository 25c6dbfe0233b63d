//! Requests about consumers.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::dispatch::{Ask, Reply, page};
use super::streams::add_metadata;
use super::{AckPolicy, ApiError, ConsumerConfig, DeliverPolicy, Retention, known};
use crate::core::{Consumer, ConsumerKey, Core, Stream};
use crate::moment::{parse_rfc3339, rfc3339};
use crate::subject;
use crate::witness::Client;

/// How many names, and how many whole consumers, one answer has.
const NAMES_MAX: usize = 1024;
const LIST_MAX: usize = 256;

/// Whether a consumer has to be there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Action {
    /// It does not matter.
    #[default]
    #[serde(rename = "")]
    CreateOrUpdate,
    #[serde(rename = "create")]
    Create,
    #[serde(rename = "update")]
    Update,
}

#[derive(Debug, Deserialize)]
struct CreateRequest {
    stream_name: String,
    #[serde(default)]
    config: ConsumerConfig,
    #[serde(default)]
    action: Action,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListRequest {
    offset: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PauseRequest {
    pause_until: Option<String>,
}

impl Core {
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    pub(super) fn consumer_durable_create(&mut self, ask: &Ask<'_>) -> Reply {
        let mut request: CreateRequest = ask.read_present()?;
        if ask.names.len() != 2 {
            return Err(known::DURABLE_NOT_IN_SUBJECT.into());
        }
        check_stream(ask, &request)?;
        match request.config.durable.as_deref() {
            None | Some("") => return Err(known::DURABLE_NOT_SET.into()),
            Some(durable) if durable != ask.name(1) => {
                return Err(known::DURABLE_NOT_AS_IN_SUBJECT.into());
            }
            Some(durable) => request.config.name = Some(durable.to_owned()),
        }
        self.place_consumer(ask.client, request)
    }

    /// `CONSUMER.CREATE.<stream>`, with the name of the consumer and then its filter if there are any.
    pub(super) fn consumer_create(&mut self, ask: &Ask<'_>) -> Reply {
        let mut request: CreateRequest = ask.read_present()?;
        check_stream(ask, &request)?;
        let durable = request
            .config
            .durable
            .as_deref()
            .filter(|name| !name.is_empty());
        if ask.names.len() == 1 {
            if durable.is_some() {
                return Err(known::EPHEMERAL_WITH_DURABLE.into());
            }
            return self.place_consumer(ask.client, request);
        }
        if ask.name(1).contains(['\\', '/']) {
            return Err(known::CONSUMER_NAME_PATH.into());
        }
        if durable.is_some_and(|durable| durable != ask.name(1)) {
            return Err(known::DURABLE_NOT_AS_IN_SUBJECT.into());
        }
        request.config.name = Some(ask.name(1).to_owned());
        let filter = ask.names[2..].join(".");
        if !filter.is_empty() && !request.config.filter_subjects.is_empty() {
            return Err(known::MANY_FILTERS_IN_SUBJECT.into());
        }
        if !filter.is_empty() && request.config.filter_subject.as_ref() != Some(&filter) {
            return Err(known::FILTER_NOT_AS_IN_SUBJECT.into());
        }
        self.place_consumer(ask.client, request)
    }

    /// Creates a consumer, or updates the one that is there.
    fn place_consumer(&mut self, client: &Arc<Client>, request: CreateRequest) -> Reply {
        let stream = self.stream_named(&request.stream_name)?;
        let mut config = request.config.checked(&stream.config)?;
        let named = config.durable.clone().or_else(|| config.name.clone());
        if let Some(there) = named.as_ref().and_then(|name| stream.consumers.get(name)) {
            let key = there.key.clone();
            // Only a request of its own changes a pause.
            config.pause_until.clone_from(&there.config.pause_until);
            if request.action == Action::Create && there.config != config {
                return Err(known::CONSUMER_EXISTS.into());
            }
            self.update_consumer(&key, config)?;
            return self.consumer_fields_of(&key);
        }
        if request.action == Action::Update {
            return Err(known::CONSUMER_DOES_NOT_EXIST.into());
        }
        let max = stream.config.max_consumers;
        if max > 0 && stream.consumers.len() as i64 >= max {
            return Err(known::CONSUMERS_MAX.into());
        }
        check_work_queue(stream, &config)?;
        let stream = stream.name.clone();
        let name = named.unwrap_or_else(|| self.new_name());
        config.name = Some(name.clone());
        self.create_consumer(client, &stream, &name, config);
        self.consumer_fields_of(&ConsumerKey {
            stream,
            consumer: name.as_str().into(),
        })
    }

    fn update_consumer(
        &mut self,
        key: &ConsumerKey,
        mut config: ConsumerConfig,
    ) -> Result<(), ApiError> {
        let now = self.now;
        let stream = self
            .streams
            .get_mut(&key.stream)
            .ok_or(known::STREAM_NOT_FOUND)?;
        if stream.config.retention == Retention::WorkQueue
            && !is_unique(stream, &key.consumer, &config)
        {
            return Err(known::WORK_QUEUE_NOT_UNIQUE.into());
        }
        let consumer = stream
            .consumers
            .get_mut(&*key.consumer)
            .ok_or(known::CONSUMER_NOT_FOUND)?;
        config.name = Some(key.consumer.to_string());
        consumer.config.check_update(&config)?;
        let moved = consumer.config.deliver_subject != config.deliver_subject;
        if moved && consumer.active {
            return Err(known::CONSUMER_NAME_EXISTS.into());
        }
        consumer.update(&stream.log, config, now);
        let retention = stream.config.retention;
        let all: Vec<u64> = stream.log.iter().map(|(sequence, _)| sequence).collect();
        if retention == Retention::Interest {
            self.done_with(key, &all);
        }
        self.wake(key.clone());
        Ok(())
    }

    pub(super) fn consumer_info(&mut self, ask: &Ask<'_>) -> Reply {
        if !matches!(ask.body.trim_ascii(), b"" | b"{}" | b"null") {
            return Err(ApiError::new(
                400,
                10038,
                "expected an empty request payload",
            ));
        }
        let key = ask.key();
        self.drop_unheard(&key);
        self.consumer_fields_of(&key)
    }

    pub(super) fn consumer_delete(&mut self, ask: &Ask<'_>) -> Reply {
        self.stream_named(ask.name(0))?;
        match self.delete_consumer(Some(ask.client), &ask.key()) {
            true => Ok(json!({ "success": true })),
            false => Err(known::CONSUMER_NOT_FOUND.into()),
        }
    }

    pub(super) fn consumer_pause(&mut self, ask: &Ask<'_>) -> Reply {
        let request: PauseRequest = ask.read()?;
        self.stream_named(ask.name(0))?;
        let now = self.now;
        let key = ask.key();
        let consumer = self.consumer(&key).ok_or(known::CONSUMER_NOT_FOUND)?;
        consumer.config.pause_until = request
            .pause_until
            .filter(|until| parse_rfc3339(until).is_some());
        consumer.set_pause(now);
        let fields = pause_fields(consumer, now.elapsed);
        self.wake(key);
        Ok(fields)
    }

    pub(super) fn consumer_names(&mut self, ask: &Ask<'_>) -> Reply {
        let request: ListRequest = ask.read()?;
        let stream = self.stream_named(ask.name(0))?;
        let names = stream
            .consumers
            .keys()
            .map(|name| name.as_str().into())
            .collect();
        Ok(page("consumers", names, request.offset, NAMES_MAX))
    }

    pub(super) fn consumer_list(&mut self, ask: &Ask<'_>) -> Reply {
        let request: ListRequest = ask.read()?;
        let stream = self.stream_named(ask.name(0))?;
        let consumers = stream
            .consumers
            .values()
            .map(|consumer| self.consumer_fields(consumer, false))
            .collect();
        Ok(page("consumers", consumers, request.offset, LIST_MAX))
    }

    fn consumer_fields_of(&mut self, key: &ConsumerKey) -> Reply {
        let stream = self.stream_named(&key.stream)?;
        let consumer = stream
            .consumers
            .get(&*key.consumer)
            .ok_or(known::CONSUMER_NOT_FOUND)?;
        Ok(self.consumer_fields(consumer, true))
    }

    /// What is said of a consumer, with what the server adds to its texts if `whole`.
    fn consumer_fields(&self, consumer: &Consumer, whole: bool) -> Value {
        let (delivered, floor) = (consumer.ledger.delivered(), consumer.ledger.floor());
        let mut config = serde_json::to_value(&consumer.config).unwrap_or_default();
        add_metadata(&mut config, whole);
        // With a single delivery there are no redeliveries, whatever is counted inside.
        let redelivered = match consumer.max_deliver() {
            Some(1) => 0,
            _ => consumer.ledger.redelivered_len(),
        };
        let mut fields = json!({
            "stream_name": &*consumer.key.stream,
            "name": &*consumer.key.consumer,
            "created": rfc3339(consumer.created),
            "config": config,
            "delivered": { "consumer_seq": delivered.consumer, "stream_seq": delivered.stream },
            "ack_floor": { "consumer_seq": floor.consumer, "stream_seq": floor.stream },
            "num_ack_pending": consumer.ledger.leases().len(),
            "num_redelivered": redelivered,
            "num_waiting": consumer.waiting.len(),
            "num_pending": consumer.unseen,
            "ts": rfc3339(self.now.wall),
        });
        if let Some(last) = consumer.last_delivery {
            fields["delivered"]["last_active"] = rfc3339(last).into();
        }
        if let Some(last) = consumer.last_settlement {
            fields["ack_floor"]["last_active"] = rfc3339(last).into();
        }
        if consumer.active {
            fields["push_bound"] = true.into();
        }
        if consumer.is_paused(self.now) {
            let pause = pause_fields(consumer, self.now.elapsed);
            fields["paused"] = true.into();
            fields["pause_remaining"] = pause["pause_remaining"].clone();
        }
        fields
    }
}

fn pause_fields(consumer: &Consumer, now: std::time::Duration) -> Value {
    let left = consumer
        .paused_until
        .and_then(|until| until.checked_sub(now));
    let mut fields = json!({
        "paused": left.is_some(),
        "pause_until": consumer.config.pause_until.as_deref().unwrap_or("0001-01-01T00:00:00Z"),
    });
    if let Some(left) = left {
        fields["pause_remaining"] = (left.as_nanos() as u64).into();
    }
    fields
}

fn check_stream(ask: &Ask<'_>, request: &CreateRequest) -> Result<(), ApiError> {
    match request.stream_name == ask.name(0) {
        true => Ok(()),
        false => Err(known::STREAM_NAME_MISMATCH.into()),
    }
}

/// Refuses a consumer that would settle what another one settles, or not settle at all, in a stream whose
/// messages leave when they are settled.
fn check_work_queue(stream: &Stream, config: &ConsumerConfig) -> Result<(), ApiError> {
    if stream.config.retention != Retention::WorkQueue {
        return Ok(());
    }
    if config.ack_policy != AckPolicy::Explicit {
        return Err(known::WORK_QUEUE_ACK.into());
    }
    if config.deliver_policy != DeliverPolicy::All {
        return Err(known::WORK_QUEUE_DELIVER_ALL.into());
    }
    if !stream.consumers.is_empty() {
        if config.filters().is_empty() {
            return Err(known::WORK_QUEUE_UNFILTERED.into());
        }
        if !is_unique(stream, "", config) {
            return Err(known::WORK_QUEUE_NOT_UNIQUE.into());
        }
    }
    Ok(())
}

/// Whether no other consumer of the stream wants what a consumer `name` with this configuration wants.
fn is_unique(stream: &Stream, name: &str, config: &ConsumerConfig) -> bool {
    let filters = config.filters();
    let others = stream
        .consumers
        .values()
        .filter(|other| &*other.key.consumer != name);
    others.into_iter().all(|other| {
        let apart = |own: &String| {
            other
                .filters
                .iter()
                .all(|filter| !subject::overlap(own, filter))
        };
        !other.filters.is_empty() && !filters.is_empty() && filters.iter().all(apart)
    })
}
