//! An outbox with two relays, of which the one that holds the lease publishes.
//!
//! A lease ends by itself, so a relay that stood still may wake up and publish what the other one has published
//! since. That makes duplicates, and the order of first copies stays: consumers that remember what they have
//! seen are all that it takes.

use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::database::Database;
use stormglass::{Broker, CORRELATION_ID, Group, Machine, Message, System};
use tokio::time::sleep;

use super::inbox::{self, INBOX};
use super::outbox::{self, Event, OUTBOX};
use super::{FEW, Outcome, ask, command, holds, promising_events};
use crate::clock::now_ms;
use crate::pool;

const SHOP: &str = "
    CREATE TABLE baskets (basket TEXT PRIMARY KEY, articles INTEGER NOT NULL);
    CREATE TABLE lease (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until_ms INTEGER NOT NULL);
    INSERT INTO lease VALUES ('relay', '', 0);";

async fn baskets(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let mut commands = Broker::connect()
        .subscribe("baskets", &["commands"])
        .await?;
    loop {
        let command = commands.next().await?;
        put(&shop, command.message()).await?;
        command.ack().await?;
    }
}

/// Puts an article into a basket, and two events into the outbox: one for the basket, one for the hall.
async fn put(shop: &SqlitePool, command: &Message) -> sqlx::Result<()> {
    let Some(mut transaction) = inbox::begin(shop, "baskets", command).await? else {
        return Ok(());
    };
    let (articles,): (i64,) = sqlx::query_as(
        "INSERT INTO baskets VALUES ($1, 1)
         ON CONFLICT (basket) DO UPDATE SET articles = articles + 1 RETURNING articles",
    )
    .bind(&command.key)
    .fetch_one(&mut *transaction)
    .await?;
    let cause = command.event_id().unwrap_or_default();
    for step in ["reserved", "counted"] {
        let event = Event {
            id: &format!("{step}-{cause}"),
            kind: "article.put",
            entity: &command.key,
            flow: command
                .headers
                .get(CORRELATION_ID)
                .map_or("", String::as_str),
            cause,
            payload: &articles.to_string(),
        };
        outbox::write(&mut transaction, event).await?;
    }
    transaction.commit().await
}

async fn relay(machine: Machine) -> Outcome {
    let shop = pool::connect(machine.url("shop")).await?;
    let broker = Broker::connect();
    loop {
        let holds_lease = holds_lease(&shop, machine.name()).await?;
        if !holds_lease || outbox::publish_page(&shop, &broker, "articles").await? == 0 {
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Takes the lease, or keeps it; it lasts for two seconds.
async fn holds_lease(shop: &SqlitePool, owner: &str) -> sqlx::Result<bool> {
    let now = now_ms();
    let current: (String, i64) = sqlx::query_as("SELECT owner, until_ms FROM lease")
        .fetch_one(shop)
        .await?;
    // A lease that is young enough is not written again, so that an idle shop comes to rest.
    if current.0 == owner && current.1 > now + 500 {
        return Ok(true);
    }
    if current.0 != owner && current.1 > now {
        return Ok(false);
    }
    let taken = sqlx::query(
        "UPDATE lease SET owner = $1, until_ms = $2 WHERE owner = $3 AND until_ms = $4",
    )
    .bind(owner)
    .bind(now + 2_000)
    .bind(&current.0)
    .bind(current.1)
    .execute(shop)
    .await?;
    Ok(taken.rows_affected() == 1)
}

async fn pick(machine: Machine) -> Outcome {
    let picking = pool::connect(machine.url("picking")).await?;
    let mut articles = Broker::connect()
        .subscribe("picking", &["articles"])
        .await?;
    loop {
        let article = articles.next().await?;
        if let Some(picked) = inbox::begin(&picking, "picking", article.message()).await? {
            picked.commit().await?;
        }
        article.ack().await?;
    }
}

#[test]
fn two_relays_with_a_lease_are_right() {
    let system = System::new("two relays with a lease")
        .topic("commands", 2)
        .topic("articles", 2)
        .group(Group::new("baskets", &["commands"]))
        .group(Group::new("picking", &["articles"]))
        .database(
            Database::new("shop", format!("{INBOX}{OUTBOX}{SHOP}"))
                .probe(inbox::handled("baskets"))
                .probe(outbox::announced("articles")),
        )
        .database(Database::new("picking", INBOX).probe(inbox::handled("picking")))
        .host("baskets", baskets)
        .host("relay-a", relay)
        .host("relay-b", relay)
        .host("picking", pick)
        .operations(
            || (any::<u32>(), 0..3_u8),
            |(number, basket): (u32, u8)| {
                let (key, id) = (format!("basket-{basket}"), format!("put-{number}"));
                ask(command("commands", &key, &id, ""))
            },
        )
        .load(FEW);
    holds(&promising_events(system));
}
