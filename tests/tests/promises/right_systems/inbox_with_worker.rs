//! An inbox that a worker empties later: a message is acknowledged long before it has its effect.
//!
//! `intake` stores what arrives under its id and acknowledges. `bank`, another process on the same database, takes
//! the rows in the order of their arrival and books each in one transaction with the mark that it is done.

use std::time::Duration;

use proptest::prelude::*;

use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, EVENT_ID, Group, Machine, Message, System};
use tokio::time::sleep;

use super::{Outcome, ask, holds, promising_effects};
use crate::pool;

const SCHEMA: &str = "
    CREATE TABLE inbox (
        arrival INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        amount INTEGER NOT NULL,
        done INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE accounts (account TEXT PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE entries (number INTEGER PRIMARY KEY, deposit TEXT NOT NULL, account TEXT NOT NULL);";

async fn intake(machine: Machine) -> Outcome {
    let bank = pool::connect(machine.url("bank")).await?;
    let mut deposits = Broker::connect().subscribe("intake", &["deposits"]).await?;
    loop {
        let deposit = deposits.next().await?;
        let message = deposit.message();
        let amount: i64 = std::str::from_utf8(&message.payload)?.parse()?;
        sqlx::query(
            "INSERT INTO inbox (id, account, amount) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(message.event_id())
        .bind(&message.key)
        .bind(amount)
        .execute(&bank)
        .await?;
        deposit.ack().await?;
    }
}

async fn bank(machine: Machine) -> Outcome {
    let bank = pool::connect(machine.url("bank")).await?;
    loop {
        let waiting: Vec<(i64, String, String, i64)> = sqlx::query_as(
            "SELECT arrival, id, account, amount FROM inbox WHERE done = 0 ORDER BY arrival LIMIT 10",
        )
        .fetch_all(&bank)
        .await?;
        for (arrival, id, account, amount) in &waiting {
            let mut transaction = bank.begin().await?;
            let marked = sqlx::query("UPDATE inbox SET done = 1 WHERE arrival = $1 AND done = 0")
                .bind(arrival)
                .execute(&mut *transaction)
                .await?;
            if marked.rows_affected() == 0 {
                continue;
            }
            sqlx::query(
                "INSERT INTO accounts VALUES ($1, $2)
                 ON CONFLICT (account) DO UPDATE SET balance = balance + excluded.balance",
            )
            .bind(account)
            .bind(amount)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("INSERT INTO entries (deposit, account) VALUES ($1, $2)")
                .bind(id)
                .bind(account)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        if waiting.is_empty() {
            sleep(Duration::from_millis(150)).await;
        }
    }
}

#[test]
fn an_inbox_with_a_worker_is_right() {
    let entries = "SELECT number AS position, deposit AS event_id, account AS entity FROM entries \
                   WHERE number > $1 ORDER BY number";
    let system = System::new("inbox with a worker")
        .topic("deposits", 2)
        .group(Group::new("intake", &["deposits"]))
        .database(Database::new("bank", SCHEMA).probe(Probe::applied(entries).by("intake")))
        .host("intake", intake)
        .host("bank", bank)
        .operations(
            || (any::<u32>(), 0..4_u8, 1..100_i64),
            |(number, account, amount): (u32, u8, i64)| async move {
                let deposit = Message::new(
                    "deposits",
                    &format!("account-{account}"),
                    amount.to_string(),
                )
                .header(EVENT_ID, &format!("deposit-{number}"));
                ask(deposit).await
            },
        )
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            ..Load::default()
        });
    holds(&promising_effects(system));
}
