//! A transfer has two legs: one event takes from one account and gives to another, each leg in a transaction of its
//! own, and a transfer that broke off between them is taken up where it was left. Accounts are numbers.

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::database::{Database, Probe};
use stormglass::{Broker, Group, Machine, Message, System};

use super::{FEW, Outcome, ask, command, holds, promising_effects};
use crate::pool;

const BANK: &str = "
    CREATE TABLE entries (
        number INTEGER PRIMARY KEY,
        transfer TEXT NOT NULL,
        account INTEGER NOT NULL,
        cents INTEGER NOT NULL,
        UNIQUE (transfer, account));";

async fn bank(machine: Machine) -> Outcome {
    let bank = pool::connect(machine.url("bank")).await?;
    let mut transfers = Broker::connect().subscribe("bank", &["transfers"]).await?;
    loop {
        let transfer = transfers.next().await?;
        let (from, to, cents): (i64, i64, i64) =
            serde_json::from_slice(&transfer.message().payload)?;
        book(&bank, transfer.message(), from, -cents).await?;
        book(&bank, transfer.message(), to, cents).await?;
        transfer.ack().await?;
    }
}

async fn book(bank: &SqlitePool, transfer: &Message, account: i64, cents: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO entries (transfer, account, cents) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(transfer.event_id())
    .bind(account)
    .bind(cents)
    .execute(bank)
    .await
    .map(drop)
}

#[test]
fn two_legs_of_a_transfer_are_right() {
    let entries = Probe::applied(
        "SELECT number AS position, transfer AS event_id, account AS entity, cents AS effect
         FROM entries WHERE number > $1 ORDER BY number",
    );
    let system = System::new("two legs of a transfer")
        .topic("transfers", 2)
        .group(Group::new("bank", &["transfers"]))
        .database(Database::new("bank", BANK).probe(entries.by("bank")))
        .host("bank", bank)
        .instances("bank", 1..=2)
        .operations(
            || (any::<u32>(), 0..3_i64, 1..3_i64, 1..500_i64),
            |(number, from, distance, cents): (u32, i64, i64, i64)| {
                let (id, to) = (format!("transfer-{number}"), (from + distance) % 3);
                let payload = serde_json::json!([from, to, cents]).to_string();
                ask(command("transfers", &from.to_string(), &id, payload))
            },
        )
        .load(FEW);
    holds(&promising_effects(system));
}
