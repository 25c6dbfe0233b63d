//! A projector that keeps its checkpoint in its own table and inserts in bulk.
//!
//! Two projectors share the partitions. A batch is written in one transaction with the checkpoint of each
//! partition, which moves only from the value that the batch began at; so an old owner cannot write behind a new
//! one. The broker is told at the end of a batch, and only the last offset of each partition.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sqlx::{QueryBuilder, Sqlite, SqlitePool};
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, Delivery, EVENT_ID, Group, Machine, Message, Subscription, System};
use tokio::time::timeout;

use super::{Outcome, holds, promising_effects};
use crate::pool;

const SCHEMA: &str = "
    CREATE TABLE checkpoints (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);
    CREATE TABLE hits (number INTEGER PRIMARY KEY, view TEXT NOT NULL, page TEXT NOT NULL);
    CREATE TABLE pages (page TEXT PRIMARY KEY, hits INTEGER NOT NULL);";

async fn project(machine: Machine) -> Outcome {
    let site = pool::connect(machine.url("site")).await?;
    let mut views = Broker::connect().subscribe("projector", &["views"]).await?;
    loop {
        // What came before a rebalance comes again after it, perhaps within one batch.
        let mut partitions: BTreeMap<u32, BTreeMap<u64, Delivery>> = BTreeMap::new();
        for view in batch(&mut views).await? {
            let position = view.position().clone();
            let partition = partitions.entry(position.partition).or_default();
            partition.insert(position.offset, view);
        }
        for (partition, mut views) in partitions {
            write(&site, partition, &views).await?;
            if let Some((_, last)) = views.pop_last() {
                last.ack().await?;
            }
        }
    }
}

/// Up to six views, or what came within a tenth of a second.
async fn batch(views: &mut Subscription) -> Result<Vec<Delivery>, stormglass::BrokerError> {
    let mut batch = vec![views.next().await?];
    while batch.len() < 6 {
        match timeout(Duration::from_millis(100), views.next()).await {
            Ok(view) => batch.push(view?),
            Err(_) => break,
        }
    }
    Ok(batch)
}

/// Writes what is new of one partition's views.
async fn write(site: &SqlitePool, partition: u32, views: &BTreeMap<u64, Delivery>) -> Outcome {
    let mut transaction = site.begin().await?;
    sqlx::query("INSERT INTO checkpoints VALUES ($1, 0) ON CONFLICT DO NOTHING")
        .bind(partition)
        .execute(&mut *transaction)
        .await?;
    let (next,): (i64,) = sqlx::query_as("SELECT next FROM checkpoints WHERE partition = $1")
        .bind(partition)
        .fetch_one(&mut *transaction)
        .await?;
    let fresh: Vec<&Delivery> = views
        .values()
        .filter(|view| view.position().offset >= next as u64)
        .collect();
    let (Some(first), Some(last)) = (fresh.first(), fresh.last()) else {
        return Ok(());
    };
    if first.position().offset != next as u64 {
        return Err(format!("a gap before {}", first.position()).into());
    }
    let moved = sqlx::query("UPDATE checkpoints SET next = $1 WHERE partition = $2 AND next = $3")
        .bind(last.position().offset as i64 + 1)
        .bind(partition)
        .bind(next)
        .execute(&mut *transaction)
        .await?;
    if moved.rows_affected() == 0 {
        return Err("another projector was faster".into());
    }
    QueryBuilder::<Sqlite>::new("INSERT INTO hits (view, page) ")
        .push_values(&fresh, |mut row, view| {
            row.push_bind(view.message().event_id().map(str::to_owned));
            row.push_bind(view.message().key.clone());
        })
        .build()
        .execute(&mut *transaction)
        .await?;
    for view in fresh {
        sqlx::query(
            "INSERT INTO pages VALUES ($1, 1) ON CONFLICT (page) DO UPDATE SET hits = hits + 1",
        )
        .bind(&view.message().key)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[test]
fn a_projector_with_checkpoints_is_right() {
    let hits = "SELECT number AS position, view AS event_id, page AS entity FROM hits \
                WHERE number > $1 ORDER BY number";
    let system = System::new("projector with checkpoints")
        .topic("views", 2)
        .group(Group::new("projector", &["views"]))
        .database(Database::new("site", SCHEMA).probe(Probe::applied(hits).by("projector")))
        .host("projector-a", project)
        .host("projector-b", project)
        .operations(
            || (any::<u32>(), 0..5_u8),
            |(number, page): (u32, u8)| async move {
                let view = Message::new("views", &format!("page-{page}"), "")
                    .header(EVENT_ID, &format!("view-{number}"));
                // A view that is lost on the way to the broker is no matter.
                Broker::connect().publish(view).await.map(drop)
            },
        )
        .load(Load {
            operations_min: 6,
            operations_max: 10,
            over_ms: 2_500,
            ..Load::default()
        });
    holds(&promising_effects(system));
}
