//! Third parties over HTTP, and their ledger.

use std::time::Duration;

use serde_json::json;
use stormglass::System;
use stormglass::plan::{ExternalFault, Incident};
use stormglass::third_party::{Request, Response, ThirdParty};

use super::{Seen, Stage};

/// A bank that never pays more than a hundred.
fn bank(request: &Request) -> Response {
    match request.body["amount"].as_u64() {
        Some(amount) if amount <= 100 => Response::new(200, json!({ "paid": amount })),
        _ => Response::new(402, json!({ "why": "too much" })),
    }
}

/// Asks the bank for what it is due, once more where it heard nothing, and says what became of it.
async fn payee() -> Result<(), reqwest::Error> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_millis(500))
        .build()?;
    for (key, amount) in [("a", 10), ("b", 1_000), ("c", 30)] {
        for _ in 0..2 {
            let payment = client
                .post("http://bank/payments")
                .header("Idempotency-Key", key);
            match payment.json(&json!({ "amount": amount })).send().await {
                Ok(answer) => {
                    tracing::info!("{key}: {}", answer.status().as_u16());
                    break;
                }
                Err(_) => tracing::info!("{key}: no answer"),
            }
        }
    }
    std::future::pending().await
}

fn run(disturb: impl FnOnce(Stage) -> Stage) -> Seen {
    let bank = ThirdParty::new("bank", bank).may_refuse(Response::new(402, json!({})));
    let system = System::new("payee")
        .third_party(bank)
        .host("payee", |_| payee());
    disturb(Stage::of(system)).run()
}

fn booked(seen: &Seen) -> Vec<&str> {
    seen.0.ledger("bank").map(|(_, key, _)| key).collect()
}

#[test]
fn what_its_business_takes_is_booked() {
    let seen = run(|stage| stage);
    assert_eq!(seen.said("payee"), ["a: 200", "b: 402", "c: 200"]);
    assert_eq!(booked(&seen), ["a", "c"]);
}

#[test]
fn a_call_whose_answer_is_lost_is_booked_once() {
    let seen = run(|stage| stage.strike("payee", 1, ExternalFault::AnswerLost));
    assert_eq!(seen.said("payee")[..2], ["a: no answer", "a: 200"]);
    assert_eq!(booked(&seen), ["a", "c"]);
}

#[test]
fn an_answer_that_is_late_comes_after_its_caller_has_given_up() {
    let late = ExternalFault::AnswerLate { delay_ms: 2_000 };
    let seen = run(|stage| stage.strike("payee", 3, late));
    assert_eq!(seen.said("payee")[2..], ["c: no answer", "c: 200"]);
    assert_eq!(booked(&seen), ["a", "c"]);
}

#[test]
fn a_refusal_that_was_not_heard_stays_one() {
    let seen = run(|stage| stage.strike("payee", 1, ExternalFault::RefusedUnheard));
    assert_eq!(seen.said("payee")[..2], ["a: no answer", "a: 402"]);
    assert_eq!(booked(&seen), ["c"]);
}

#[test]
fn who_cannot_be_reached_books_nothing() {
    let outage = Incident::ExternalOutage {
        provider: "bank".to_owned(),
        for_ms: 3_000,
    };
    let seen = run(|stage| stage.at_ms(0, outage));
    assert_eq!(seen.said("payee"), ["a: 503", "b: 503", "c: 503"]);
    assert!(booked(&seen).is_empty());
}
