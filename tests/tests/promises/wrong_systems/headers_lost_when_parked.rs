//! A dead letter that is a new message: its payload is kept, its headers are not.
//!
//! Reported as smallrye/smallrye-reactive-messaging#1080 and quarkusio/quarkus#20537. What clients publish is all
//! that can be poison here.

use std::time::Duration;

use stormglass::checker::DlqRouting;
use stormglass::{Broker, Group, Machine, Message};

use super::ledger::ledger_of;
use super::{Calm, Outcome, found};
use crate::pool;

const ATTEMPTS_MAX: u32 = 5;

async fn book(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    let broker = Broker::connect();
    let mut payments = broker.subscribe("ledger", &["payments"]).await?;
    let mut failed = (None, 0);
    loop {
        let payment = payments.next().await?;
        let message = payment.message();
        if let Err(error) = std::str::from_utf8(&message.payload) {
            if failed.0.as_ref() != Some(payment.position()) {
                failed = (Some(payment.position().clone()), 0);
            }
            failed.1 += 1;
            if failed.1 < ATTEMPTS_MAX {
                payment.retry(Duration::from_millis(50)).await?;
                continue;
            }
            let parked = Message::new("payments-dead", &message.key, message.payload.clone())
                .header("error", &error.to_string());
            broker.publish(parked).await?;
            payment.ack().await?;
            continue;
        }
        let mut transaction = ledger.begin().await?;
        let first = sqlx::query("INSERT INTO processed (id) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(message.event_id())
            .execute(&mut *transaction)
            .await?;
        if first.rows_affected() == 1 {
            sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
                .bind(message.event_id())
                .bind(&message.key)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        payment.ack().await?;
    }
}

#[test]
fn headers_that_are_lost_when_parked_are_found() {
    let group = Group::new("ledger", &["payments"]).dead_letters("payments-dead");
    let system = ledger_of("headers lost when parked", group)
        .property(DlqRouting::default())
        .host("ledger", book);
    found(&system, Calm::Holds, "dlq-routing");
}
