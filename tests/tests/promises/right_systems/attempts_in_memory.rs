//! Attempts that are counted in memory: a life that ends takes its count along, and the next one begins anew.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sqlx::SqlitePool;
use stormglass::checker::DlqRouting;
use stormglass::database::{Database, Probe};
use stormglass::{Attempts, Broker, Group, Machine, Message, System};

use super::{FEW, Outcome, ask, command, holds, promising_effects};
use crate::pool;

const ATTEMPTS_MAX: u32 = 3;

const SCALES: &str = "
    CREATE TABLE weights (parcel TEXT PRIMARY KEY, truck TEXT NOT NULL, grams INTEGER NOT NULL);";

async fn weigh(machine: Machine) -> Outcome {
    let scales = pool::connect(machine.url("scales")).await?;
    let broker = Broker::connect();
    let mut parcels = broker.subscribe("scales", &["parcels"]).await?;
    let mut failed: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        let parcel = parcels.next().await?;
        let message = parcel.message();
        let Err(error) = grams(message) else {
            book(&scales, message).await?;
            parcel.ack().await?;
            continue;
        };
        let failed = failed.entry(message.event_id().unwrap_or_default().to_owned());
        let failed = failed.and_modify(|failed| *failed += 1).or_insert(1);
        if *failed < ATTEMPTS_MAX {
            parcel.retry(Duration::from_millis(50)).await?;
            continue;
        }
        let mut parked = message.clone().header("error", &error.to_string());
        parked.topic = "parcels-dead".to_owned();
        broker.publish(parked).await?;
        parcel.ack().await?;
    }
}

fn grams(parcel: &Message) -> Result<i64, Box<dyn std::error::Error>> {
    Ok(std::str::from_utf8(&parcel.payload)?.parse()?)
}

async fn book(scales: &SqlitePool, parcel: &Message) -> Outcome {
    sqlx::query("INSERT INTO weights VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(parcel.event_id())
        .bind(&parcel.key)
        .bind(grams(parcel)?)
        .execute(scales)
        .await?;
    Ok(())
}

#[test]
fn attempts_that_are_counted_in_memory_are_right() {
    let weights = Probe::applied("SELECT parcel AS event_id, truck AS entity FROM weights");
    let group = Group::new("scales", &["parcels"])
        .dead_letters("parcels-dead")
        .attempts(Attempts::AtMostPerLife(ATTEMPTS_MAX));
    let system = System::new("attempts in memory")
        .topic("parcels", 2)
        .group(group)
        .database(Database::new("scales", SCALES).probe(weights.by("scales")))
        .host("scales", weigh)
        .instances("scales", 1..=2)
        .operations(
            || (any::<u32>(), 0..3_u8, 1..9_000_u32),
            |(number, truck, grams): (u32, u8, u32)| {
                let (key, id) = (format!("truck-{truck}"), format!("parcel-{number}"));
                ask(command("parcels", &key, &id, grams.to_string()))
            },
        )
        .load(FEW)
        .property(DlqRouting::default());
    holds(&promising_effects(system));
}
