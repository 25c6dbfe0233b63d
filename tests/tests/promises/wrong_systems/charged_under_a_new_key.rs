//! A charge whose idempotency key changes with every try, because it is made of the whole request.
//!
//! Reported as Adyen/adyen-commercetools#1305: the key is a hash over fields that are new each time, such as when
//! the request was made, so a retry after a timeout is a second payment.

use std::collections::BTreeMap;

use serde_json::json;

use stormglass::checker::{Property, Verdict, Witness};
use stormglass::history::History;
use stormglass::{Broker, Machine};

use stormglass::third_party::{Response, ThirdParty};

use super::ledger::ledger;
use super::{Calm, Outcome, found};
use crate::clock::now_ms;
use crate::pool;
use crate::web;

async fn charge(machine: Machine) -> Outcome {
    let ledger = pool::connect(machine.url("ledger")).await?;
    let mut payments = Broker::connect().subscribe("ledger", &["payments"]).await?;
    loop {
        let payment = payments.next().await?;
        let id = payment.message().event_id().unwrap_or_default();
        let known = sqlx::query("SELECT 1 FROM processed WHERE id = $1")
            .bind(id)
            .fetch_optional(&ledger)
            .await?;
        if known.is_none() {
            let request = json!({ "payment": id, "requested_at": now_ms() });
            let key = request.to_string();
            let charged = web::post_once("http://card/charges", &key, &request).await?;
            if charged.status != 200 {
                return Err(format!("the card answers {}", charged.status).into());
            }
            let mut transaction = ledger.begin().await?;
            sqlx::query("INSERT INTO processed (id) VALUES ($1)")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("INSERT INTO bookings (id, account) VALUES ($1, $2)")
                .bind(id)
                .bind(&payment.message().key)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        payment.ack().await?;
    }
}

/// A payment is charged once, whatever keys the provider was given.
struct OneCharge;

impl Property for OneCharge {
    fn id(&self) -> &str {
        "one-charge"
    }

    fn promise(&self) -> &str {
        "a payment is charged once"
    }

    fn check(&self, history: &History) -> Verdict {
        let mut charges = BTreeMap::new();
        for (index, _, request) in history.ledger("card") {
            let payment = request["payment"].to_string();
            if let Some(first) = charges.insert(payment.clone(), index) {
                return Verdict::Broken(Witness {
                    summary: format!("{payment} was charged twice"),
                    index,
                    chain: vec![first, index],
                    ..Witness::default()
                });
            }
        }
        match charges.len() {
            0 => Verdict::Vacuous("nothing was charged".to_owned()),
            _ => Verdict::Holds,
        }
    }
}

#[test]
fn a_charge_under_a_new_key_is_found() {
    let system = ledger("charged under a new key")
        .property(OneCharge)
        .third_party(ThirdParty::new("card", |_| {
            Response::new(200, json!("charged"))
        }))
        .host("ledger", charge);
    found(&system, Calm::Holds, "one-charge");
}
