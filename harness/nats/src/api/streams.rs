//! Requests about streams.

use serde::Deserialize;
use serde_json::{Value, json};

use super::dispatch::{Ask, Reply, page};
use super::{ApiError, StreamConfig, known};
use crate::core::{Consumer, Core, Stream};
use crate::moment::rfc3339;
use crate::settings::VERSION;
use crate::subject;

/// How many names, and how many whole streams, one answer has.
const NAMES_MAX: usize = 1024;
const LIST_MAX: usize = 256;

/// How many subjects one answer has.
const SUBJECTS_MAX: usize = 100_000;

/// How a time is written that never was.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoRequest {
    deleted_details: bool,
    subjects_filter: Option<String>,
    offset: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListRequest {
    subject: Option<String>,
    offset: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PurgeRequest {
    seq: u64,
    filter: Option<String>,
    keep: u64,
}

impl Core {
    pub(super) fn stream_create(&mut self, ask: &Ask<'_>) -> Reply {
        let config: StreamConfig = ask.read_present()?;
        if config.name != ask.name(0) {
            return Err(known::STREAM_NAME_MISMATCH.into());
        }
        let config = config.checked()?;
        if let Some(stream) = self.streams.get(config.name.as_str()) {
            if stream.config != config {
                return Err(known::STREAM_NAME_EXISTS.into());
            }
            return Ok(created(self.stream_fields(stream, true)));
        }
        self.check_overlap(&config)?;
        let name = self.create_stream(ask.client, config);
        let stream = self.streams.get(&name).ok_or(known::STREAM_NOT_FOUND)?;
        Ok(created(self.stream_fields(stream, true)))
    }

    pub(super) fn stream_update(&mut self, ask: &Ask<'_>) -> Reply {
        let config: StreamConfig = ask.read_present()?;
        if config.name != ask.name(0) {
            return Err(known::STREAM_NAME_MISMATCH.into());
        }
        let name = self.stream_named(ask.name(0))?.name.clone();
        let config = config.checked()?;
        self.stream_named(&name)?.config.check_update(&config)?;
        self.check_overlap(&config)?;
        check_limits(self.stream_named(&name)?, &config)?;
        let now = self.now.elapsed;
        let stream = self.streams.get_mut(&name).ok_or(known::STREAM_NOT_FOUND)?;
        stream.config = config;
        let mut orphans = Vec::new();
        let subjects: Vec<String> = stream
            .log
            .subjects(">")
            .map(|(subject, _)| subject.to_owned())
            .collect();
        let mut gone = stream.log.expired(stream.config.max_age, now);
        for subject in subjects {
            gone.extend(stream.log.beyond(&stream.config, &subject));
        }
        for sequence in gone {
            stream.remove(sequence, &mut orphans);
        }
        self.report_orphans(&name, &orphans);
        self.arm_stream(&name);
        self.advise_stream(&name, "modify");
        let stream = self.stream_named(&name)?;
        Ok(self.stream_fields(stream, true))
    }

    pub(super) fn stream_info(&mut self, ask: &Ask<'_>) -> Reply {
        let request: InfoRequest = ask.read()?;
        let stream = self.stream_named(ask.name(0))?;
        let mut fields = self.stream_fields(stream, true);
        (fields["total"], fields["offset"], fields["limit"]) = (0.into(), 0.into(), 0.into());
        fields["cluster"] = json!({ "leader": self.settings.server_id });
        if request.deleted_details {
            let deleted: Vec<u64> = (stream.log.first().max(1)..=stream.log.last())
                .filter(|sequence| stream.log.get(*sequence).is_none())
                .collect();
            if !deleted.is_empty() {
                fields["state"]["deleted"] = deleted.into();
            }
        }
        if let Some(filter) = request.subjects_filter.filter(|filter| !filter.is_empty()) {
            let all: Vec<(&str, usize)> = stream
                .log
                .subjects(&filter)
                .map(|(subject, sequences)| (subject, sequences.len()))
                .collect();
            if !all.is_empty() {
                fields["total"] = all.len().into();
                fields["offset"] = request.offset.into();
                fields["limit"] = SUBJECTS_MAX.into();
                let some = all.into_iter().skip(request.offset).take(SUBJECTS_MAX);
                let subjects = some.map(|(subject, count)| (subject.to_owned(), count.into()));
                fields["state"]["subjects"] = Value::Object(subjects.collect());
            }
        }
        Ok(fields)
    }

    pub(super) fn stream_delete(&mut self, ask: &Ask<'_>) -> Reply {
        self.stream_named(ask.name(0))?;
        self.delete_stream(ask.client, ask.name(0));
        Ok(json!({ "success": true }))
    }

    pub(super) fn stream_purge(&mut self, ask: &Ask<'_>) -> Reply {
        let request: PurgeRequest = ask.read()?;
        if request.seq > 0 && request.keep > 0 {
            return Err(known::BAD_REQUEST.into());
        }
        let stream = self
            .streams
            .get_mut(ask.name(0))
            .ok_or(known::STREAM_NOT_FOUND)?;
        if stream.config.sealed {
            return Err(known::SEALED.into());
        }
        if stream.config.deny_purge {
            return Err(ApiError::new(500, 10110, "stream purge not permitted"));
        }
        let filter = request
            .filter
            .as_deref()
            .filter(|filter| !filter.is_empty());
        let before = Some(request.seq).filter(|sequence| *sequence > 0);
        let purged = stream.purge(filter, before, request.keep);
        if filter.is_none()
            && let Some(before) = before
        {
            stream.begin_at(before);
        }
        let keys: Vec<_> = stream
            .consumers
            .values()
            .map(|consumer| consumer.key.clone())
            .collect();
        let name = stream.name.clone();
        for key in keys {
            self.wake(key);
        }
        self.arm_stream(&name);
        Ok(json!({ "success": true, "purged": purged }))
    }

    pub(super) fn stream_names(&mut self, ask: &Ask<'_>) -> Reply {
        let request: ListRequest = ask.read()?;
        let names = self
            .streams_about(request.subject.as_deref())
            .map(|stream| (*stream.name).into())
            .collect();
        let mut fields = page("streams", names, request.offset, NAMES_MAX);
        if fields["streams"].as_array().is_none_or(Vec::is_empty) {
            fields["streams"] = Value::Null;
        }
        Ok(fields)
    }

    pub(super) fn stream_list(&mut self, ask: &Ask<'_>) -> Reply {
        let request: ListRequest = ask.read()?;
        let streams = self
            .streams_about(request.subject.as_deref())
            .map(|stream| self.stream_fields(stream, false))
            .collect();
        Ok(page("streams", streams, request.offset, LIST_MAX))
    }

    fn streams_about(&self, wanted: Option<&str>) -> impl Iterator<Item = &Stream> {
        let wanted = wanted
            .filter(|wanted| !wanted.is_empty())
            .map(str::to_owned);
        self.streams.values().filter(move |stream| {
            wanted.as_ref().is_none_or(|wanted| {
                let mut subjects = stream.config.subjects.iter();
                subjects.any(|subject| subject::overlap(subject, wanted))
            })
        })
    }

    pub(super) fn stream_named(&self, name: &str) -> Result<&Stream, ApiError> {
        Ok(self.streams.get(name).ok_or(known::STREAM_NOT_FOUND)?)
    }

    fn check_overlap(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let others = self
            .streams
            .values()
            .filter(|stream| *stream.name != *config.name);
        for subject in others.flat_map(|stream| &stream.config.subjects) {
            if config
                .subjects
                .iter()
                .any(|own| subject::overlap(own, subject))
            {
                return Err(known::SUBJECTS_OVERLAP.into());
            }
        }
        Ok(())
    }

    /// What is said of a stream, with what the server adds to its texts if `whole`.
    fn stream_fields(&self, stream: &Stream, whole: bool) -> Value {
        let time_of = |sequence: u64| match stream.log.get(sequence) {
            Some(stored) => rfc3339(stored.time.wall),
            None => NO_TIME.to_owned(),
        };
        let last_time = match stream.log.last_time().is_zero() {
            true => NO_TIME.to_owned(),
            false => rfc3339(stream.log.last_time()),
        };
        let (first, last) = (stream.log.first(), stream.log.last());
        let mut state = json!({
            "messages": stream.log.len(),
            "bytes": stream.log.bytes(),
            "first_seq": first,
            "first_ts": time_of(first),
            "last_seq": last,
            "last_ts": last_time,
            "consumer_count": stream.consumers.len(),
        });
        if stream.log.subjects_len() > 0 {
            state["num_subjects"] = stream.log.subjects_len().into();
        }
        let deleted = match stream.log.len() {
            0 => 0,
            count => last + 1 - first - count,
        };
        if deleted > 0 {
            state["num_deleted"] = deleted.into();
        }
        let mut config = serde_json::to_value(&stream.config).unwrap_or_default();
        add_metadata(&mut config, whole);
        json!({
            "config": config,
            "created": rfc3339(stream.created),
            "state": state,
            "ts": rfc3339(self.now.wall),
        })
    }
}

/// Adds to a configuration what the product adds to its texts: which version of it is needed, and which it
/// is.
pub(super) fn add_metadata(config: &mut Value, whole: bool) {
    config["metadata"]["_nats.req.level"] = "0".into();
    if whole {
        config["metadata"]["_nats.level"] = "5".into();
        config["metadata"]["_nats.ver"] = VERSION.into();
    }
}

fn created(mut fields: Value) -> Value {
    fields["did_create"] = true.into();
    fields
}

/// Refuses limits for consumers that one which is there exceeds.
fn check_limits(stream: &Stream, config: &StreamConfig) -> Result<(), ApiError> {
    let limits = &config.consumer_limits;
    if *limits == stream.config.consumer_limits {
        return Ok(());
    }
    let exceeds = |consumer: &&Consumer| {
        let (pending, threshold) = (limits.max_ack_pending, limits.inactive_threshold);
        pending > 0 && consumer.config.max_ack_pending > pending
            || !threshold.is_zero() && consumer.config.inactive_threshold > threshold
    };
    let names: Vec<&str> = (stream.consumers.values())
        .filter(exceeds)
        .map(|consumer| &*consumer.key.consumer)
        .collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(ApiError::new(
            500,
            10069,
            format!("change to limits violates consumers: {}", names.join(", ")),
        )),
    }
}
