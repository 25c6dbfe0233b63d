//! The workload: what customers, and operators, ask of the shop.
//!
//! Reading order: [`Operation`] is what a customer wants, `client` how it is asked for; what the
//! customer was told is in [`told`](crate::told). A few customers do most of it, so that several requests about one
//! order are under way at once.

mod client;

use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};

use crate::deploy::{ARTICLES, TOPICS};

pub use client::{OperationError, carry_out};

/// One thing that a customer wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Order something.
    Place {
        /// The customer's mail address.
        customer: String,
        /// The card's token.
        card: String,
        /// Where it is to be sent.
        address: String,
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// The price of one, in cents.
        unit_price_cents: i64,
        /// What a voucher takes off the whole, in cents.
        #[serde(default, skip_serializing_if = "is_none")]
        discount_cents: i64,
        /// What makes a repeated request harmless.
        idempotency_key: String,
        /// How often it is asked for.
        manner: Manner,
        /// The instance of the gateway that is asked first.
        gateway: u32,
    },
    /// Cancel an order that is not paid yet.
    Cancel {
        /// The customer's mail address.
        customer: String,
        /// Which of the customer's open orders, the latest first.
        which: usize,
        /// The instance of the gateway that is asked first.
        gateway: u32,
    },
    /// Send an order that is not on its way yet to another address.
    Readdress {
        /// The customer's mail address.
        customer: String,
        /// Which of the customer's open orders, the latest first.
        which: usize,
        /// Where to.
        address: String,
        /// What makes a repeated request harmless.
        idempotency_key: String,
        /// The instance of the gateway that is asked first.
        gateway: u32,
    },
    /// Publish again what a consumer has parked; an operator asks for it.
    Replay {
        /// The consumer.
        consumer: String,
        /// How long the operator waits before asking, in milliseconds: what is parked is found late.
        after_ms: u64,
        /// The instance of the relay that is asked first.
        relay: u32,
    },
    /// Try again what could not be published; an operator asks for it who has found the reason.
    Release {
        /// The topic.
        topic: String,
        /// How long the operator waits before asking, in milliseconds.
        after_ms: u64,
        /// The instance of the relay that is asked first.
        relay: u32,
    },
}

/// How often a customer asks for one thing, always under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Once, and again only while there is no answer.
    Once,
    /// Twice at the same moment, at two instances, as a double click does.
    AtOnce,
    /// Once more after the answer, as a request does that was held up on its way.
    Late {
        /// So long after the answer, in milliseconds.
        after_ms: u64,
    },
}

/// What customers ask for.
pub fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![6 => place(), 2 => cancel(), 2 => readdress()]
}

/// The same with operators among the customers.
pub fn operation_with_operators() -> impl Strategy<Value = Operation> {
    prop_oneof![4 => operation(), 1 => replay()]
}

/// What customers ask for, with operators among them who see to what cannot be published.
pub fn operation_with_releases() -> impl Strategy<Value = Operation> {
    prop_oneof![4 => operation(), 1 => release()]
}

fn release() -> impl Strategy<Value = Operation> {
    (select(TOPICS.to_vec()), 500..=9_000_u64, gateway()).prop_map(|(topic, after_ms, relay)| {
        Operation::Release {
            topic: topic.to_owned(),
            after_ms,
            relay,
        }
    })
}

/// The same while `consumer` parks everything; operators come back to it once the cause is gone, after `from_ms`.
pub fn operation_in_a_flood(
    consumer: &'static str,
    from_ms: u64,
) -> impl Strategy<Value = Operation> {
    let replay = (from_ms..=from_ms + 3_000, gateway()).prop_map(move |(after_ms, relay)| {
        Operation::Replay {
            consumer: consumer.to_owned(),
            after_ms,
            relay,
        }
    });
    prop_oneof![8 => operation(), 1 => replay]
}

/// The same as customers ask alone, half of them with a voucher.
pub fn operation_with_vouchers() -> impl Strategy<Value = Operation> {
    (operation(), prop_oneof![Just(0), 1..=90_i64]).prop_map(|(mut operation, cents)| {
        if let Operation::Place { discount_cents, .. } = &mut operation {
            *discount_cents = cents;
        }
        operation
    })
}

/// The same with operators among them.
pub fn operation_with_all() -> impl Strategy<Value = Operation> {
    prop_oneof![4 => operation_with_vouchers(), 1 => replay()]
}

fn is_none(discount_cents: &i64) -> bool {
    *discount_cents == 0
}

fn replay() -> impl Strategy<Value = Operation> {
    let consumers = ["order", "inventory", "payment", "shipping", "notification"];
    (select(consumers.to_vec()), 500..=6_000_u64, gateway()).prop_map(
        |(consumer, after_ms, relay)| Operation::Replay {
            consumer: consumer.to_owned(),
            after_ms,
            relay,
        },
    )
}

fn place() -> impl Strategy<Value = Operation> {
    let articles: Vec<&str> = ARTICLES.iter().map(|(sku, _)| *sku).collect();
    let card = prop_oneof![3 => Just("visa"), 1 => Just("declined")];
    let manner = prop_oneof![
        4 => Just(Manner::Once),
        1 => Just(Manner::AtOnce),
        1 => (100..=3_000_u64).prop_map(|after_ms| Manner::Late { after_ms }),
    ];
    let what = (select(articles), 1..=4_i64, 100..=2_000_i64);
    (customer(), card, address(), what, key(), manner, gateway()).prop_map(
        |(customer, card, address, what, idempotency_key, manner, gateway)| {
            let (sku, quantity, unit_price_cents) = what;
            Operation::Place {
                customer,
                card: card.to_owned(),
                address,
                sku: sku.to_owned(),
                quantity,
                unit_price_cents,
                discount_cents: 0,
                idempotency_key,
                manner,
                gateway,
            }
        },
    )
}

fn cancel() -> impl Strategy<Value = Operation> {
    (customer(), which(), gateway()).prop_map(|(customer, which, gateway)| Operation::Cancel {
        customer,
        which,
        gateway,
    })
}

fn readdress() -> impl Strategy<Value = Operation> {
    (customer(), which(), address(), key(), gateway()).prop_map(
        |(customer, which, address, idempotency_key, gateway)| Operation::Readdress {
            customer,
            which,
            address,
            idempotency_key,
            gateway,
        },
    )
}

/// One customer is busy, the others are quiet.
fn customer() -> impl Strategy<Value = String> {
    let name = prop_oneof![4 => Just("ada"), 1 => Just("ben"), 1 => Just("cyd")];
    name.prop_map(|name| format!("{name}@example.org"))
}

fn address() -> impl Strategy<Value = String> {
    (1..=40_u32).prop_map(|number| format!("Mill Lane {number}"))
}

fn key() -> impl Strategy<Value = String> {
    any::<u64>().prop_map(|key| format!("{key:016x}"))
}

fn which() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 1 => Just(1)]
}

fn gateway() -> impl Strategy<Value = u32> {
    0..6_u32
}
