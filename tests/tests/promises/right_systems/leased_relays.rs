//! An outbox with two relays, of which the one that holds the lease publishes.
//!
//! A lease ends by itself, so a relay that stood still may wake up and publish what the other one has published
//! since. That makes duplicates, and the order of first copies stays: consumers that remember what they have
//! seen are all that it takes.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use sqlx::Sqlite;
use stormglass::checker::{
    Causality, Convergence, EffectOnce, EntityOrder, Log, NoGhostEvent, NoLostEvent,
};
use stormglass::database::{Database, Pool, Probe};
use stormglass::plan::Load;
use stormglass::{
    CAUSATION_ID, CORRELATION_ID, Delivery, EVENT_ID, EVENT_TYPE, Group, Host, Message, System,
};
use tokio::time::sleep;

use super::{Outcome, holds, publish_until_acknowledged};

const SHOP: &str = "
    CREATE TABLE baskets (basket TEXT PRIMARY KEY, articles INTEGER NOT NULL);
    CREATE TABLE taken (command TEXT PRIMARY KEY, basket TEXT NOT NULL);
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        basket TEXT NOT NULL,
        correlation TEXT NOT NULL,
        cause TEXT NOT NULL,
        articles INTEGER NOT NULL,
        is_sent INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE lease (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until_ms INTEGER NOT NULL);
    INSERT INTO lease VALUES ('relay', '', 0);";
const PICKING: &str = "
    CREATE TABLE processed (id TEXT PRIMARY KEY);
    CREATE TABLE picks (number INTEGER PRIMARY KEY, id TEXT NOT NULL, basket TEXT NOT NULL);";

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as i64
}

async fn baskets(host: Host) -> Outcome {
    let shop = host.database::<Sqlite>("shop")?;
    let mut commands = host.broker().subscribe("baskets", &["commands"]).await?;
    loop {
        let command = commands.next().await?;
        put(&shop, &command).await?;
        command.ack().await?;
    }
}

/// Puts an article into a basket, and two events into the outbox: one for the basket, one for the hall.
async fn put(shop: &Pool<Sqlite>, command: &Delivery) -> sqlx::Result<()> {
    let message = command.message();
    let id = message.event_id().unwrap_or_default();
    let mut transaction = shop.begin().await?;
    let first = sqlx::query("INSERT INTO taken VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id)
        .bind(&message.key)
        .execute(&mut *transaction)
        .await?;
    if first.rows_affected() == 0 {
        return Ok(());
    }
    let (articles,): (i64,) = sqlx::query_as(
        "INSERT INTO baskets VALUES ($1, 1)
         ON CONFLICT (basket) DO UPDATE SET articles = articles + 1 RETURNING articles",
    )
    .bind(&message.key)
    .fetch_one(&mut *transaction)
    .await?;
    for step in ["reserved", "counted"] {
        sqlx::query(
            "INSERT INTO outbox (id, basket, correlation, cause, articles) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(format!("{step}-{id}"))
        .bind(&message.key)
        .bind(message.headers.get(CORRELATION_ID))
        .bind(id)
        .bind(articles)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await
}

async fn relay(host: Host) -> Outcome {
    let shop = host.database::<Sqlite>("shop")?;
    let broker = host.broker();
    loop {
        if !holds_lease(&shop, host.name()).await? {
            sleep(Duration::from_millis(250)).await;
            continue;
        }
        let rows: Vec<(i64, String, String, String, String, i64)> = sqlx::query_as(
            "SELECT number, id, basket, correlation, cause, articles FROM outbox
             WHERE is_sent = 0 ORDER BY number LIMIT 4",
        )
        .fetch_all(&shop)
        .await?;
        for (number, id, basket, correlation, cause, articles) in &rows {
            let event = Message::new("articles", basket, articles.to_string())
                .header(EVENT_ID, id)
                .header(EVENT_TYPE, "article.put")
                .header(CORRELATION_ID, correlation)
                .header(CAUSATION_ID, cause);
            broker.publish(event).await?;
            sqlx::query("UPDATE outbox SET is_sent = 1 WHERE number = $1")
                .bind(number)
                .execute(&shop)
                .await?;
        }
        if rows.is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Takes the lease, or keeps it; it lasts for two seconds.
async fn holds_lease(shop: &Pool<Sqlite>, owner: &str) -> sqlx::Result<bool> {
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

async fn pick(host: Host) -> Outcome {
    let picking = host.database::<Sqlite>("picking")?;
    let mut articles = host.broker().subscribe("picking", &["articles"]).await?;
    loop {
        let article = articles.next().await?;
        let mut transaction = picking.begin().await?;
        let first = sqlx::query("INSERT INTO processed VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(article.message().event_id())
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 1 {
            sqlx::query("INSERT INTO picks (id, basket) VALUES ($1, $2)")
                .bind(article.message().event_id())
                .bind(&article.message().key)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        article.ack().await?;
    }
}

#[test]
fn two_relays_with_a_lease_are_right() {
    let taken = Probe::applied("SELECT command AS event_id, basket AS entity FROM taken");
    let written = Probe::announced(
        "SELECT number AS position, id AS event_id, basket AS entity, 'articles' AS topic,
             'article.put' AS event_type, correlation AS correlation_id, cause AS cause_id
         FROM outbox WHERE number > $1 ORDER BY number",
    );
    let picked = Probe::applied(
        "SELECT number AS position, id AS event_id, basket AS entity FROM picks
         WHERE number > $1 ORDER BY number",
    );
    let system = System::new("two relays with a lease")
        .topic("commands", 2)
        .topic("articles", 2)
        .group(Group::new("baskets", &["commands"]))
        .group(Group::new("picking", &["articles"]))
        .database(
            Database::new("shop", SHOP)
                .probe(taken.by("baskets"))
                .probe(written),
        )
        .database(Database::new("picking", PICKING).probe(picked.by("picking")))
        .host("baskets", baskets)
        .host("relay-a", relay)
        .host("relay-b", relay)
        .host("picking", pick)
        .operations(
            || (any::<u32>(), 0..3_u8),
            |client: Host, (number, basket): (u32, u8)| async move {
                let id = format!("put-{number}");
                let command = Message::new("commands", &format!("basket-{basket}"), "")
                    .header(EVENT_ID, &id)
                    .header(CORRELATION_ID, &id);
                publish_until_acknowledged(&client.broker(), &command).await;
                Ok::<(), String>(())
            },
        )
        .load(Load {
            operations_min: 3,
            operations_max: 6,
            over_ms: 2_000,
        })
        .property(NoLostEvent)
        .property(NoGhostEvent::default())
        .property(EffectOnce)
        .property(EntityOrder)
        .property(Causality)
        .property(Convergence)
        .property(Log);
    holds(&system);
}
