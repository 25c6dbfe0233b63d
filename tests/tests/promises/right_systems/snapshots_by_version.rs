//! Snapshots with a version: whoever reads one that is older than what it has ignores it, and remembers no ids.
//!
//! Two relays publish the same outbox without knowing of one another, so snapshots come twice and late.

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::database::{Database, Probe};
use stormglass::{Broker, CORRELATION_ID, Group, Machine, Message, System};

use super::inbox::{self, INBOX};
use super::outbox::{self, Event, OUTBOX};
use super::{FEW, Outcome, ask, command, holds, promising_events};
use crate::pool;

const PRICES: &str = "
    CREATE TABLE prices (article TEXT PRIMARY KEY, cents TEXT NOT NULL, version INTEGER NOT NULL);";
const WINDOW: &str = "
    CREATE TABLE tags (article TEXT PRIMARY KEY, version INTEGER NOT NULL, snapshot TEXT NOT NULL);";

async fn prices(machine: Machine) -> Outcome {
    let prices = pool::connect(machine.url("prices")).await?;
    let mut changes = Broker::connect().subscribe("prices", &["changes"]).await?;
    loop {
        let change = changes.next().await?;
        set(&prices, change.message()).await?;
        change.ack().await?;
    }
}

async fn set(prices: &SqlitePool, change: &Message) -> sqlx::Result<()> {
    let Some(mut transaction) = inbox::begin(prices, "prices", change).await? else {
        return Ok(());
    };
    let (version,): (i64,) = sqlx::query_as(
        "INSERT INTO prices VALUES ($1, $2, 1) ON CONFLICT (article) DO UPDATE
         SET cents = excluded.cents, version = version + 1 RETURNING version",
    )
    .bind(&change.key)
    .bind(String::from_utf8_lossy(&change.payload))
    .fetch_one(&mut *transaction)
    .await?;
    let snapshot = Event {
        id: &format!("{}-{version}", change.key),
        kind: "price.set",
        entity: &change.key,
        flow: change
            .headers
            .get(CORRELATION_ID)
            .map_or("", String::as_str),
        cause: change.event_id().unwrap_or_default(),
        payload: &version.to_string(),
    };
    outbox::write(&mut transaction, snapshot).await?;
    transaction.commit().await
}

async fn relay(machine: Machine) -> Outcome {
    let (prices, broker) = (
        pool::connect(machine.url("prices")).await?,
        Broker::connect(),
    );
    outbox::publish(&prices, &broker, "snapshots").await
}

async fn window(machine: Machine) -> Outcome {
    let window = pool::connect(machine.url("window")).await?;
    let broker: Broker = Broker::connect();
    let mut snapshots = broker.subscribe("window", &["snapshots"]).await?;
    loop {
        let snapshot = snapshots.next().await?;
        let message = snapshot.message();
        let version: i64 = std::str::from_utf8(&message.payload)?.parse()?;
        sqlx::query(
            "INSERT INTO tags VALUES ($1, $2, $3) ON CONFLICT (article) DO UPDATE
             SET version = excluded.version, snapshot = excluded.snapshot
             WHERE excluded.version > version",
        )
        .bind(&message.key)
        .bind(version)
        .bind(message.event_id())
        .execute(&window)
        .await?;
        snapshot.ack().await?;
    }
}

#[test]
fn snapshots_by_version_are_right() {
    let tags = Probe::applied("SELECT snapshot AS event_id, article AS entity FROM tags");
    let system = System::new("snapshots by version")
        .topic("changes", 2)
        .topic("snapshots", 2)
        .group(Group::new("prices", &["changes"]))
        .group(Group::new("window", &["snapshots"]).superseding())
        .database(
            Database::new("prices", format!("{INBOX}{OUTBOX}{PRICES}"))
                .probe(inbox::handled("prices"))
                .probe(outbox::announced("snapshots")),
        )
        .database(Database::new("window", WINDOW).probe(tags.by("window")))
        .host("prices", prices)
        .host("relay-a", relay)
        .host("relay-b", relay)
        .host("window", window)
        .operations(
            || (any::<u32>(), 0..2_u8, 1..900_u32),
            |(number, article, cents): (u32, u8, u32)| {
                let (key, id) = (format!("article-{article}"), format!("change-{number}"));
                ask(command("changes", &key, &id, cents.to_string()))
            },
        )
        .load(FEW);
    holds(&promising_events(system));
}
