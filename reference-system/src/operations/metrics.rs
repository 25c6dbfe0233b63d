//! Metrics in Prometheus' text format (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>):
//! what is parked, what is not yet published, and how far groups are behind. They are read when somebody asks, and kept nowhere.

use std::fmt::Write;

use super::Services;
use crate::clock::now_ms;
use crate::database::Database;
use crate::monitor::LagThreshold;
use crate::ports::broker::Standing;
use crate::relay::Backlog;

/// What the answer's `content-type` says.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// Gauges of one name, each with the value of its label.
struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: Vec<(&'static str, i64)>,
}

impl Family {
    fn write(&self, text: &mut String) {
        let Self {
            name, help, label, ..
        } = self;
        // Writing to a text never fails.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (of, value) in &self.values {
            let _ = writeln!(text, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }
}

/// Reads all of them.
///
/// # Errors
/// When a database fails.
pub(super) async fn read(services: &Services) -> sqlx::Result<String> {
    let (mut parked, mut oldest) = (Vec::new(), Vec::new());
    let (mut unsent, mut due, mut withheld) = (Vec::new(), Vec::new(), Vec::new());
    for (consumer, database) in &services.consumers {
        let (events, since) = parked_events(database, consumer).await?;
        parked.push((*consumer, events));
        oldest.push((
            *consumer,
            since.map_or(0, |ms| (now_ms() - ms).max(0) / 1000),
        ));
    }
    for origin in &services.origins {
        let backlog = Backlog::read(&origin.database).await?;
        let of_topic = |figure| (origin.topic, i64::try_from(figure).unwrap_or(i64::MAX));
        unsent.push(of_topic(backlog.rows));
        due.push(of_topic(backlog.age.as_secs()));
        withheld.push(of_topic(backlog.withheld));
    }
    let lags = lags(services).await;
    let (mut unread, mut waiting) = (Vec::new(), Vec::new());
    for (group, (messages, wait)) in lags {
        unread.push((group, messages));
        waiting.push((group, wait));
    }
    let families = [
        Family {
            name: "shop_parked_events",
            help: "Events in the dead letter queue of a consumer group.",
            label: "group",
            values: parked,
        },
        Family {
            name: "shop_parked_oldest_seconds",
            help: "How long ago the oldest of them was parked; 0 if there is none.",
            label: "group",
            values: oldest,
        },
        Family {
            name: "shop_outbox_unsent_events",
            help: "Events in an outbox that the broker has not acknowledged.",
            label: "topic",
            values: unsent,
        },
        Family {
            name: "shop_outbox_oldest_seconds",
            help: "How long the oldest of them has been due; 0 if there is none.",
            label: "topic",
            values: due,
        },
        Family {
            name: "shop_outbox_withheld_events",
            help: "Events among them that the broker takes from nobody as they are.",
            label: "topic",
            values: withheld,
        },
        Family {
            name: "shop_consumer_lag_messages",
            help: "Messages that a consumer group has not settled.",
            label: "group",
            values: unread,
        },
        Family {
            name: "shop_consumer_lag_seconds",
            help: "How long the first of them has been there; 0 if there is none.",
            label: "group",
            values: waiting,
        },
    ];
    let mut text = String::new();
    for family in families {
        family.write(&mut text);
    }
    Ok(text)
}

/// Unread messages of each group, and how many seconds the first of them has waited; of none while the broker is away.
async fn lags(services: &Services) -> Vec<(&'static str, (i64, i64))> {
    let mut lags = Vec::new();
    for LagThreshold { group, topics, .. } in &services.groups {
        match services.standings.standing(group, topics).await {
            Ok(standings) => lags.push((*group, summed(&standings))),
            Err(error) => tracing::warn!(%error, group, "lag is not known"),
        }
    }
    lags
}

fn summed(standings: &[Standing]) -> (i64, i64) {
    let unread: u64 = standings.iter().map(|standing| standing.unread).sum();
    let waits = standings.iter().filter_map(|standing| standing.waiting);
    let seconds = waits.max().map_or(0, |wait| wait.as_secs());
    let [unread, seconds] =
        [unread, seconds].map(|figure| i64::try_from(figure).unwrap_or(i64::MAX));
    (unread, seconds)
}

/// How much a consumer has parked, and since when, in milliseconds since 1970.
async fn parked_events(database: &Database, consumer: &str) -> sqlx::Result<(i64, Option<i64>)> {
    sqlx::query_as("SELECT COUNT(*), MIN(parked_at_ms) FROM parked WHERE consumer = $1")
        .bind(consumer)
        .fetch_one(database.reads())
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let family = Family {
            name: "shop_parked_events",
            help: "Events.",
            label: "group",
            values: vec![("order", 0), ("payment", 12)],
        };
        let mut text = String::new();
        family.write(&mut text);
        let expected = "# HELP shop_parked_events Events.\n\
                        # TYPE shop_parked_events gauge\n\
                        shop_parked_events{group=\"order\"} 0\n\
                        shop_parked_events{group=\"payment\"} 12\n";
        assert_eq!(text, expected);
    }
}
