//! A ledger that is right: it books each payment that clients publish, once.
//!
//! A mistake replaces the host `ledger`.

use proptest::prelude::*;
use stormglass::checker::{Convergence, EffectOnce, Log, NoLostEvent};
use stormglass::database::{Database, Probe};
use stormglass::plan::Load;
use stormglass::{Broker, EVENT_ID, Group, Message, System};

/// The tables of the ledger.
const SCHEMA: &str = "
    CREATE TABLE processed (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE locks (id TEXT PRIMARY KEY);
    CREATE TABLE bookings (number INTEGER PRIMARY KEY, id TEXT NOT NULL, account TEXT NOT NULL);";

/// The ledger without its only host, which the caller adds as `ledger`.
pub(super) fn ledger(name: &str) -> System {
    ledger_of(name, Group::new("ledger", &["payments"]))
}

/// As [`ledger`], with a description of the caller's for the group `ledger`.
pub(super) fn ledger_of(name: &str, group: Group) -> System {
    let booked = Probe::applied(
        "SELECT number AS position, id AS event_id, account AS entity FROM bookings
         WHERE number > $1 ORDER BY number",
    );
    System::new(name)
        .topic("payments", 2)
        .group(group)
        .database(Database::new("ledger", SCHEMA).probe(booked.by("ledger")))
        .operations(
            || (any::<u32>(), 0..3_u8),
            |(number, account): (u32, u8)| async move {
                let payment = Message::new("payments", &format!("account-{account}"), "12.50")
                    .header(EVENT_ID, &format!("payment-{number}"));
                Broker::connect().publish(payment).await.map(drop)
            },
        )
        .load(Load {
            operations_min: 4,
            operations_max: 8,
            over_ms: 3_000,
            ..Load::default()
        })
        .property(NoLostEvent)
        .property(EffectOnce)
        .property(Convergence)
        .property(Log)
}
