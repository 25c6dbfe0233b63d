//! A consumer that moves what fails to a retry topic, and goes on with later events of the same customer.
//!
//! The known price of retry topics (spring-projects/spring-kafka#920: the pattern covers only cases in which the
//! order is of no matter), paid by a consumer that does rely on the order.

use std::time::Duration;

use sqlx::SqlitePool;
use stormglass::{Broker, Group, Machine};
use tokio::time::sleep;

use super::shop::{bill, relay, shop};
use super::{Calm, Outcome, found};
use crate::pool;

async fn billing(machine: Machine) -> Outcome {
    let billing = pool::connect(machine.url("billing")).await?;
    let broker = Broker::connect();
    tokio::try_join!(first_try(&billing, &broker), second_try(&billing, &broker))?;
    Ok(())
}

async fn first_try(billing: &SqlitePool, broker: &Broker) -> Outcome {
    let mut orders = broker.subscribe("billing", &["orders"]).await?;
    loop {
        let order = orders.next().await?;
        if bill(billing, &order).await.is_err() {
            let mut again = order.message().clone();
            again.topic = "orders-retry".to_owned();
            broker.publish(again).await?;
        }
        order.ack().await?;
    }
}

async fn second_try(billing: &SqlitePool, broker: &Broker) -> Outcome {
    let mut orders = broker.subscribe("billing-retry", &["orders-retry"]).await?;
    loop {
        let order = orders.next().await?;
        sleep(Duration::from_millis(1_000)).await;
        bill(billing, &order).await?;
        order.ack().await?;
    }
}

#[test]
fn a_retry_topic_that_is_overtaken_is_found() {
    let system = shop("retry topic is overtaken")
        .topic("orders-retry", 2)
        .group(Group::new("billing-retry", &["orders-retry"]))
        .host("relay", relay)
        .host("billing", billing);
    found(&system, Calm::Holds, "entity-order");
}
