//! A small system of its own: a ledger that enters every posting once.
//!
//! It has one consumer and one database, and no event of its own; tests use it where the reference
//! system would only be slow. The careless variant is the mistake that every property test needs.

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::{Convergence, EffectOnce, Log};
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, Delivery, EVENT_ID, Group, Message, PublishError, System};
use tokio::time::{Duration, sleep};

use crate::pool;

const SCHEMA: &str = "
    CREATE TABLE entries (position INTEGER PRIMARY KEY, posting TEXT, account TEXT, cents INTEGER);
    CREATE TABLE processed (posting TEXT PRIMARY KEY);";

const ENTRIES: &str = "SELECT position, posting AS event_id, account AS entity FROM entries \
                       WHERE position > $1 ORDER BY position";

/// How the ledger treats a posting that it may know already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Remembers every posting in the transaction of its entry.
    Careful,
    /// Enters whatever comes.
    Careless,
}

/// The ledger as a system under test.
pub fn system(name: &str, care: Care) -> System {
    System::new(name)
        .topic("postings", 2)
        .group(Group::new("ledger", &["postings"]))
        .database(
            Database::new("ledger", SCHEMA)
                .probe(Probe::applied(ENTRIES).by("ledger"))
                .view(
                    "entries",
                    "SELECT posting, cents FROM entries ORDER BY position",
                ),
        )
        .host("ledger", move |machine| async move {
            let database = pool::connect(machine.url("ledger")).await?;
            keep(database, Broker::connect(), care).await;
            Ok::<(), sqlx::Error>(())
        })
        .operations(posting, post)
        .load(Load {
            operations_min: 3,
            operations_max: 8,
            over_ms: 1_500,
            ..Load::default()
        })
        .property(EffectOnce)
        .property(Convergence)
        .property(Log)
}

/// A posting: its number, the account and the amount.
fn posting() -> impl Strategy<Value = (u32, String, i64)> {
    (any::<u32>(), "[A-C]", 1..=999_i64)
}

/// Publishes a posting; asks again under the same number when the answer is missing.
async fn post((number, account, cents): (u32, String, i64)) -> Result<(), PublishError> {
    let broker = Broker::connect();
    let message = Message::new("postings", &account, cents.to_string())
        .header(EVENT_ID, &format!("posting-{number:08x}"));
    let mut attempts = 1;
    loop {
        match broker.publish(message.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if attempts == 4 => return Err(error),
            Err(_) => attempts += 1,
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn keep(database: SqlitePool, broker: Broker, care: Care) {
    loop {
        if let Ok(mut postings) = broker.subscribe("ledger", &["postings"]).await {
            while let Ok(posting) = postings.next().await {
                let settled = match enter(&database, &posting, care).await {
                    Ok(()) => posting.ack().await,
                    Err(_) => posting.retry(Duration::from_millis(100)).await,
                };
                if settled.is_err() {
                    break;
                }
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn enter(database: &SqlitePool, posting: &Delivery, care: Care) -> sqlx::Result<()> {
    let message = posting.message();
    let id = message.event_id().unwrap_or_default();
    let cents: i64 = String::from_utf8_lossy(&message.payload)
        .parse()
        .unwrap_or_default();
    let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
    if care == Care::Careful {
        let first = sqlx::query("INSERT INTO processed VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 0 {
            return transaction.rollback().await;
        }
    }
    sqlx::query("INSERT INTO entries (posting, account, cents) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(&message.key)
        .bind(cents)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
